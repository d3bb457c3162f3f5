"""One device's pass over the learned places of its rows, a chunk of logits at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tunix_jax.sharding import FSDP, TENSOR

# From log-probabilities, and what else is given for the same tokens, to losses.
TokenLoss = Callable[..., jax.Array]

# Logits in memory at once; 512 MiB as float32.
_LOGITS = 2**27
# Fewer tokens at once do not fill matrix units, and touch the table's gradient too often.
_SMALLEST_CHUNK = 128


class _Chunk(NamedTuple):
    """Some places of all shards along ``fsdp``.

    Args:
        places: int32[own]; where this device's part lies; beyond the end where it is filled up.
        counted: bool[tokens]; False for what fills up.
        states: [tokens, d_model].
        logprobs: float32[tokens]; of the labels.
        slopes: float32[tokens, words]; their gradients by the logits before the softcap.
        given: float32[tokens] each.
    """

    places: jax.Array
    counted: jax.Array
    states: jax.Array
    logprobs: jax.Array
    slopes: jax.Array
    given: tuple[jax.Array, ...]


class _Pass:
    """Learned places first, cut into chunks.

    With ``axes``, the table holds this device's part of the words, and a chunk has the places of
    all shards along ``fsdp``.

    Args:
        hidden: [rows, length, d_model].
        table: [words, d_model], in the type of ``hidden``.
        labels: int32[rows, length].
        learned: bool[rows, length].
        given: float32[rows, length] each.
        softcap: Bound of the logits, or None.
        chunk: Places in a chunk; 0 chooses by the vocabulary.
        words: How many words get a probability.
        axes: Axes of the mesh over which words are spread.
    """

    def __init__(
        self,
        hidden: jax.Array,
        table: jax.Array,
        labels: jax.Array,
        learned: jax.Array,
        *given: jax.Array,
        softcap: float | None,
        chunk: int,
        words: int,
        axes: tuple[str, ...],
    ) -> None:
        self.hidden, self.table = hidden.reshape(-1, hidden.shape[-1]), table
        self._labels, learned = labels.ravel(), learned.ravel()
        self._given = tuple(column.ravel() for column in given)
        self._softcap, self._axes = softcap, axes
        count = learned.shape[0]
        peers = jax.lax.axis_size(FSDP) if axes else 1
        self._chunk = chunk = min(chunk or _usual_chunk(count, table.shape[0] * peers), count)
        # What fills up the last chunk points beyond the end and is dropped.
        order = jnp.argsort(~learned, stable=True)
        self._order = jnp.pad(order, (0, -count % chunk), constant_values=count)
        self._number = jnp.sum(learned)
        self._offset = jax.lax.axis_index(axes) * table.shape[0] if axes else 0
        self._words = words - self._offset

    def run(self, visit: Callable[[_Chunk, Any], Any], start: Any) -> Any:
        """What ``visit(chunk, made)`` makes of ``start`` over all chunks."""
        most = jax.lax.pmax(self._number, FSDP) if self._axes else self._number
        chunks = -(-most // self._chunk)
        return jax.lax.fori_loop(0, chunks, lambda index, made: visit(self._at(index), made), start)

    def own(self, values: jax.Array) -> jax.Array:
        """This device's part of a chunk's values, which all devices know."""
        if not self._axes:
            return values
        begin = jax.lax.axis_index(FSDP) * self._chunk
        return jax.lax.dynamic_slice(values, (begin,), (self._chunk,))

    def own_sum(self, values: jax.Array) -> jax.Array:
        """This device's part of a chunk's values, summed over the words of all devices."""
        if not self._axes:
            return values
        values = jax.lax.psum(values, TENSOR)
        return jax.lax.psum_scatter(values, FSDP, scatter_dimension=0, tiled=True)

    def _at(self, index: jax.Array) -> _Chunk:
        begin = index * self._chunk
        places = jax.lax.dynamic_slice(self._order, (begin,), (self._chunk,))

        def taken(column: jax.Array) -> jax.Array:
            return self._gathered(jnp.take(column, places, axis=0, mode="fill", fill_value=0))

        counted = self._gathered(begin + jnp.arange(self._chunk) < self._number)
        states, labels = taken(self.hidden), taken(self._labels)
        found = _logprobs(
            states, self.table, labels - self._offset, self._softcap, self._words, self._axes
        )
        return _Chunk(places, counted, states, *found, tuple(map(taken, self._given)))

    def _gathered(self, x: jax.Array) -> jax.Array:
        return jax.lax.all_gather(x, FSDP, axis=0, tiled=True) if self._axes else x


def logprobs_pass(*arrays: jax.Array, **settings: Any) -> jax.Array:
    """float32[rows, length]: log-probabilities of the learned labels, see :class:`_Pass`."""
    chunks = _Pass(*arrays, **settings)

    def visit(chunk: _Chunk, made: jax.Array) -> jax.Array:
        own = chunks.own(jnp.where(chunk.counted, chunk.logprobs, 0.0))
        return made.at[chunk.places].set(own, mode="drop")

    shape = arrays[2].shape
    made: jax.Array = chunks.run(visit, jnp.zeros(shape[0] * shape[1]))
    return made.reshape(shape)


def summed_pass(
    *arrays: jax.Array, loss: TokenLoss, gradients: bool, **settings: Any
) -> tuple[jax.Array, ...]:
    """The sum of a loss over learned places, float32, see :class:`_Pass`.

    Args:
        arrays: Those of the pass.
        loss: See :func:`~tunix_jax.objectives.token_losses.summed_token_loss`.
        gradients: Whether gradients are made: those by hidden states, in their type and whole,
            and by the table, float32 and of this device's rows.
        settings: Those of the pass.
    """
    chunks = _Pass(*arrays, **settings)

    def visit(chunk: _Chunk, made: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        # What is not counted may overflow a loss, and 0 times infinity is no number.
        said, *given = (jnp.where(chunk.counted, x, 0) for x in (chunk.logprobs, *chunk.given))
        losses, pull = jax.vjp(lambda said: loss(said, *given), said)
        total = made[0] + jnp.sum(jnp.where(chunk.counted, losses, 0.0))
        if not gradients:
            return (total,)
        (by_logprob,) = pull(jnp.where(chunk.counted, jnp.ones_like(losses), 0.0))
        by_logit = (by_logprob[:, None] * chunk.slopes).astype(chunk.states.dtype)
        return (total, *_added(chunks, chunk, by_logit, *made[1:]))

    start: tuple[jax.Array, ...] = (jnp.zeros(()),)
    if gradients:
        start = (*start, jnp.zeros_like(chunks.hidden), jnp.zeros(chunks.table.shape))
    total, *parts = chunks.run(visit, start)
    return (total, parts[0].reshape(arrays[0].shape), parts[1]) if gradients else (total,)


def _added(
    chunks: _Pass, chunk: _Chunk, by_logit: jax.Array, d_hidden: jax.Array, d_table: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Both gradients with those of a chunk."""
    d_states = jnp.einsum("cv,vd->cd", by_logit, chunks.table, preferred_element_type=jnp.float32)
    d_states = chunks.own_sum(d_states).astype(d_hidden.dtype)
    d_hidden = d_hidden.at[chunk.places].set(d_states, mode="drop")
    added = jnp.einsum("cv,cd->vd", by_logit, chunk.states, preferred_element_type=jnp.float32)
    return d_hidden, d_table + added


