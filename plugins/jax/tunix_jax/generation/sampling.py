"""Choosing the next token: greedy, temperature, top-k, top-p, min-p, without sorting."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from tunix_core.protocols import GenerationConfig

# Tokens that are summed together when one is drawn.
_CHUNK = 128


class Sampling(NamedTuple):
    """How to choose; every field is a scalar that may change without a new compilation.

    The filters apply to the distribution after temperature, each to what the one before left:
    top-k, then top-p, then min-p. Tokens as likely as the last one kept are kept too.

    Args:
        temperature: float32; 0 is greedy, and then the others do nothing.
        top_k: int32; keep the k likeliest tokens; 0 keeps all (Fan et al., 2018).
        top_p: float32; keep the fewest likeliest tokens that have this share of the probability;
            1 keeps all (Holtzman et al., 2020).
        min_p: float32; keep tokens at least this times as likely as the likeliest; 0 keeps all
            (Nguyen et al., 2024).
    """

    temperature: jax.Array | np.float32
    top_k: jax.Array | np.int32
    top_p: jax.Array | np.float32
    min_p: jax.Array | np.float32

    @classmethod
    def of(cls, config: GenerationConfig) -> Sampling:
        """The settings of a generation config."""
        return cls(
            np.float32(config.temperature),
            np.int32(config.top_k),
            np.float32(config.top_p),
            np.float32(config.min_p),
        )


def row_key(seed: int, item_id: str, sample: int) -> NDArray[np.uint32]:
    """64 bits, uint32[2], that depend on the seed, the item and the sample, and nothing else."""
    text = f"{seed}/{item_id}/{sample}".encode()
    return np.frombuffer(blake2b(text, digest_size=8).digest(), ">u4").astype(np.uint32)


def choose(
    logits: jax.Array, keys: jax.Array, positions: jax.Array, sampling: Sampling
) -> jax.Array:
    """The next token of each row.

    Args:
        logits: float32[rows, vocab]; finite.
        keys: uint32[rows, 2]; randomness of each row, see :func:`row_key`.
        positions: int32[rows]; where each token will stand. With the key it decides the draw.
        sampling: How to choose.

    Returns:
        int32[rows].
    """

    def greedy() -> jax.Array:
        return _likeliest(logits)

    def sample() -> jax.Array:
        scaled = (logits - jnp.max(logits, axis=-1, keepdims=True)) / sampling.temperature
        return _draw(weights(scaled, sampling), _uniform(keys, positions))

    return jax.lax.cond(sampling.temperature == 0.0, greedy, sample)


def drawn_logprobs(logits: jax.Array, chosen: jax.Array, sampling: Sampling) -> jax.Array:
    """With which log-probability tokens were drawn: after temperature, before the filters.

    Args:
        logits: float32[rows, vocab]; finite.
        chosen: int32[rows].
        sampling: How they were chosen; greedy ones have the log-probability at temperature 1.

    Returns:
        float32[rows]; in nats, at most 0.
    """
    temperature = jnp.where(sampling.temperature == 0.0, 1.0, sampling.temperature)
    scaled = (logits - jnp.max(logits, axis=-1, keepdims=True)) / temperature
    said = jnp.take_along_axis(scaled, chosen[:, None], axis=-1)[:, 0]
    return said - jnp.log(jnp.sum(jnp.exp(scaled), axis=-1))


def _likeliest(logits: jax.Array) -> jax.Array:
    """int32[rows]: ``argmax`` in two stages, since a maximum is vectorised and its place is not."""
    rows, words = logits.shape
    padded = jnp.pad(logits, ((0, 0), (0, -words % _CHUNK)), constant_values=-jnp.inf)
    chunks = padded.reshape(rows, -1, _CHUNK)
    chunk = jnp.argmax(jnp.max(chunks, axis=-1), axis=-1)
    inner = jnp.take_along_axis(chunks, chunk[:, None, None], axis=1)[:, 0]
    return (chunk * _CHUNK + jnp.argmax(inner, axis=-1)).astype(jnp.int32)


def weights(scaled: jax.Array, sampling: Sampling) -> jax.Array:
    """Unnormalised probabilities after the filters, 0 for tokens that are left out.

    Args:
        scaled: float32[rows, vocab]; logits over temperature, the largest of each row 0.
        sampling: How to filter.

    Returns:
        float32[rows, vocab].
    """
    floor = jnp.min(scaled, axis=-1)
    floor = jax.lax.cond(
        (sampling.top_k > 0) & (sampling.top_k < scaled.shape[-1]),
        lambda: _top_k_floor(scaled, floor, sampling.top_k),
        lambda: floor,
    )
    floor = jax.lax.cond(
        sampling.top_p < 1.0, lambda: _top_p_floor(scaled, floor, sampling.top_p), lambda: floor
    )
    floor = jnp.maximum(floor, jnp.log(sampling.min_p))
    return jnp.where(scaled >= floor[:, None], jnp.exp(scaled), 0.0)


def _top_k_floor(scaled: jax.Array, floor: jax.Array, top_k: jax.Array | np.int32) -> jax.Array:
    """The largest value that at least ``top_k`` tokens reach."""

    def excess(threshold: jax.Array) -> jax.Array:
        return jnp.sum(scaled >= threshold[:, None], axis=-1, dtype=jnp.int32) - top_k

    return _bisect(excess, floor)


def _top_p_floor(scaled: jax.Array, floor: jax.Array, top_p: jax.Array | np.float32) -> jax.Array:
    """The largest value at or above which lies a share of ``top_p`` of the mass above ``floor``."""

    def mass(threshold: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(scaled >= threshold[:, None], jnp.exp(scaled), 0.0), axis=-1)

    wanted = top_p * mass(floor)
    return _bisect(lambda threshold: mass(threshold) - wanted, floor)


def _bisect(excess: Callable[[jax.Array], jax.Array], floor: jax.Array) -> jax.Array:
    """The largest float32 at most 0 with ``excess >= 0``, or one that keeps the same tokens.

    Args:
        excess: Falls from 0 or more at ``floor`` to less than 0 just above 0.
        floor: float32[rows]; at most 0.

    Returns:
        float32[rows].
    """

    # The bits of non-positive floats, as integers, count down from 0: halving them is halving the
    # set of floats in between, so that 31 steps find any of them.
    def value(bits: jax.Array) -> jax.Array:
        return -jax.lax.bitcast_convert_type(bits, jnp.float32)

    def going(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        enough, few = state
        return jnp.any(enough - few > 1)

    def halve(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        enough, few = state
        middle = few + (enough - few) // 2
        over = excess(value(middle))
        enough = jnp.where(over >= 0, middle, enough)
        # Exactly enough: no other threshold keeps other tokens.
        few = jnp.where(over == 0, middle, jnp.where(over < 0, middle, few))
        return enough, few

    start = jax.lax.bitcast_convert_type(jnp.abs(floor), jnp.int32)
    enough, _ = jax.lax.while_loop(going, halve, (start, jnp.full_like(start, -1)))
    return value(enough)


def _uniform(keys: jax.Array, positions: jax.Array) -> jax.Array:
    """float32[rows, 2] in [0, 1)."""

    def row(key: jax.Array, position: jax.Array) -> jax.Array:
        typed = jax.random.wrap_key_data(key, impl="threefry2x32")
        return jax.random.uniform(jax.random.fold_in(typed, position), (2,))

    return jax.vmap(row)(keys, positions)


def _draw(mass: jax.Array, uniform: jax.Array) -> jax.Array:
    """An index of each row with probability proportional to its mass.

    First a chunk is drawn by its sum, then a token in it, each with a random number of its own:
    one number of 23 bits could not tell apart the tokens of a vocabulary of 2 ** 18.

    Args:
        mass: float32[rows, vocab]; not negative, the largest of each row 1.
        uniform: float32[rows, 2]; in [0, 1).

    Returns:
        int32[rows].
    """
    rows, vocab = mass.shape
    chunks = jnp.pad(mass, ((0, 0), (0, -vocab % _CHUNK))).reshape(rows, -1, _CHUNK)
    chunk = _invert(jnp.sum(chunks, axis=-1), uniform[:, 0])
    inner = jnp.take_along_axis(chunks, chunk[:, None, None], axis=1)[:, 0]
    return (chunk * _CHUNK + _invert(inner, uniform[:, 1])).astype(jnp.int32)


def _invert(mass: jax.Array, uniform: jax.Array) -> jax.Array:
    """The first index of each row at which the running sum exceeds a share of the sum."""
    running = jnp.cumsum(mass, axis=-1)
    wanted = uniform * running[:, -1]
    # Rounding may put the wanted sum at the end; the last index with mass stands in for it.
    last = jnp.max(jnp.where(mass > 0, jnp.arange(mass.shape[-1]), 0), axis=-1)
    return jnp.minimum(jnp.sum(running <= wanted[:, None], axis=-1), last)
