"""Settings of the JAX trainer; importing this module imports no JAX."""

from __future__ import annotations

from typing import Any, Literal, get_args

from attrs import Factory, field, frozen
from attrs.validators import ge, le, lt

from tunix_core.codec import structure, unstructure
from tunix_core.errors import UsageError
from tunix_jax.models.decoder_config import DecoderConfig, Lora, not_negative, positive
from tunix_jax.models.shapes import SHAPES

# Settings that may change between a stop and a resume without changing what is computed; another
# mesh or device changes the order of sums, and with it their last bits.
FREE_SETTINGS = frozenset(
    {
        "checkpoint_every",
        "device",
        "keep_checkpoints",
        "export_dtype",
        "mesh",
        "profile_from",
        "profile_steps",
    }
)

Device = Literal["auto", "cpu", "cuda", "tpu"]
DEVICES: tuple[Device, ...] = get_args(Device)


def _by_origin(scratch: Any, pretrained: Any) -> Any:
    """A default that depends on whether the model is trained from scratch."""
    return Factory(lambda self: scratch if self.from_scratch else pretrained, takes_self=True)


def _axis(_: object, attribute: Any, value: int) -> None:
    if value < 1 and value != -1:
        raise ValueError(f"{attribute.name}: must be 1 or more, or -1 for what is left")


