"""The decoder: RMSNorm, rotary grouped-query attention, gated MLP, tied embeddings."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from tunix_jax.config import ModelConfig

# Keys and values of one layer: [batch, length, kv_heads, head_dim] each.
LayerCache = tuple[jax.Array, jax.Array]


class RMSNorm(nnx.Module):
    """Root mean square normalisation with a learned scale (Zhang and Sennrich, 2019)."""

    def __init__(self, width: int) -> None:
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise the last axis; computed in float32, returned in the type of ``x``."""
        wide = x.astype(jnp.float32)
        wide *= jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + 1e-6)
        return (wide * self.scale[...]).astype(x.dtype)


class Projection(nnx.Module):
    """A matrix without bias; weights float32[inputs, outputs], computing in the input's type."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs) -> None:
        scale = inputs**-0.5
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (inputs, outputs)) * scale)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.weight[...].astype(x.dtype)


def rotate(x: jax.Array, positions: jax.Array, theta: float) -> jax.Array:
    """Rotary position embedding (Su et al., 2021), halves rotated against each other.

    Args:
        x: [batch, length, heads, head_dim].
        positions: int32[batch, length].
        theta: Base of the frequencies.
    """
    half = x.shape[-1] // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None].astype(jnp.float32) * frequencies
    cos, sin = (f(angles)[:, :, None, :].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> jax.Array:
    """Softmax attention in float32, each key head shared by a group of query heads.

    Args:
        query: [batch, queries, heads, head_dim].
        key: [batch, keys, kv_heads, head_dim].
        value: as ``key``.
        mask: bool[batch, queries, keys]; True where a query may look.

    Returns:
        [batch, queries, heads * head_dim].
    """
    batch, queries, heads, width = query.shape
    groups = key.shape[2]
    grouped = query.reshape(batch, queries, groups, heads // groups, width)
    scores = jnp.einsum("bqgrd,bkgd->bgrqk", grouped, key).astype(jnp.float32) * width**-0.5
    scores = jnp.where(mask[:, None, None], scores, -1e30)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bgrqk,bkgd->bqgrd", weights, value)
    return mixed.reshape(batch, queries, heads * width)


class Block(nnx.Module):
    """Attention and MLP, each with a norm before it and a residual around it."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        queries = config.heads * config.head_dim
        keys = config.kv_heads * config.head_dim
        self.attention_norm = RMSNorm(config.d_model)
        self.qkv = Projection(config.d_model, queries + 2 * keys, rngs)
        if config.qk_norm:
            self.query_norm = RMSNorm(config.head_dim)
            self.key_norm = RMSNorm(config.head_dim)
        self.attention_out = Projection(queries, config.d_model, rngs)
        self.mlp_norm = RMSNorm(config.d_model)
        self.mlp_in = Projection(config.d_model, 2 * config.d_ff, rngs)
        self.mlp_out = Projection(config.d_ff, config.d_model, rngs)

    def project(self, x: jax.Array, positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Rotated queries and keys, and values, each [batch, length, heads, head_dim]."""
        config = self.config
        queries = config.heads * config.head_dim
        keys = config.kv_heads * config.head_dim
        packed = self.qkv(self.attention_norm(x))
        parts = jnp.split(packed, (queries, queries + keys), axis=-1)
        query, key, value = (part.reshape(*x.shape[:2], -1, config.head_dim) for part in parts)
        if config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        theta = config.rope_theta
        return rotate(query, positions, theta), rotate(key, positions, theta), value

    def finish(self, x: jax.Array, attended: jax.Array) -> jax.Array:
        """Add what attention and MLP say to the residual stream."""
        x = x + self.attention_out(attended)
        gate, value = jnp.split(self.mlp_in(self.mlp_norm(x)), 2, axis=-1)
        return x + self.mlp_out(jax.nn.silu(gate) * value)


class Decoder(nnx.Module):
    """A decoder-only language model.

    Args:
        config: Its shape.
        rngs: Randomness of the initial weights.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        shape = (config.vocab_size, config.d_model)
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), shape) * config.d_model**-0.5)
        if config.previous_token:
            self.previous_embedding = nnx.Param(
                jax.random.normal(rngs.params(), shape) * config.d_model**-0.5
            )
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.layers)])
        self.final_norm = RMSNorm(config.d_model)

    def hidden(
        self, tokens: jax.Array, segments: jax.Array, positions: jax.Array, dtype: jnp.dtype
    ) -> jax.Array:
        """The normalised last hidden states of packed rows.

        Args:
            tokens: int32[batch, length].
            segments: int32[batch, length]; tokens see only their own segment.
            positions: int32[batch, length].
            dtype: Type of the computation.

        Returns:
            dtype[batch, length, d_model].
        """
        length = tokens.shape[1]
        mask = segments[:, :, None] == segments[:, None, :]
        mask &= jnp.tril(jnp.ones((length, length), bool))
        x = self.embed(tokens, before(tokens, positions), dtype)
        for block in self.blocks:
            query, key, value = block.project(x, positions)
            x = block.finish(x, attend(query, key, value, mask))
        return self.final_norm(x)

    def embed(self, tokens: jax.Array, previous: jax.Array, dtype: jnp.dtype) -> jax.Array:
        """Embeddings of tokens and, where the config says so, of the tokens before them."""
        x = self.embedding[...].astype(dtype)[tokens]
        if self.config.previous_token:
            x = x + self.previous_embedding[...].astype(dtype)[previous]
        scaled: jax.Array = x * self.config.d_model**0.5
        return scaled

    def logits(self, hidden: jax.Array) -> jax.Array:
        """float32[..., vocab_size] from hidden states, by the transposed embedding."""
        table: jax.Array = self.embedding[...].astype(hidden.dtype)
        logits: jax.Array = (hidden @ table.T).astype(jnp.float32)
        return logits

    def step(
        self,
        tokens: jax.Array,
        previous: jax.Array,
        positions: jax.Array,
        cache: list[LayerCache],
        mask: jax.Array,
        at: jax.Array | int,
    ) -> tuple[jax.Array, list[LayerCache]]:
        """Run tokens against a cache of earlier ones.

        Args:
            tokens: int32[batch, new].
            previous: int32[batch, new]; the token before each, see :func:`before`.
            positions: int32[batch, new].
            cache: Keys and values of every layer.
            mask: bool[batch, new, length]; which cached places each token may look at.
            at: int32; where in the cache the new keys and values go, the same for all rows.

        Returns:
            Hidden states [batch, new, d_model] and the cache with the new tokens in it.
        """
        x = self.embed(tokens, previous, cache[0][0].dtype)
        written = []
        for block, (keys, values) in zip(self.blocks, cache, strict=True):
            query, key, value = block.project(x, positions)
            keys, values = _write(keys, key, at), _write(values, value, at)
            written.append((keys, values))
            x = block.finish(x, attend(query, keys, values, mask))
        return self.final_norm(x), written

    def empty_cache(self, batch: int, length: int, dtype: jnp.dtype) -> list[LayerCache]:
        """A cache for ``length`` tokens of ``batch`` rows."""
        config = self.config
        shape = (batch, length, config.kv_heads, config.head_dim)
        return [(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in self.blocks]


def before(tokens: jax.Array, positions: jax.Array) -> jax.Array:
    """The token before each token of its segment, int32[batch, length]; 0 before the first."""
    shifted = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(positions > 0, shifted, 0)


def make_model(config: ModelConfig, seed: int) -> tuple[Any, Any]:
    """Graph definition and parameters (nested dicts of arrays) of a new decoder."""
    graph, params = nnx.split(Decoder(config, nnx.Rngs(params=seed)), nnx.Param)
    return graph, nnx.to_pure_dict(params)


def merge(graph: Any, params: Any) -> Decoder:
    """The module of a graph definition and parameters; cheap, done while tracing."""
    model: Decoder = nnx.merge(graph, nnx.State(jax.tree.map(nnx.Param, params)))
    return model


def _write(cache: jax.Array, new: jax.Array, at: jax.Array | int) -> jax.Array:
    """Put ``new`` [batch, new, heads, width] at place ``at`` of every row."""
    return jax.lax.dynamic_update_slice(cache, new, (0, at, 0, 0))
