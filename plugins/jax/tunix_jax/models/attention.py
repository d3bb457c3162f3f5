"""Causal attention over packed rows: dense, or block by block in memory linear in the length."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.splash import attend_splash, splash_can
from tunix_jax.sharding import ROWS, TENSOR

# Tokens per block: on accelerators enough to keep their matrix units busy; CPUs have more from
# leaving out what the mask rules out.
BLOCKS = {"cpu": 128, "gpu": 512, "tpu": 512}
# Up to this length the whole square of scores is cheaper than a loop over its blocks.
DENSE_LENGTHS = {"cpu": 128, "gpu": 1024, "tpu": 1024}
# The TPU kernel computes whole rows; in longer ones, leaving out what lies in other segments is
# worth more than its speed (by arithmetic for examples of a few hundred tokens, not measured).
SPLASH_LENGTH = 8192
_MASKED = -1e30


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    *,
    config: DecoderConfig,
    kind: str = "auto",
    mesh: Mesh | None = None,
) -> jax.Array:
    """Attention of every token to those before it in its segment and window.

    Args:
        query: [batch, length, heads, head_dim].
        key: [batch, length, kv_heads, head_dim].
        value: As ``key``.
        segments: int32[batch, length].
        window: int32; how many tokens back a token sees, itself included.
        config: Scale and softcap of the scores.
        kind: ``dense``, ``blockwise``, ``splash`` (slow where there is no TPU), or ``auto``.
        mesh: Devices over which rows and heads are spread, or None.

    Returns:
        [batch, length, heads * head_dim].
    """
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    if kind == "auto":
        kind = _fastest(query.shape[1], config.head_dim, platform)
    forms: dict[str, Callable[..., jax.Array]] = {
        "dense": _dense,
        "blockwise": partial(_blockwise, largest_block=BLOCKS.get(platform, 512)),
        "splash": partial(attend_splash, interpret=platform != "tpu"),
    }
    run = partial(forms[kind], config=config)
    if mesh is None or mesh.size == 1:
        return run(query, key, value, segments, window)
    if config.kv_heads % mesh.shape[TENSOR]:
        repeats = config.heads // config.kv_heads
        key, value = (jnp.repeat(x, repeats, axis=2) for x in (key, value))
    heads = P(ROWS, None, TENSOR, None)
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(heads, heads, heads, P(ROWS, None), P()),
        out_specs=P(ROWS, None, TENSOR),
        check_vma=False,
    )(query, key, value, segments, window)


def _fastest(length: int, head_dim: int, platform: str) -> str:
    if length <= DENSE_LENGTHS.get(platform, 1024):
        return "dense"
    if platform == "tpu" and length <= SPLASH_LENGTH and splash_can(length, head_dim):
        return "splash"
    return "blockwise"


def attend_dense(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array,
    scale: float,
    softcap: float | None,
) -> jax.Array:
    """Softmax attention in float32, each key head shared by a group of query heads.

    Args:
        query: [batch, queries, heads, head_dim].
        key: [batch, keys, kv_heads, head_dim].
        value: As ``key``.
        mask: bool[batch, queries, keys]; True where a query may look.
        scale: Factor of the scores.
        softcap: Bound of the scores, or None.

    Returns:
        [batch, queries, heads * head_dim].
    """
    batch, queries, heads, width = query.shape
    groups = key.shape[2]
    grouped = query.reshape(batch, queries, groups, heads // groups, width)
    scores = jnp.einsum("bqgrd,bkgd->bgrqk", grouped, key, preferred_element_type=jnp.float32)
    scores = _capped(scores * scale, softcap)
    scores = jnp.where(mask[:, None, None], scores, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bgrqk,bkgd->bqgrd", weights, value)
    return mixed.reshape(batch, queries, heads * width)


def _capped(scores: jax.Array, softcap: float | None) -> jax.Array:
    return scores if softcap is None else softcap * jnp.tanh(scores / softcap)


def _dense(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    *,
    config: DecoderConfig,
) -> jax.Array:
    places = jnp.arange(query.shape[1])
    distance = places[:, None] - places[None, :]
    mask = (segments[:, :, None] == segments[:, None, :]) & (distance >= 0) & (distance < window)
    return attend_dense(query, key, value, mask, config.scale, config.attention_softcap)


def _blockwise(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    *,
    config: DecoderConfig,
    largest_block: int,
) -> jax.Array:
    """Cut the row into blocks, padded to a whole number of them, and attend block by block."""
    batch, length, heads, width = query.shape
    block = min(largest_block, -(-length // 128) * 128)
    padding = -length % block

    def cut(x: jax.Array) -> jax.Array:
        """[batch, length, ...] to [blocks, batch, block, ...]."""
        widths = [(0, 0), (0, padding)] + [(0, 0)] * (x.ndim - 2)
        padded = jnp.pad(x, widths)
        return jnp.moveaxis(padded.reshape(batch, -1, block, *x.shape[2:]), 1, 0)

    groups = key.shape[2]
    grouped = query.reshape(batch, length, groups, heads // groups, width)
    out = _flash(
        cut(grouped),
        cut(key),
        cut(value),
        cut(segments),
        window,
        config.scale,
        config.attention_softcap,
    )
    whole = jnp.moveaxis(out, 0, 1).reshape(batch, length + padding, heads * width)
    return whole[:, :length]


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _flash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    scale: float,
    softcap: float | None,
) -> jax.Array:
    """Attention with a running softmax (Dao et al., 2022): no square of scores is ever kept.

    Args:
        query: [blocks, batch, block, kv_heads, group, head_dim].
        key: [blocks, batch, block, kv_heads, head_dim].
        value: As ``key``.
        segments: int32[blocks, batch, block].
        window: int32.
        scale: Factor of the scores.
        softcap: Bound of the scores, or None.

    Returns:
        As ``query``.
    """
    return _flash_forward(query, key, value, segments, window, scale, softcap)[0]


def _flash_forward(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    scale: float,
    softcap: float | None,
) -> tuple[jax.Array, Any]:
    blocks, batch, block, groups, group, width = query.shape
    rows = (batch, groups, group, block)
    first = _first_blocks(segments, window)

    def of_queries(i: jax.Array) -> tuple[jax.Array, jax.Array]:
        def with_keys(j: jax.Array, carry: Any) -> Any:
            highest, total, mixed = carry
            scores, _ = _scores(query[i], key[j], segments, window, i, j, scale, softcap)
            new_highest = jnp.maximum(highest, scores.max(-1))
            weights = jnp.exp(scores - new_highest[..., None])
            shrink = jnp.exp(highest - new_highest)
            added = jnp.einsum(
                "bgrqk,bkgd->bgrqd",
                weights.astype(value.dtype),
                value[j],
                preferred_element_type=jnp.float32,
            )
            return (
                new_highest,
                total * shrink + weights.sum(-1),
                mixed * shrink[..., None] + added,
            )

        start = (jnp.full(rows, _MASKED), jnp.zeros(rows), jnp.zeros((*rows, width)))
        highest, total, mixed = jax.lax.fori_loop(first[i], i + 1, with_keys, start)
        out = jnp.einsum("bgrqd->bqgrd", mixed / total[..., None])
        return out.astype(query.dtype), highest + jnp.log(total)

    out, normaliser = jax.lax.map(of_queries, jnp.arange(blocks))
    return out, (query, key, value, segments, window, out, normaliser)


def _flash_backward(scale: float, softcap: float | None, kept: Any, given: jax.Array) -> Any:
    query, key, value, segments, window, out, normaliser = kept
    first = _first_blocks(segments, window)
    products = given.astype(jnp.float32) * out.astype(jnp.float32)
    delta = jnp.einsum("nbqgrd->nbgrq", products)

    def of_queries(sums: Any, i: jax.Array) -> tuple[Any, jax.Array]:
        def with_keys(j: jax.Array, carry: Any) -> Any:
            d_query, d_key, d_value = carry
            scores, slope = _scores(query[i], key[j], segments, window, i, j, scale, softcap)
            weights = jnp.exp(scores - normaliser[i][..., None])
            d_weights = _product("bqgrd,bkgd->bgrqk", given[i], value[j])
            d_scores = (weights * (d_weights - delta[i][..., None]) * slope).astype(query.dtype)
            d_query += _product("bgrqk,bkgd->bqgrd", d_scores, key[j])
            d_key = d_key.at[j].add(_product("bgrqk,bqgrd->bkgd", d_scores, query[i]))
            mixed = _product("bgrqk,bqgrd->bkgd", weights.astype(query.dtype), given[i])
            return d_query, d_key, d_value.at[j].add(mixed)

        start = (jnp.zeros(query.shape[1:], jnp.float32), *sums)
        d_query, *sums = jax.lax.fori_loop(first[i], i + 1, with_keys, start)
        return tuple(sums), d_query.astype(query.dtype)

    empty = (jnp.zeros(key.shape, jnp.float32), jnp.zeros(value.shape, jnp.float32))
    (d_key, d_value), d_query = jax.lax.scan(of_queries, empty, jnp.arange(query.shape[0]))
    return d_query, d_key.astype(key.dtype), d_value.astype(value.dtype), None, None


_flash.defvjp(_flash_forward, _flash_backward)


def _scores(
    query: jax.Array,
    key: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    i: jax.Array,
    j: jax.Array,
    scale: float,
    softcap: float | None,
) -> tuple[jax.Array, jax.Array | float]:
    """Masked scores of block ``i`` against block ``j``, and their slope by the raw products.

    Returns:
        float32[batch, kv_heads, group, block, block] both, or a number for the slope.
    """
    block = query.shape[1]
    raw = _product("bqgrd,bkgd->bgrqk", query, key) * scale
    scores = _capped(raw, softcap)
    slope: jax.Array | float = scale
    if softcap is not None:
        slope = scale * (1.0 - (scores / softcap) ** 2)
    places = jnp.arange(block)
    distance = (i - j) * block + places[:, None] - places[None, :]
    mask = segments[i][:, :, None] == segments[j][:, None, :]
    mask &= (distance >= 0) & (distance < window)
    return jnp.where(mask[:, None, None], scores, _MASKED), slope


def _first_blocks(segments: jax.Array, window: jax.Array) -> jax.Array:
    """int32[blocks]: the first block of keys that any query of a block can see.

    Those before its window, and those before the segment that its first token belongs to, are
    seen by none, so that rows of many short examples cost what the examples cost.
    """
    blocks, batch, block = segments.shape
    flat = jnp.moveaxis(segments, 0, 1).reshape(batch, -1)
    places = jnp.arange(flat.shape[1])
    begins = jnp.concatenate([jnp.ones((batch, 1), bool), flat[:, 1:] != flat[:, :-1]], axis=1)
    segment_begin = jax.lax.cummax(jnp.where(begins, places, 0), axis=1)[:, ::block].min(axis=0)
    window_begin = jnp.arange(blocks) * block - window + 1
    return jnp.maximum(segment_begin, window_begin) // block


def _product(equation: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.einsum(equation, left, right, preferred_element_type=jnp.float32)
