"""What training minimises: cross-entropy of the completion, in float32."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from tunix_jax.model import merge

# tokens, segments, positions and targets of some packed rows; int32[rows, length] each.
Batch = dict[str, Any]


def summed_loss(
    graph: Any, params: Any, batch: Batch, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the next token, summed over the tokens to be learned, and their number.

    A token is learned from the one before it in the same segment; a first token never is. Sum
    and number come apart, so that batches and micro-batches can be weighted by tokens.

    Args:
        graph: Graph definition of the model.
        params: Its parameters.
        batch: Packed rows.
        dtype: Type of the computation up to the logits.

    Returns:
        float32 sum of losses in nats and float32 number of tokens.
    """
    model = merge(graph, params)
    hidden = model.hidden(batch["tokens"], batch["segments"], batch["positions"], dtype)
    logits = model.logits(hidden[:, :-1])
    labels = batch["tokens"][:, 1:]
    learned = (batch["targets"][:, 1:] * (batch["positions"][:, 1:] > 0)).astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(losses * learned), jnp.sum(learned)
