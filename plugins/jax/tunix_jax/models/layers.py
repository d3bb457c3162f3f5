"""What blocks are made of: norms, and matrices that may have a bias and an adapter."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.matrices import Matrix


class RMSNorm(nnx.Module):
    """Root mean square normalisation with a learned scale (Zhang and Sennrich, 2019)."""

    def __init__(self, width: int, config: DecoderConfig) -> None:
        self.config = config
        first = jnp.zeros if config.norm_plus_one else jnp.ones
        self.scale = nnx.Param(first((width,), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise the last axis; computed in float32, returned in the type of ``x``."""
        wide = x.astype(jnp.float32)
        mean_square = jnp.mean(wide * wide, axis=-1, keepdims=True)
        wide *= jax.lax.rsqrt(mean_square + self.config.norm_eps)
        factor = self.scale[...].astype(jnp.float32) + float(self.config.norm_plus_one)
        return (wide * factor).astype(x.dtype)


class Projection(nnx.Module):
    """A matrix [..., inputs, outputs] that computes in its input's type, perhaps with an adapter.

    Args:
        matrix: Which of a block's.
        config: Its sizes, and whether it has a bias.
        lora: Its adapter, or None.
        rngs: Draws the weight.
    """

    def __init__(
        self, matrix: Matrix, config: DecoderConfig, lora: Lora | None, rngs: nnx.Rngs
    ) -> None:
        shape = config.shape(matrix)
        inputs, outputs = shape[-2:]
        rank, self.lora_scale = (
            (0, 1.0) if lora is None else (lora.rank_of(matrix.name), lora.scale)
        )
        draw = jax.random.normal(rngs.params(), shape, jnp.float32)
        self.weight = nnx.Param(draw * inputs**-0.5)
        if matrix.biased and config.attention_bias:
            self.bias = nnx.Param(jnp.zeros((outputs,), jnp.float32))
        if rank:
            # A draws, B is zero, so that an adapter begins as nothing (Hu et al., 2021).
            draw = jax.random.normal(rngs.params(), (inputs, rank), jnp.float32)
            self.lora_a = nnx.Param(draw * inputs**-0.5)
            self.lora_b = nnx.Param(jnp.zeros((rank, outputs), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """``x`` [..., inputs] to [..., outputs]."""
        y = x @ self.weight[...].astype(x.dtype)
        if hasattr(self, "bias"):
            y = y + self.bias[...].astype(x.dtype)
        if hasattr(self, "lora_a"):
            inner = x @ self.lora_a[...].astype(x.dtype)
            y = y + inner @ self.lora_b[...].astype(x.dtype) * self.lora_scale
        return y
