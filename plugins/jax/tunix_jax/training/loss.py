"""What training minimises: cross-entropy of the completion, without ever holding all logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.sharding import DATA, FSDP, ROWS, TENSOR

# tokens, segments, positions and targets of some packed rows; int32[rows, length] each.
Batch = dict[str, Any]
# Logits in memory at once; 512 MiB as float32.
_LOGITS = 2**27
# Fewer tokens at once do not fill matrix units, and touch the table's gradient too often.
_SMALLEST_CHUNK = 128


def summed_loss(
    decoder: Decoder, params: Params, batch: Batch, dtype: jnp.dtype, chunk: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the next token, summed over the tokens to be learned, and their number.

    A token is learned from the one before it in the same segment; a first token never is. Sum
    and number come apart, so that batches and micro-batches can be weighted by tokens.

    Args:
        decoder: The model.
        params: Its parameters.
        batch: Packed rows.
        dtype: Type of the computation up to the logits.
        chunk: Tokens whose logits are in memory at once; 0 chooses by the vocabulary.

    Returns:
        float32 sum of losses in nats and float32 number of tokens.
    """
    hidden = decoder.hidden(params, batch["tokens"], batch["segments"], batch["positions"], dtype)
    labels, learned = next_tokens(batch)
    total = cross_entropy(
        hidden,
        decoder.table(params),
        labels,
        learned,
        softcap=decoder.config.logit_softcap,
        chunk=chunk,
        mesh=decoder.execution.mesh,
    )
    return total, jnp.sum(learned, dtype=jnp.float32)