@frozen
class MeshConfig:
    """How devices are arranged; at most one size is -1: what is left.

    Args:
        data: Copies of the model.
        fsdp: Shards of every parameter, gathered when it is used.
        tensor: Shards of heads, MLP and vocabulary.
    """

    data: int = field(default=1, validator=_axis)
    fsdp: int = field(default=-1, validator=_axis)
    tensor: int = field(default=1, validator=_axis)

    def __attrs_post_init__(self) -> None:
        if (self.data, self.fsdp, self.tensor).count(-1) > 1:
            raise ValueError("mesh: at most one size can be -1")

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each axis by name."""
        return {"data": self.data, "fsdp": self.fsdp, "tensor": self.tensor}


@frozen
class TrainerConfig:
    """Settings of a run. Some defaults depend on whether the model is trained from scratch.

    Args:
        objective: What training minimises: ``sft`` is the cross-entropy of the completions of
            traces.
        model_id: ``tiny`` or ``small`` train from scratch; a directory, a name such as
            ``gemma-3-1b`` or a Hub repository bring pretrained weights.
        decoder: Changes to the shape, by field; from scratch only.
        tokenizer: Path of a ``tokenizer.json``, or None to train one on the dataset; from scratch
            only, since pretrained weights come with theirs.
        vocab_size: Largest vocabulary of a tokenizer that is trained; at least 263, for the 256
            bytes, three special tokens and the four tags.
        chat_template: ``auto`` puts prompt and completion into the model's chat turns if it has
            a template; ``never`` does not.
        max_length: Length of a packed row in tokens.
        overlong: What happens to examples that are longer than a row: left out (``drop``) or cut
            at the end (``truncate``); they are counted in either case.
        rows: Packed rows per optimizer step, over all devices and micro-batches.
        accumulation: Micro-batches into which a step's rows are cut, to save memory.
        steps: Optimizer steps, or None for ``epochs``; 0 makes the untrained model.
        epochs: Passes over the data when ``steps`` is None.
        optimizer: ``muon`` for the blocks' matrices with AdamW for the rest (Jordan, 2024),
            ``adamw`` (Loshchilov and Hutter, 2019) or ``adafactor`` (Shazeer and Stern, 2018).
        learning_rate: Peak learning rate; under Muon, that of the matrices.
        adam_learning_rate: Peak learning rate of what Muon leaves to AdamW.
        schedule: After the warm-up: ``cosine``, ``linear``, ``constant``, or ``wsd``, which is
            constant and then falls linearly over the last ``decay_fraction`` (Hu et al., 2024).
        warmup_steps: Steps of linear warm-up.
        decay_fraction: Share of the steps over which ``wsd`` falls.
        final_fraction: Share of the peak at which a falling schedule ends.
        weight_decay: Decoupled weight decay of matrices.
        beta1: First moment decay of AdamW.
        beta2: Second moment decay of AdamW.
        clip_norm: Largest global norm of the gradient; 0 turns clipping off.
        lora_rank: Inner width of adapters beside frozen weights; 0 trains all weights.
        lora_alpha: Adapters are multiplied by ``lora_alpha / lora_rank``.
        lora_targets: Matrices that get an adapter, by the names of the PEFT library.
        dtype: Type of the computation. Weights and moments are float32; weights that LoRA
            freezes have this type.
        export_dtype: Type of the saved weights; None is that of the pretrained weights, or
            float32 from scratch.
        remat: What the backward pass computes again: ``none``, ``dots`` (all but matrix
            products) or ``full`` (everything within a block).
        attention: ``dense``, ``blockwise``, ``splash`` (TPU kernel), or ``auto``.
        unroll: Blocks per iteration of the loop over them; 0 is all on a CPU, else 1.
        loss_chunk: Tokens whose logits are in memory at once; 0 chooses by the vocabulary.
        device: Kind of device to train on; ``auto`` takes the best that is there.
        mesh: How devices are arranged.
        checkpoint_every: Steps between checkpoints; 0 makes none before the end.
        keep_checkpoints: How many of the newest are kept.
        keep_best: How many with the lowest held-out loss are kept besides.
        eval_every: Steps between evaluations of the loss on held-out data, if there is any.
        early_stopping_patience: End after so many evaluations without a lower held-out loss, and
            leave the best model; 0 never does.
        profile_from: First step of a profile.
        profile_steps: Steps that are profiled into the run's ``profile`` directory; 0 for none.
    """

    objective: Literal["sft"] = "sft"
    model_id: str = "small"
    decoder: dict[str, Any] = field(factory=dict)
    tokenizer: str | None = None
    vocab_size: int = field(default=1024, validator=ge(263))
    chat_template: Literal["auto", "never"] = "auto"
    max_length: int = field(default=_by_origin(128, 2048), validator=positive)
    overlong: Literal["drop", "truncate"] = "drop"
    rows: int = field(default=16, validator=positive)
    accumulation: int = field(default=1, validator=positive)
    steps: int | None = field(default=None, validator=not_negative)
    epochs: int = field(default=1, validator=positive)
    lora_rank: int = field(default=0, validator=not_negative)
    lora_alpha: float = field(
        default=Factory(lambda self: 2.0 * (self.lora_rank or 1), takes_self=True),
        validator=positive,
    )
    lora_targets: tuple[str, ...] = Lora(1, 1.0).targets
    optimizer: Literal["muon", "adamw", "adafactor"] = field(default=_by_origin("muon", "adamw"))
    learning_rate: float = field(
        default=Factory(lambda self: self._usual_rate(), takes_self=True), validator=positive
    )
    adam_learning_rate: float = field(default=0.004, validator=positive)
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    warmup_steps: int = field(default=20, validator=not_negative)
    decay_fraction: float = field(default=0.2, validator=[ge(0.0), le(1.0)])
    final_fraction: float = field(default=0.02, validator=[ge(0.0), le(1.0)])
    weight_decay: float = field(default=0.01, validator=not_negative)
    beta1: float = field(default=0.9, validator=[ge(0.0), lt(1.0)])
    beta2: float = field(default=0.99, validator=[ge(0.0), lt(1.0)])
    clip_norm: float = field(default=1.0, validator=not_negative)
    dtype: Literal["float32", "bfloat16"] = field(default=_by_origin("float32", "bfloat16"))
    export_dtype: Literal["float32", "bfloat16"] | None = None
    remat: Literal["none", "dots", "full"] = field(default=_by_origin("none", "full"))
    attention: Literal["auto", "dense", "blockwise", "splash"] = "auto"
    unroll: int = field(default=0, validator=not_negative)
    loss_chunk: int = field(default=0, validator=not_negative)
    device: Device = "auto"
    mesh: MeshConfig = MeshConfig()
    checkpoint_every: int = field(default=100, validator=not_negative)
    keep_checkpoints: int = field(default=2, validator=positive)
    keep_best: int = field(default=1, validator=not_negative)
    eval_every: int = field(default=100, validator=positive)
    early_stopping_patience: int = field(default=0, validator=not_negative)
    profile_from: int = field(default=10, validator=positive)
    profile_steps: int = field(default=0, validator=not_negative)

    def __attrs_post_init__(self) -> None:
        if self.early_stopping_patience and not self.keep_best:
            raise ValueError("keep_best: early stopping leaves the best model, so keep 1 or more")
        if self.rows % self.accumulation:
            raise ValueError(f"accumulation: {self.accumulation} does not divide rows {self.rows}")
        if self.from_scratch:
            self.scratch_shape(0)
        elif self.decoder or self.tokenizer is not None:
            setting = "decoder" if self.decoder else "tokenizer"
            raise ValueError(f"{setting}: {self.model_id} is pretrained and brings its own")
        if self.lora_rank:
            Lora(self.lora_rank, self.lora_alpha, self.lora_targets)

    @property
    def from_scratch(self) -> bool:
        """Whether training begins with random weights."""
        return self.model_id in SHAPES and SHAPES[self.model_id].repository is None

    @property
    def lora(self) -> Lora | None:
        """The adapters, or None when all weights are trained."""
        if not self.lora_rank:
            return None
        return Lora(self.lora_rank, self.lora_alpha, self.lora_targets)

    def scratch_shape(self, vocab_size: int) -> DecoderConfig:
        """The shape of a model from scratch with a vocabulary.

        Raises:
            UsageError: ``decoder`` changes the vocabulary.
            InvalidRecordError: ``decoder`` has a field that a shape does not have, or a value
                that it cannot have.
        """
        if "vocab_size" in self.decoder:
            raise UsageError("decoder: vocab_size comes from the tokenizer", "set vocab_size")
        base = unstructure(SHAPES[self.model_id].decoder)
        return structure(
            DecoderConfig, {**base, **self.decoder, "vocab_size": vocab_size}, "decoder"
        )

    def _usual_rate(self) -> float:
        if self.optimizer == "muon":
            return 0.02
        if self.lora_rank:
            return 2e-4
        return 3e-3 if self.from_scratch else 1e-5
