"""Settings of the JAX trainer; importing this module imports no JAX."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Attribute, evolve, field, frozen

from tunix_core.errors import UsageError


def _positive(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name}: must be more than 0, got {value}")


def _not_negative(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and value < 0:
        raise ValueError(f"{attribute.name}: must be 0 or more, got {value}")


@frozen
class ModelConfig:
    """Shape of a decoder.

    Args:
        layers: Number of blocks.
        d_model: Width of the residual stream.
        heads: Query heads.
        kv_heads: Key and value heads; divides ``heads`` (Ainslie et al., 2023).
        head_dim: Width of a head; even.
        d_ff: Inner width of the gated MLP (Shazeer, 2020).
        vocab_size: Number of token ids.
        rope_theta: Base of the rotary embedding (Su et al., 2021).
        previous_token: Embed the token before each token as well, from a table of its own, so
            that a small model need not learn to look one place back.
        qk_norm: Normalise queries and keys per head (Henry et al., 2020).
    """

    layers: int = field(validator=_positive)
    d_model: int = field(validator=_positive)
    heads: int = field(validator=_positive)
    kv_heads: int = field(validator=_positive)
    head_dim: int = field(validator=_positive)
    d_ff: int = field(validator=_positive)
    vocab_size: int = field(default=0, validator=_not_negative)
    rope_theta: float = field(default=10_000.0, validator=_positive)
    previous_token: bool = True
    qk_norm: bool = True

    def __attrs_post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: {self.kv_heads} does not divide heads {self.heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim: must be even, got {self.head_dim}")


PRESETS = {
    "tiny": ModelConfig(layers=2, d_model=32, heads=2, kv_heads=1, head_dim=16, d_ff=64),
    "small": ModelConfig(layers=4, d_model=128, heads=4, kv_heads=4, head_dim=32, d_ff=384),
}


@frozen
class TrainerConfig:
    """Settings of a run.

    Args:
        preset: Shape of the model: ``tiny`` or ``small``.
        model: Changes to the preset's shape, by field.
        tokenizer: Path of a ``tokenizer.json``, or None to train one on the dataset.
        vocab_size: Largest vocabulary of a tokenizer that is trained.
        max_length: Length of a packed row in tokens; longer examples are left out and counted.
        rows: Packed rows per step.
        steps: Optimizer steps, or None for ``epochs``; 0 makes the untrained model.
        epochs: Passes over the data when ``steps`` is None.
        optimizer: ``muon`` for matrices with AdamW for the rest (Jordan, 2024), or ``adamw``.
        learning_rate: Peak learning rate of matrices under Muon, of everything under AdamW.
        adam_learning_rate: Peak learning rate of what Muon leaves to AdamW.
        warmup_steps: Steps of linear warm-up.
        final_fraction: Share of the peak at which the cosine ends.
        weight_decay: Decoupled weight decay of matrices.
        beta1: First moment decay of AdamW.
        beta2: Second moment decay of AdamW.
        clip_norm: Largest global norm of the gradient; 0 turns clipping off.
        dtype: Type of the computation; weights and moments are float32.
        checkpoint_every: Steps between checkpoints; 0 makes none before the end.
        keep_checkpoints: How many of the newest are kept.
        eval_every: Steps between evaluations of the loss on held-out data, if there is any.
    """

    preset: Literal["tiny", "small"] = "small"
    model: dict[str, int | float] = field(factory=dict)
    tokenizer: str | None = None
    vocab_size: int = field(default=1024, validator=_positive)
    max_length: int = field(default=128, validator=_positive)
    rows: int = field(default=16, validator=_positive)
    steps: int | None = field(default=None, validator=_not_negative)
    epochs: int = field(default=1, validator=_positive)
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = field(default=0.02, validator=_positive)
    adam_learning_rate: float = field(default=0.004, validator=_positive)
    warmup_steps: int = field(default=20, validator=_not_negative)
    final_fraction: float = field(default=0.02, validator=_not_negative)
    weight_decay: float = field(default=0.01, validator=_not_negative)
    beta1: float = field(default=0.9, validator=_not_negative)
    beta2: float = field(default=0.99, validator=_not_negative)
    clip_norm: float = field(default=1.0, validator=_not_negative)
    dtype: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = field(default=100, validator=_not_negative)
    keep_checkpoints: int = field(default=2, validator=_positive)
    eval_every: int = field(default=100, validator=_positive)

    def __attrs_post_init__(self) -> None:
        self.shape(0)

    @property
    def model_id(self) -> str:
        """What the run calls its model."""
        return self.preset

    def shape(self, vocab_size: int) -> ModelConfig:
        """The shape of the model with a vocabulary.

        Raises:
            UsageError: ``model`` names a field that a shape does not have.
        """
        try:
            changes: dict[str, Any] = {**self.model, "vocab_size": vocab_size}
            return evolve(PRESETS[self.preset], **changes)
        except TypeError as error:
            raise UsageError(f"model: {error}") from None