def _usual_chunk(count: int, words: int) -> int:
    """Small enough to leave out most of what is masked, and to keep its logits in memory."""
    return max(1, min(_LOGITS // words, max(_SMALLEST_CHUNK, count // 8)))


def _logprobs(
    states: jax.Array,
    table: jax.Array,
    wanted: jax.Array,
    softcap: float | None,
    words: Any,
    axes: tuple[str, ...],
) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities float32[chunk], and their gradients by the logits before the softcap.

    With ``axes``, the table holds this device's words alone: the first of them counts as 0 in
    ``wanted``, and ``words`` of all words lie at or after it.
    """
    raw = jnp.einsum("cd,vd->cv", states, table, preferred_element_type=jnp.float32)
    logits = raw if softcap is None else softcap * jnp.tanh(raw / softcap)
    own = jnp.arange(table.shape[0])
    logits = jnp.where(own < words, logits, -jnp.inf)
    hit = wanted[:, None] == own
    highest = jnp.max(logits, axis=-1)
    if axes:
        highest = jax.lax.pmax(highest, axes)
    weights = jnp.exp(logits - highest[:, None])
    total = jnp.sum(weights, axis=-1)
    said = jnp.sum(jnp.where(hit, logits, 0.0), axis=-1)
    if axes:
        total, said = jax.lax.psum((total, said), axes)
    slopes = hit - weights / total[:, None]
    if softcap is not None:
        slopes *= 1.0 - (jnp.tanh(raw / softcap)) ** 2
    return said - (highest + jnp.log(total)), slopes
