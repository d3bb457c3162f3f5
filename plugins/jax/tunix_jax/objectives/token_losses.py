"""Log-probabilities of labels, and losses that are functions of them, without all logits at once.

Two ways lead from hidden states to a loss. :func:`summed_token_loss` is for losses whose
derivative at a token follows from that token alone: gradients are made while its logits are
there, in one pass over the chunks. :func:`token_logprobs` is for those that need sums over a
sequence first: its gradient goes over the chunks a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from attrs import frozen
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tunix_jax.models.decoder import Decoder
from tunix_jax.objectives.chunks import TokenLoss, logprobs_pass, summed_pass
from tunix_jax.objectives.objective import Batch
from tunix_jax.sharding import DATA, FSDP, ROWS, TENSOR

_PLACES, _STATES, _WORDS = P(ROWS, None), P(ROWS, None, None), P((TENSOR, FSDP), None)


@frozen
class Head:
    """How the head is computed.

    Args:
        softcap: Bound of the logits, or None.
        chunk: Tokens whose logits are in memory at once; 0 chooses by the vocabulary.
        mesh: Devices over which rows and vocabulary are spread, or None.
    """

    softcap: float | None = None
    chunk: int = 0
    mesh: Mesh | None = None

    @classmethod
    def of(cls, decoder: Decoder, chunk: int) -> Head:
        """The head of a model."""
        return cls(decoder.config.logit_softcap, chunk, decoder.execution.mesh)

    @property
    def spread(self) -> Mesh | None:
        """The mesh where there is more than one device."""
        return None if self.mesh is None or self.mesh.size == 1 else self.mesh


def next_tokens(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """What each place is to say, int32[rows, length], and whether that is learned, bool.

    A token is learned from the one before it in the same segment; a first token never is.
    """
    labels = jnp.roll(batch["tokens"], -1, axis=1)
    follows = (batch["targets"] > 0) & (batch["positions"] > 0)
    learned = jnp.roll(follows, -1, axis=1).at[:, -1].set(False)
    return labels, learned


def summed_token_loss(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    head: Head,
    loss: TokenLoss,
    *given: jax.Array,
) -> jax.Array:
    """A loss of every learned token, summed; its gradient is made while the logits are there.

    Only places that are learned are multiplied with the table, a chunk at a time, so memory
    does not grow with the number of tokens, and time not with those that are masked.

    Args:
        hidden: [rows, length, d_model].
        table: [vocabulary, d_model].
        labels: int32[rows, length].
        learned: bool[rows, length].
        head: How it is computed.
        loss: Takes log-probabilities of labels in nats and what is ``given`` for the same
            tokens, float32[tokens] each, to losses float32[tokens], each from its token alone.
            The same function object every time, or all is compiled again.
        given: float32[rows, length] each; without a gradient.

    Returns:
        float32.
    """
    table, words = _cut_evenly(table, head)
    return _summed(hidden, table, labels, learned, given, head, loss, words)


def token_logprobs(
    hidden: jax.Array, table: jax.Array, labels: jax.Array, learned: jax.Array, head: Head
) -> jax.Array:
    """The log-probability of every learned label in nats; arguments as above.

    Returns:
        float32[rows, length]; 0 where nothing is learned.
    """
    table, words = _cut_evenly(table, head)
    return _logprobs(hidden, table, labels, learned, head, words)


def _cut_evenly(table: jax.Array, head: Head) -> tuple[jax.Array, int]:
    """The table with words that get no probability, if it cannot be cut, and how many are real."""
    mesh = head.spread
    parts = 1 if mesh is None else mesh.shape[TENSOR] * mesh.shape[FSDP]
    return jnp.pad(table, ((0, -table.shape[0] % parts), (0, 0))), table.shape[0]


@partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _summed(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    given: tuple[jax.Array, ...],
    head: Head,
    loss: TokenLoss,
    words: int,
) -> jax.Array:
    return _spread_sum(hidden, table, labels, learned, given, head, loss, words, False)[0]


def _summed_forward(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    given: tuple[jax.Array, ...],
    head: Head,
    loss: TokenLoss,
    words: int,
) -> tuple[jax.Array, Any]:
    total, d_hidden, d_table = _spread_sum(
        hidden, table, labels, learned, given, head, loss, words, True
    )
    return total, (d_hidden, d_table.astype(table.dtype))


def _summed_backward(
    head: Head, loss: TokenLoss, words: int, kept: tuple[jax.Array, jax.Array], by: jax.Array
) -> Any:
    # In float32: a factor rounded to the type of the computation would scale all gradients.
    scaled = [(part.astype(jnp.float32) * by).astype(part.dtype) for part in kept]
    return (*scaled, None, None, None)


_summed.defvjp(_summed_forward, _summed_backward)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _logprobs(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    head: Head,
    words: int,
) -> jax.Array:
    def on_device(*arrays: jax.Array, axes: tuple[str, ...] = ()) -> jax.Array:
        return logprobs_pass(
            *arrays, softcap=head.softcap, chunk=head.chunk, words=words, axes=axes
        )

    arrays = (hidden, table.astype(hidden.dtype), labels, learned)
    return _spread(on_device, arrays, head, _PLACES)


def _logprobs_forward(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    head: Head,
    words: int,
) -> tuple[jax.Array, Any]:
    found = _logprobs(hidden, table, labels, learned, head, words)
    return found, (hidden, table, labels, learned)


def _logprobs_backward(head: Head, words: int, kept: Any, by: jax.Array) -> Any:
    hidden, table, labels, learned = kept
    _, d_hidden, d_table = _spread_sum(
        hidden, table, labels, learned, (by,), head, jnp.multiply, words, True
    )
    return d_hidden, d_table.astype(table.dtype), None, None


_logprobs.defvjp(_logprobs_forward, _logprobs_backward)


def _spread_sum(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    given: tuple[jax.Array, ...],
    head: Head,
    loss: TokenLoss,
    words: int,
    gradients: bool,
) -> tuple[jax.Array, ...]:
    """The sum and, if wanted, its gradients by hidden states and table."""

    def on_device(*arrays: jax.Array, axes: tuple[str, ...] = ()) -> tuple[jax.Array, ...]:
        total, *parts = summed_pass(
            *arrays,
            loss=loss,
            softcap=head.softcap,
            chunk=head.chunk,
            words=words,
            gradients=gradients,
            axes=axes,
        )
        if not axes:
            return (total, *parts)
        total = jax.lax.psum(total, DATA)
        return (total, parts[0], jax.lax.psum(parts[1], DATA)) if gradients else (total,)

    arrays = (hidden, table.astype(hidden.dtype), labels, learned, *given)
    return _spread(on_device, arrays, head, (P(), _STATES, _WORDS) if gradients else (P(),))


def _spread(
    on_device: Callable[..., Any], arrays: tuple[jax.Array, ...], head: Head, made: Any
) -> Any:
    """Run a pass on every device's rows and words.

    Each device holds some of the words, and sees the chunks of all shards of the rows: what moves
    are hidden states, which are smaller than the table and its gradient.
    """
    mesh = head.spread
    if mesh is None:
        return on_device(*arrays)
    return jax.shard_map(
        partial(on_device, axes=(TENSOR, FSDP)),
        mesh=mesh,
        in_specs=(_STATES, _WORDS, *(_PLACES,) * (len(arrays) - 2)),
        out_specs=made,
        check_vma=False,
    )(*arrays)