def next_tokens(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """What each place is to say, int32[rows, length], and whether that is learned, bool."""
    labels = jnp.roll(batch["tokens"], -1, axis=1)
    follows = (batch["targets"] > 0) & (batch["positions"] > 0)
    learned = jnp.roll(follows, -1, axis=1).at[:, -1].set(False)
    return labels, learned


def cross_entropy(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    *,
    softcap: float | None = None,
    chunk: int = 0,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Summed cross-entropy whose gradient is made while the logits are there anyway.

    Only places that are learned are multiplied with the table, ``chunk`` at a time, so memory
    does not grow with the number of tokens, and time not with those that are masked.

    Args:
        hidden: [rows, length, d_model].
        table: [vocabulary, d_model].
        labels: int32[rows, length].
        learned: bool[rows, length].
        softcap: Bound of the logits, or None.
        chunk: Tokens whose logits are in memory at once; 0 chooses by the vocabulary.
        mesh: Devices over which rows and vocabulary are spread, or None.

    Returns:
        float32 sum of losses in nats.
    """
    mesh = None if mesh is None or mesh.size == 1 else mesh
    words = table.shape[0]
    parts = 1 if mesh is None else mesh.shape[TENSOR] * mesh.shape[FSDP]
    # A vocabulary that cannot be cut is padded; the added words get no probability.
    table = jnp.pad(table, ((0, -words % parts), (0, 0)))
    return _cross_entropy(hidden, table, labels, learned, softcap, chunk, mesh, words)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def _cross_entropy(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    softcap: float | None,
    chunk: int,
    mesh: Mesh | None,
    words: int,
) -> jax.Array:
    total, _, _ = _spread(hidden, table, labels, learned, softcap, chunk, mesh, words, False)
    return total


def _forward(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    softcap: float | None,
    chunk: int,
    mesh: Mesh | None,
    words: int,
) -> tuple[jax.Array, Any]:
    total, d_hidden, d_table = _spread(
        hidden, table, labels, learned, softcap, chunk, mesh, words, True
    )
    return total, (d_hidden, d_table.astype(table.dtype))


def _backward(
    softcap: float | None, chunk: int, mesh: Mesh | None, words: int, kept: Any, given: jax.Array
) -> Any:
    d_hidden, d_table = kept
    return (
        d_hidden * given.astype(d_hidden.dtype),
        d_table * given.astype(d_table.dtype),
        None,
        None,
    )


_cross_entropy.defvjp(_forward, _backward)


def _spread(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    softcap: float | None,
    chunk: int,
    mesh: Mesh | None,
    words: int,
    gradients: bool,
) -> Any:
    """Run :func:`_local` on every device's rows and words, and add up what belongs together."""
    table = table.astype(hidden.dtype)
    local = partial(_local, softcap=softcap, chunk=chunk, words=words, gradients=gradients)
    if mesh is None:
        return local(hidden, table, labels, learned, axes=())

    # Each device holds some of the words, and sees the chunks of all shards of the rows: what
    # moves are hidden states, which are smaller than the table and its gradient.
    def on_device(*arrays: jax.Array) -> Any:
        total, d_hidden, d_table = local(*arrays, axes=(TENSOR, FSDP))
        return jax.lax.psum(total, DATA), d_hidden, jax.lax.psum(d_table, DATA)

    rows, row_words = P(ROWS, None), P((TENSOR, FSDP), None)
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(P(ROWS, None, None), row_words, rows, rows),
        out_specs=(P(), P(ROWS, None, None), row_words),
        check_vma=False,
    )(hidden, table, labels, learned)


def _local(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    *,
    softcap: float | None,
    chunk: int,
    words: int,
    gradients: bool,
    axes: tuple[str, ...],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sum of losses, and its gradients by hidden states and table where they are wanted.

    With ``axes``, the table holds this device's part of the words, and the sum is over the rows
    of all shards along ``fsdp``.
    """
    shape = hidden.shape
    hidden, labels, learned = hidden.reshape(-1, shape[-1]), labels.ravel(), learned.ravel()
    count = hidden.shape[0]
    peers = jax.lax.axis_size(FSDP) if axes else 1
    chunk = min(chunk or _usual_chunk(count, table.shape[0] * peers), count)
    # Learned places first; what fills up the last chunk points beyond the end and is dropped.
    order = jnp.argsort(~learned, stable=True)
    order = jnp.pad(order, (0, -count % chunk), constant_values=count)
    number = jnp.sum(learned)
    most = jax.lax.pmax(number, FSDP) if axes else number
    offset = jax.lax.axis_index(axes) * table.shape[0] if axes else 0

    def gathered(x: jax.Array) -> jax.Array:
        return jax.lax.all_gather(x, FSDP, axis=0, tiled=True) if axes else x

    def one_chunk(index: jax.Array, carry: Any) -> Any:
        total, d_hidden, d_table = carry
        places = jax.lax.dynamic_slice(order, (index * chunk,), (chunk,))
        counted = gathered(index * chunk + jnp.arange(chunk) < number)
        states = gathered(jnp.take(hidden, places, axis=0, mode="fill", fill_value=0))
        wanted = gathered(jnp.take(labels, places, mode="fill", fill_value=0)) - offset
        losses, d_logits = _losses(states, table, wanted, softcap, words - offset, axes)
        total += jnp.sum(jnp.where(counted, losses, 0.0))
        if not gradients:
            return total, d_hidden, d_table
        d_logits = jnp.where(counted[:, None], d_logits, 0.0).astype(hidden.dtype)
        d_states = jnp.einsum("cv,vd->cd", d_logits, table, preferred_element_type=jnp.float32)
        if axes:
            d_states = jax.lax.psum(d_states, TENSOR)
            d_states = jax.lax.psum_scatter(d_states, FSDP, scatter_dimension=0, tiled=True)
        d_hidden = d_hidden.at[places].set(d_states.astype(hidden.dtype), mode="drop")
        d_table += jnp.einsum("cv,cd->vd", d_logits, states, preferred_element_type=jnp.float32)
        return total, d_hidden, d_table

    empty = jnp.zeros(table.shape if gradients else (1, 1), jnp.float32)
    nothing = jnp.zeros_like(hidden) if gradients else hidden
    start = (jnp.zeros(()), nothing, empty)
    total, d_hidden, d_table = jax.lax.fori_loop(0, -(-most // chunk), one_chunk, start)
    return total, d_hidden.reshape(shape), d_table


def _usual_chunk(count: int, words: int) -> int:
    """Small enough to leave out most of what is masked, and to keep its logits in memory."""
    return max(1, min(_LOGITS // words, max(_SMALLEST_CHUNK, count // 8)))


def _losses(
    states: jax.Array,
    table: jax.Array,
    wanted: jax.Array,
    softcap: float | None,
    words: Any,
    axes: tuple[str, ...],
) -> tuple[jax.Array, jax.Array]:
    """Losses float32[chunk] of a chunk, and their gradients by the logits before the softcap.

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
    gradient = weights / total[:, None] - hit
    if softcap is not None:
        gradient *= 1.0 - (jnp.tanh(raw / softcap)) ** 2
    return highest + jnp.log(total) - said, gradient
