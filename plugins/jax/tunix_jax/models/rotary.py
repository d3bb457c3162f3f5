"""Rotary position embedding (Su et al., 2021)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tunix_jax.models.decoder_config import RopeScaling


def rotary_frequencies(
    head_dim: int, theta: float, scaling: RopeScaling | None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Radians per token, float32[head_dim / 2] (Su et al., 2021), stretched by ``scaling``."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    if scaling is None:
        return frequencies
    stretched = frequencies / scaling.factor
    if scaling.kind == "linear":
        return stretched.astype(np.float32)
    turns = scaling.original_length * frequencies / (2 * np.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return ((1 - share) * stretched + share * frequencies).astype(np.float32)


def rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Rotary position embedding, halves rotated against each other, computed in float32.

    Args:
        x: [batch, length, heads, head_dim].
        angles: float32[batch, length, head_dim / 2] in radians.
    """
    cos, sin = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
