"""One optimizer step as one compiled, donated function of plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tunix_jax.config import TrainerConfig
from tunix_jax.loss import Batch, summed_loss
from tunix_jax.optimizer import make_optimizer, schedule

# {"params", "optimizer", "step"}: everything on the device that training changes.
TrainState = dict[str, Any]
StepFunction = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_state(params: Any, config: TrainerConfig, total_steps: int) -> TrainState:
    """The state before the first step."""
    return {
        "params": params,
        "optimizer": make_optimizer(config, total_steps).init(params),
        "step": jnp.zeros((), jnp.int32),
    }


def make_step(graph: Any, config: TrainerConfig, total_steps: int) -> StepFunction:
    """The training step; it takes the state's memory for its result.

    Its metrics, float32 each: ``loss`` in nats per learned token, ``learning_rate`` and
    ``grad_norm`` before clipping.
    """
    optimizer = make_optimizer(config, total_steps)
    rate = schedule(config.learning_rate, config, total_steps)
    dtype = jnp.dtype(config.dtype)

    def mean_loss(params: Any, batch: Batch) -> jax.Array:
        total, count = summed_loss(graph, params, batch, dtype)
        return total / jnp.maximum(count, 1)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        loss, grads = jax.value_and_grad(mean_loss)(state["params"], batch)
        updates, moments = optimizer.update(grads, state["optimizer"], state["params"])
        metrics = {
            "loss": loss,
            "learning_rate": jnp.asarray(rate(state["step"]), jnp.float32),
            "grad_norm": optax.tree.norm(grads),
        }
        state = {
            "params": optax.apply_updates(state["params"], updates),
            "optimizer": moments,
            "step": state["step"] + 1,
        }
        return state, metrics

    return jax.jit(step, donate_argnums=0)


def make_eval(graph: Any, config: TrainerConfig) -> Callable[[Any, Batch], Any]:
    """Summed loss and number of learned tokens of a batch, compiled."""
    dtype = jnp.dtype(config.dtype)
    return jax.jit(lambda params, batch: summed_loss(graph, params, batch, dtype))
