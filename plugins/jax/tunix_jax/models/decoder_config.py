"""The shape of a decoder: model families differ by these values, not by code."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Attribute, field, frozen

from tunix_jax.models.matrices import ATTENTION, GATED_MLP, MATRICES, Axis, Matrix


def positive(_: object, attribute: Attribute[Any], value: float | None) -> None:
    """Validator: more than 0, or None."""
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name}: must be more than 0, got {value}")


def not_negative(_: object, attribute: Attribute[Any], value: float | None) -> None:
    """Validator: 0 or more, or None."""
    if value is not None and value < 0:
        raise ValueError(f"{attribute.name}: must be 0 or more, got {value}")


@frozen
class RopeScaling:
    """How rotary frequencies of global layers are stretched for longer contexts.

    Args:
        kind: ``linear`` divides every frequency by ``factor`` (Chen et al., 2023); ``llama3``
            leaves short wavelengths alone and blends towards it for long ones (Llama 3.1).
        factor: How much longer the context becomes.
        low_frequency_factor: ``llama3`` only; wavelengths above ``original_length`` divided by
            this are divided by ``factor``.
        high_frequency_factor: ``llama3`` only; wavelengths below ``original_length`` divided by
            this stay.
        original_length: ``llama3`` only; context of the original training, in tokens.
    """

    kind: Literal["linear", "llama3"]
    factor: float = field(validator=positive)
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_length: int = 8192


@frozen
class DecoderConfig:
    """Shape of a decoder-only language model.

    Args:
        vocab_size: Rows of the embedding.
        layers: Number of blocks.
        d_model: Width of the residual stream.
        heads: Query heads.
        kv_heads: Key and value heads; divides ``heads`` (Ainslie et al., 2023).
        head_dim: Width of a head; even.
        d_ff: Inner width of the gated MLP (Shazeer, 2020).
        activation: Of the MLP's gate.
        norm_eps: Added to the mean square in every norm.
        norm_plus_one: Norms multiply by 1 + scale instead of scale (Gemma).
        post_norms: Norms after attention and MLP too, before the residual (Gemma 2, 3).
        qk_norm: Normalise queries and keys per head (Henry et al., 2020).
        attention_bias: Queries, keys and values have a bias (Qwen 2).
        attention_scale: Factor of the scores; None is ``head_dim ** -0.5``.
        attention_softcap: Scores are ``c * tanh(scores / c)``; None leaves them (Gemma 2).
        logit_softcap: As ``attention_softcap``, for the logits.
        embedding_scale: Multiply embeddings by ``sqrt(d_model)``.
        tied: The head is the transposed embedding.
        rope_theta: Base of the rotary embedding (Su et al., 2021).
        rope_scaling: Stretching of the frequencies of layers without a window, or None.
        local_rope_theta: Base in layers with a window; None is ``rope_theta`` (Gemma 3).
        window: How many tokens back a layer with a window sees, itself included; None: no layer
            has one.
        windowed: Which layers have the window, repeated over the layers.
        previous_token: Embed the token before each token as well, from a table of its own, so
            that a small model need not learn to look one place back.
    """

    vocab_size: int = field(validator=not_negative)
    layers: int = field(validator=positive)
    d_model: int = field(validator=positive)
    heads: int = field(validator=positive)
    kv_heads: int = field(validator=positive)
    head_dim: int = field(validator=positive)
    d_ff: int = field(validator=positive)
    activation: Literal["silu", "gelu_tanh"] = "silu"
    norm_eps: float = field(default=1e-6, validator=positive)
    norm_plus_one: bool = False
    post_norms: bool = False
    qk_norm: bool = False
    attention_bias: bool = False
    attention_scale: float | None = field(default=None, validator=positive)
    attention_softcap: float | None = field(default=None, validator=positive)
    logit_softcap: float | None = field(default=None, validator=positive)
    embedding_scale: bool = False
    tied: bool = True
    rope_theta: float = field(default=10_000.0, validator=positive)
    rope_scaling: RopeScaling | None = None
    local_rope_theta: float | None = field(default=None, validator=positive)
    window: int | None = field(default=None, validator=positive)
    windowed: tuple[bool, ...] = (True,)
    previous_token: bool = False

    def __attrs_post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: {self.kv_heads} does not divide heads {self.heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim: must be even, got {self.head_dim}")
        if not self.windowed:
            raise ValueError("windowed: must not be empty")

    @property
    def scale(self) -> float:
        """Factor of the attention scores."""
        return self.head_dim**-0.5 if self.attention_scale is None else self.attention_scale

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The sliding window of each layer, or None where it sees everything before it."""
        pattern = self.windowed
        return tuple(
            self.window if pattern[layer % len(pattern)] else None for layer in range(self.layers)
        )

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices of its blocks, in the order in which they are drawn and stored."""
        return ATTENTION + GATED_MLP

    @property
    def sizes(self) -> dict[Axis, int]:
        """Size of each axis of a matrix."""
        return {
            "d_model": self.d_model,
            "queries": self.heads * self.head_dim,
            "keys": self.kv_heads * self.head_dim,
            "d_ff": self.d_ff,
        }

    def shape(self, matrix: Matrix) -> tuple[int, ...]:
        """Size of each axis of one of its matrices, the axis of layers left out."""
        sizes = self.sizes
        return tuple(sizes[axis] for axis in matrix.axes)


# What LoRA can be put on, by the names of the PEFT library, and ours.
LORA_TARGETS = {matrix.lora: matrix.name for matrix in MATRICES if matrix.lora is not None}


def _known_targets(_: object, __: Attribute[Any], value: tuple[str, ...]) -> None:
    unknown = [name for name in value if name not in LORA_TARGETS]
    if unknown or not value:
        known = ", ".join(LORA_TARGETS)
        raise ValueError(f"targets: unknown {', '.join(unknown) or '(none)'}; known: {known}")


@frozen
class Lora:
    """Low-rank adapters beside frozen weights (Hu et al., 2021).

    Args:
        rank: Inner width of an adapter.
        alpha: An adapter's output is multiplied by ``alpha / rank``.
        targets: Which matrices get one, by the names of the PEFT library.
    """

    rank: int = field(validator=positive)
    alpha: float = field(validator=positive)
    targets: tuple[str, ...] = field(default=tuple(LORA_TARGETS), validator=_known_targets)

    @property
    def scale(self) -> float:
        """Factor of an adapter's output."""
        return self.alpha / self.rank

    def rank_of(self, name: str) -> int:
        """Rank of the adapter of one of our matrices; 0 when it has none."""
        return self.rank if name in {LORA_TARGETS[target] for target in self.targets} else 0
