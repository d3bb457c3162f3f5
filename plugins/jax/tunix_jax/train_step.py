"""One optimizer step as one compiled, donated function of plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tunix_jax.config import ModelConfig, TrainerConfig
from tunix_jax.model import Decoder
from tunix_jax.optimizer import make_optimizer

# {"params", "optimizer", "step", "tokens", "targets"}: everything that training changes.
TrainState = dict[str, Any]
Batch = dict[str, Any]
StepFunction = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_model(config: ModelConfig, seed: int) -> tuple[Any, Any]:
    """Graph definition and parameters of a freshly initialised decoder."""
    graph, params = nnx.split(Decoder(config, nnx.Rngs(params=seed)), nnx.Param)
    return graph, nnx.to_pure_dict(params)


def merge(graph: Any, params: Any) -> Decoder:
    """The module of a graph definition and pure parameters; cheap, done while tracing."""
    model: Decoder = nnx.merge(graph, nnx.State(jax.tree.map(nnx.Param, params)))
    return model


def summed_loss(
    graph: Any, params: Any, batch: Batch, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the next token, summed over the tokens to be learned, and their number.

    A token is learned from the one before it in the same segment; a first token never is.
    """
    model = merge(graph, params)
    hidden = model.hidden(batch["tokens"], batch["segments"], batch["positions"], dtype)
    logits = model.logits(hidden[:, :-1])
    labels = batch["tokens"][:, 1:]
    learned = (batch["targets"][:, 1:] * (batch["positions"][:, 1:] > 0)).astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(losses * learned), jnp.sum(learned)


def make_state(params: Any, config: TrainerConfig, total_steps: int) -> TrainState:
    """The state before the first step."""
    zero = jnp.zeros((), jnp.int32)
    return {
        "params": params,
        "optimizer": make_optimizer(config, total_steps).init(params),
        "step": zero,
        "tokens": zero,
        "targets": zero,
    }


def make_step(graph: Any, config: TrainerConfig, total_steps: int) -> StepFunction:
    """The training step; it takes the state's memory for its result.

    Its metrics: ``loss`` per learned token, ``grad_norm`` before clipping, ``tokens`` without
    padding and ``targets`` so far.
    """
    optimizer = make_optimizer(config, total_steps)
    dtype = jnp.dtype(config.dtype)

    def mean_loss(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        total, count = summed_loss(graph, params, batch, dtype)
        return total / jnp.maximum(count, 1), count

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        (loss, count), grads = jax.value_and_grad(mean_loss, has_aux=True)(state["params"], batch)
        updates, moments = optimizer.update(grads, state["optimizer"], state["params"])
        state = {
            "params": optax.apply_updates(state["params"], updates),
            "optimizer": moments,
            "step": state["step"] + 1,
            "tokens": state["tokens"] + jnp.sum(batch["segments"] > 0, dtype=jnp.int32),
            "targets": state["targets"] + count.astype(jnp.int32),
        }
        metrics = {
            "loss": loss,
            "grad_norm": optax.global_norm(grads),
            "tokens": state["tokens"],
            "targets": state["targets"],
        }
        return state, metrics

    return jax.jit(step, donate_argnums=0)


def make_eval(graph: Any, config: TrainerConfig) -> Callable[[Any, Batch], Any]:
    """Summed loss and number of learned tokens of a batch, compiled."""
    dtype = jnp.dtype(config.dtype)
    return jax.jit(lambda params, batch: summed_loss(graph, params, batch, dtype))
