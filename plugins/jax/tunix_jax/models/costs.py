"""What a training step costs, counted from the model's shape; imports no JAX.

Convention. A multiplication and an addition are two FLOPs; only matrix products count. For each
token the forward pass takes 2 FLOPs per weight of the blocks' matrices, 2 per weight of the head
if the token is learned, and 4 * heads * head_dim per position that attention lets it see: itself
and what came before within the layer's window, so causal attention counts about half of the
square. The backward pass takes twice the forward pass: once for the inputs' gradients and once
for the weights'; under LoRA frozen matrices have no gradient of their own, 4 FLOPs per weight
instead of 6. What rematerialisation computes again is no part of the model's FLOPs, on which MFU
rests (Chowdhery et al., 2022, appendix B); :attr:`StepFlops.recomputed` has it apart.
"""

from __future__ import annotations

from math import prod

from attrs import frozen

from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.matrices import ATTENTION
from tunix_jax.models.weight_table import Weight, weight_table

_OF_ATTENTION = {matrix.name for matrix in ATTENTION}


def parameters(config: DecoderConfig, lora: Lora | None = None) -> dict[str, int]:
    """Number of parameters by group; their sum is the model's size.

    Args:
        config: The shape.
        lora: Its adapters, or None.

    Returns:
        ``embedding``, ``head`` (0 when tied), ``attention``, ``mlp``, ``norms`` (biases
        included) and ``lora``, which alone is trained where there are adapters.
    """
    groups = dict.fromkeys(("embedding", "head", "attention", "mlp", "norms", "lora"), 0)
    for weight in weight_table(config):
        groups[_group(weight)] += prod(weight.full_shape)
    if lora is not None:
        for matrix in config.matrices:
            sides = sum(config.shape(matrix)[-2:])
            groups["lora"] += config.layers * lora.rank_of(matrix.name) * sides
    return groups


def _group(weight: Weight) -> str:
    path = weight.path
    if path[-1] in ("scale", "bias"):
        return "norms"
    if path[0] == "blocks":
        return "attention" if path[1] in _OF_ATTENTION else "mlp"
    return "head" if path[0] == "head" else "embedding"


def visible(length: int, window: int | None) -> float:
    """Mean number of positions that a token of a causal row of ``length`` tokens attends to."""
    seen = length if window is None else min(window, length)
    return (seen * (seen + 1) / 2 + (length - seen) * seen) / length


@frozen
class StepFlops:
    """FLOPs of some tokens' forward and backward pass, by part.

    Args:
        blocks: The blocks' matrices.
        head: The head, for learned tokens.
        attention: Scores and weighted sums.
        lora: The adapters.
        recomputed: What rematerialisation computes a second time; no part of ``model``.
    """

    blocks: float
    head: float
    attention: float
    lora: float
    recomputed: float

    @property
    def model(self) -> float:
        """What MFU counts."""
        return self.blocks + self.head + self.attention + self.lora

    @property
    def hardware(self) -> float:
        """What the devices compute."""
        return self.model + self.recomputed


def step_flops(
    config: DecoderConfig,
    tokens: int,
    length: int,
    *,
    learned: int | None = None,
    lora: Lora | None = None,
    remat: str = "none",
) -> StepFlops:
    """FLOPs of training on some tokens, over all devices, by the module's convention.

    Args:
        config: The shape.
        tokens: Tokens of the step, padding left out for MFU.
        length: Tokens of a row, or of a segment where rows are packed: how far attention sees.
        learned: Tokens with a loss; all by default.
        lora: Adapters beside frozen matrices; None trains everything.
        remat: ``full`` computes the blocks' forward pass twice, ``dots`` only attention's
            products, ``none`` nothing.
    """
    groups = parameters(config, lora)
    blocks = 2.0 * tokens * (groups["attention"] + groups["mlp"])
    head = 2.0 * config.vocab_size * config.d_model * (tokens if learned is None else learned)
    seen = sum(visible(length, window) for window in config.windows)
    attention = 4.0 * tokens * config.heads * config.head_dim * seen
    adapters = 2.0 * tokens * groups["lora"]
    passes = 3 if lora is None else 2
    again = {"none": 0.0, "dots": attention, "full": attention + blocks + adapters}[remat]
    return StepFlops(passes * blocks, passes * head, 3 * attention, 3 * adapters, again)


def mfu(flops: float, seconds: float, peak: float, devices: int = 1) -> float:
    """Model FLOPs utilisation: share of the devices' peak that the model's own FLOPs took.

    Args:
        flops: Model FLOPs of all devices together; ``StepFlops.model``.
        seconds: How long they took.
        peak: FLOP/s of one device at best.
        devices: Number of devices.
    """
    return flops / (seconds * peak * devices)


def state_bytes(config: DecoderConfig, optimizer: str, lora: Lora | None = None) -> dict[str, int]:
    """Bytes of everything that stays between steps, over all devices.

    Trained weights and moments are float32; a frozen base is bfloat16.

    Args:
        config: The shape.
        optimizer: ``adamw`` keeps two moments of everything, ``muon`` one of matrices and two
            of the rest, ``adafactor`` the sums of rows and columns of second moments (Shazeer
            and Stern, 2018).
        lora: Adapters beside frozen matrices; None trains everything.

    Returns:
        ``weights`` and ``moments``.
    """
    groups = parameters(config, lora)
    base = sum(groups.values()) - groups["lora"]
    if lora is None:
        weights, trained, matrix = 4 * base, base, groups["attention"] + groups["mlp"]
    else:
        weights, trained = 2 * base + 4 * groups["lora"], groups["lora"]
        matrix = trained
    moments = {
        "adamw": 2 * trained,
        "muon": 2 * trained - matrix,
        "adafactor": _factored(config) if lora is None else trained,
    }[optimizer]
    return {"weights": weights, "moments": 4 * moments}


def _factored(config: DecoderConfig) -> int:
    """Numbers that Adafactor keeps where every side is long enough to be factored."""
    return sum(prod(weight.stacked) * sum(weight.shape) for weight in weight_table(config))
