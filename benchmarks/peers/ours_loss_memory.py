"""Memory of loss and gradient at a vocabulary of 262,144, ours or the plain one; one JSON line.

python -m peers.ours_loss_memory '{"loss": "chunked"}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tunix_jax.objectives.sft import cross_entropy

ROWS, LENGTH, WIDTH, WORDS = 4, 512, 256, 262_144


def chunked(
    hidden: jax.Array, table: jax.Array, labels: jax.Array, learned: jax.Array
) -> jax.Array:
    return cross_entropy(hidden, table, labels, learned)


def plain(hidden: jax.Array, table: jax.Array, labels: jax.Array, learned: jax.Array) -> jax.Array:
    """All logits at once, as a loss is commonly written."""
    logits = jnp.einsum("btd,vd->btv", hidden, table)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(losses * learned)


def main(job: dict[str, Any]) -> None:
    loss = {"chunked": chunked, "plain": plain}[job["loss"]]
    shapes = (
        jax.ShapeDtypeStruct((ROWS, LENGTH, WIDTH), jnp.float32),
        jax.ShapeDtypeStruct((WORDS, WIDTH), jnp.float32),
        jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.int32),
        jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.bool_),
    )
    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    memory: Any = step.lower(*shapes).compile().memory_analysis()
    # Hidden states, table and both gradients are in it: whoever computes this must hold them.
    peak = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )
    print(json.dumps({"peak_mib": peak / 2**20}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
