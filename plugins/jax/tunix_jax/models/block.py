"""One block of a decoder, whatever attention looks at: packed rows, a prompt, or a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.feed_forward import feed_forward
from tunix_jax.models.layers import Projection, RMSNorm
from tunix_jax.models.rotary import rotate

S = TypeVar("S")
Attend = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, S]]


class Block(nnx.Module):
    """Attention and feed-forward, each between norms and with a residual around it.

    Args:
        config: Says which matrices and norms there are.
        lora: Adapters beside the matrices, or None.
        rngs: Draws the weights.
    """

    def __init__(self, config: DecoderConfig, lora: Lora | None, rngs: nnx.Rngs) -> None:
        self.config = config
        for matrix in config.matrices:
            setattr(self, matrix.name, Projection(matrix, config, lora, rngs))
        self.attention_norm = RMSNorm(config.d_model, config)
        self.mlp_norm = RMSNorm(config.d_model, config)
        if config.qk_norm:
            self.query_norm = RMSNorm(config.head_dim, config)
            self.key_norm = RMSNorm(config.head_dim, config)
        if config.post_norms:
            self.post_attention_norm = RMSNorm(config.d_model, config)
            self.post_mlp_norm = RMSNorm(config.d_model, config)

    def __call__(
        self, x: jax.Array, positions: jax.Array, frequencies: jax.Array, attend: Attend[S]
    ) -> tuple[jax.Array, S]:
        """Add what attention and feed-forward say to the stream.

        Args:
            x: [batch, length, d_model].
            positions: int32[batch, length].
            frequencies: float32[head_dim / 2] of this layer, in radians per token.
            attend: Takes rotated queries [batch, length, heads, head_dim] and keys, and values,
                [batch, length, kv_heads, head_dim] both; returns what was attended to
                [batch, length, heads * head_dim], and what is carried on.

        Returns:
            As ``x``, and what ``attend`` carries on.
        """
        matrices: dict[str, Projection] = {
            matrix.name: getattr(self, matrix.name) for matrix in self.config.matrices
        }
        normed = self.attention_norm(x)
        query, key, value = (
            matrices[name](normed).reshape(*x.shape[:2], -1, self.config.head_dim)
            for name in ("query", "key", "value")
        )
        if self.config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        angles = positions[..., None].astype(jnp.float32) * frequencies
        attended, carried = attend(rotate(query, angles), rotate(key, angles), value)
        said = matrices["attention_out"](attended)
        x = x + (self.post_attention_norm(said) if self.config.post_norms else said)
        said = feed_forward(self.mlp_norm(x), matrices, self.config)
        return x + (self.post_mlp_norm(said) if self.config.post_norms else said), carried
