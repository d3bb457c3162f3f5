"""What a block does between its two halves' norms with every token by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax

from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.layers import Projection

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu_tanh": jax.nn.gelu,
}


def feed_forward(
    x: jax.Array, matrices: Mapping[str, Projection], config: DecoderConfig
) -> jax.Array:
    """The gated MLP (Shazeer, 2020).

    Args:
        x: [batch, length, d_model], normalised.
        matrices: Those of the block, by name.
        config: Names the activation.

    Returns:
        As ``x``.
    """
    activation = _ACTIVATIONS[config.activation]
    return matrices["down"](activation(matrices["gate"](x)) * matrices["up"](x))
