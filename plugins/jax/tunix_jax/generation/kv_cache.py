"""Keys and values of earlier tokens: a ring of slots for each row, as long as its layer looks back.

The token at position ``p`` lies in slot ``p mod slots``. For a row whose newest token is at
position ``q``, slot ``s`` thus holds position ``q - (q - s) mod slots``, and nothing yet where
that is negative. A layer without a window has a slot for every position and never wraps.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tunix_jax.models.decoder_config import DecoderConfig

_MASKED = -1e30


class LayerCache(NamedTuple):
    """The cache of one layer.

    Args:
        keys: [rows, kv_heads, slots, head_dim].
        values: As ``keys``.
    """

    keys: jax.Array
    values: jax.Array


def empty_cache(
    config: DecoderConfig, rows: int, length: int, dtype: jnp.dtype
) -> list[LayerCache]:
    """A cache of every layer for ``rows`` texts of at most ``length`` tokens."""

    def layer(window: int | None) -> LayerCache:
        slots = length if window is None else min(window, length)
        shape = (rows, config.kv_heads, slots, config.head_dim)
        return LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    return [layer(window) for window in config.windows]


def insert(
    cache: LayerCache, key: jax.Array, value: jax.Array, lengths: jax.Array, rows: jax.Array
) -> LayerCache:
    """Replace whole rows by those of new prompts.

    Args:
        cache: The cache of a layer.
        key: [prompts, length, kv_heads, head_dim]; right-padded.
        value: As ``key``.
        lengths: int32[prompts]; their lengths without padding, at least 1.
        rows: int32[prompts]; where they go; a number beyond the last row drops the prompt.
    """
    held = jnp.maximum(_held(lengths - 1, cache.keys.shape[2]), 0)

    def put(cached: jax.Array, new: jax.Array) -> jax.Array:
        # Slots that hold nothing yet get a copy of the first token, which is never looked at.
        chosen = jnp.take_along_axis(new, held[:, :, None, None], axis=1)
        return cached.at[rows].set(jnp.swapaxes(chosen, 1, 2), mode="drop")

    return LayerCache(put(cache.keys, key), put(cache.values, value))


def append(cache: LayerCache, key: jax.Array, value: jax.Array, positions: jax.Array) -> LayerCache:
    """Write one token of each row over the oldest one.

    Args:
        cache: The cache of a layer.
        key: [rows, 1, kv_heads, head_dim].
        value: As ``key``.
        positions: int32[rows]; where the tokens stand.
    """
    slots = positions % cache.keys.shape[2]

    def put(cached: jax.Array, new: jax.Array) -> jax.Array:
        return jax.vmap(
            lambda row, token, slot: jax.lax.dynamic_update_slice(row, token, (0, slot, 0))
        )(cached, jnp.swapaxes(new, 1, 2), slots)

    return LayerCache(put(cache.keys, key), put(cache.values, value))


def attend_cached(
    query: jax.Array, cache: LayerCache, positions: jax.Array, config: DecoderConfig
) -> jax.Array:
    """Softmax attention in float32 of each row's newest token to what its row holds.

    Args:
        query: [rows, 1, heads, head_dim].
        cache: The cache of a layer, the newest token in it.
        positions: int32[rows]; where the newest tokens stand.
        config: Scale and softcap of the scores.

    Returns:
        [rows, 1, heads * head_dim].
    """
    rows, _, heads, width = query.shape
    groups, slots = cache.keys.shape[1:3]
    grouped = query.reshape(rows, groups, heads // groups, width)
    scores = jnp.einsum("bgrd,bgsd->bgrs", grouped, cache.keys, preferred_element_type=jnp.float32)
    scores *= config.scale
    if (cap := config.attention_softcap) is not None:
        scores = cap * jnp.tanh(scores / cap)
    seen = _held(positions, slots) >= 0
    scores = jnp.where(seen[:, None, None], scores, _MASKED)
    shares = jax.nn.softmax(scores, axis=-1).astype(cache.values.dtype)
    return jnp.einsum("bgrs,bgsd->bgrd", shares, cache.values).reshape(rows, 1, heads * width)


def _held(newest: jax.Array, slots: int) -> jax.Array:
    """The position that each slot holds, int32[rows, slots]; negative where it holds none."""
    return newest[:, None] - (newest[:, None] - jnp.arange(slots)) % slots
