"""One optimizer step as one compiled, donated function of plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import optax
from attrs import Factory, define, field
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tunix_core.errors import UsageError
from tunix_jax.config import TrainerConfig
from tunix_jax.models.decoder import Decoder, Execution, Params
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.parts import split_params
from tunix_jax.models.placement import param_shardings, state_shardings
from tunix_jax.models.splash import splash_can
from tunix_jax.objectives.objective import Batch, Objective, Weighted
from tunix_jax.objectives.table import OBJECTIVES
from tunix_jax.sharding import TENSOR, batch_sharding, row_shards
from tunix_jax.training.optimizer import make_optimizer, schedule

# {"params", "optimizer", "step"}: everything on the devices that training changes.
TrainState = dict[str, Any]
StepFunction = Callable[[TrainState, Params, Batch], tuple[TrainState, dict[str, jax.Array]]]


@define(frozen=True, slots=False)
class TrainProgram:
    """The functions of a run, made from settings, shape and devices; holds no arrays.

    Args:
        config: Settings of the run.
        shape: Shape of the model.
        mesh: Devices.
        total_steps: Optimizer steps of the whole run.
        objective: What is minimised; what the settings name by default.

    Raises:
        UsageError: Rows or heads cannot be spread over the mesh, or the attention kernel does
            not take them.
    """

    config: TrainerConfig
    shape: DecoderConfig
    mesh: Mesh = field(eq=False)
    total_steps: int = 1
    objective: Objective = field(
        default=Factory(lambda self: OBJECTIVES[self.config.objective], takes_self=True), eq=False
    )

    def __attrs_post_init__(self) -> None:
        shards, micro = row_shards(self.mesh), self.config.rows // self.config.accumulation
        if micro % shards:
            raise UsageError(
                f"{micro} rows in a micro-batch cannot be spread over {shards} devices",
                f"choose rows so that rows / accumulation is a multiple of {shards}",
            )
        heads, length = self.shape.heads, self.config.max_length
        if heads % self.mesh.shape[TENSOR]:
            raise UsageError(
                f"mesh: tensor={self.mesh.shape[TENSOR]} does not divide {heads} heads",
                "use more of fsdp instead",
            )
        if self.config.attention == "splash" and not splash_can(length, self.shape.head_dim):
            raise UsageError(
                f"the splash kernel does not take rows of {length} tokens "
                f"and heads of width {self.shape.head_dim}",
                "make both multiples of 128, or set attention to auto",
            )

    @cached_property
    def decoder(self) -> Decoder:
        """The model, as it is computed on these devices."""
        unroll = self.config.unroll
        if not unroll:
            on_cpu = self.mesh.devices.flat[0].platform == "cpu"
            unroll = self.shape.layers if on_cpu else 1
        execution = Execution(
            remat=self.config.remat,
            attention=self.config.attention,
            unroll=min(unroll, self.shape.layers),
            mesh=self.mesh,
        )
        return Decoder(self.shape, self.config.lora, execution)

    @cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """What turns gradients into updates."""
        return make_optimizer(self.config, self.total_steps)

    def abstract_params(self) -> tuple[Params, Params]:
        """Shapes, types and shardings of what is trained and of what is frozen."""
        abstract = jax.eval_shape(lambda: self.decoder.init(0))
        trained, frozen = self._parts(abstract)
        kept = jnp.dtype(self.config.dtype)
        frozen = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, kept), frozen)
        return tuple(_placed(part, param_shardings(part, self.mesh)) for part in (trained, frozen))

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state."""
        params, _ = self.abstract_params()
        moments = jax.eval_shape(self.optimizer.init, params)
        return {
            "params": params,
            "optimizer": _placed(moments, state_shardings(moments, params, self.mesh)),
            "step": jax.ShapeDtypeStruct((), jnp.int32, sharding=NamedSharding(self.mesh, P())),
        }

    def abstract_batch(self) -> Batch:
        """Types and shardings of a step's columns, [accumulation, rows, length] each."""
        config = self.config
        shape = (config.accumulation, config.rows // config.accumulation, config.max_length)
        placed = batch_sharding(self.mesh)
        return {
            name: jax.ShapeDtypeStruct(shape, dtype, sharding=placed)
            for name, dtype in self.objective.columns.items()
        }

    def new_params(self, seed: int) -> tuple[Params, Params]:
        """Random weights, made on their devices: what is trained and what is frozen."""
        trained, frozen = self.abstract_params()

        def make() -> tuple[Params, Params]:
            parts = self._parts(self.decoder.init(seed))
            return jax.tree.map(lambda x, like: x.astype(like.dtype), parts, (trained, frozen))

        made: tuple[Params, Params] = jax.jit(make, out_shardings=_shardings((trained, frozen)))()
        return made

    @property
    def freezes(self) -> bool:
        """Whether anything is frozen."""
        return self.config.lora is not None or self.objective.reference

    def kept(self, trained: Params) -> Params:
        """What is frozen of a model all of whose weights are trained."""
        _, frozen = self.abstract_params()

        def keep(params: Params) -> Params:
            return jax.tree.map(
                lambda x, like: x.astype(like.dtype), self._parts(params)[1], frozen
            )

        made: Params = jax.jit(keep, out_shardings=_shardings(frozen))(trained)
        return made

    def new_adapters(self, seed: int) -> Params:
        """Adapters that change nothing yet."""
        trained, _ = self.abstract_params()

        def make() -> Params:
            return split_params(self.decoder.init(seed), lora=True)[0]

        made: Params = jax.jit(make, out_shardings=_shardings(trained))()
        return made

    def new_state(self, params: Params) -> TrainState:
        """The state before the first step."""
        abstract = self.abstract_state()
        made: Any = jax.jit(self.optimizer.init, out_shardings=_shardings(abstract["optimizer"]))(
            params
        )
        step = jax.device_put(jnp.zeros((), jnp.int32), abstract["step"].sharding)
        return {"params": params, "optimizer": made, "step": step}

    def step(self) -> Any:
        """The jitted training step; it takes the state's memory for its result.

        ``step(state, frozen, batch)`` returns the new state and metrics, float32 each: the means
        of the objective's figures, ``learning_rate``, and ``grad_norm`` before clipping.
        """
        config = self.config
        rate = schedule(config.learning_rate, config, self.total_steps)

        def step(
            state: TrainState, frozen: Params, batch: Batch
        ) -> tuple[TrainState, dict[str, jax.Array]]:
            weighted, summed = self._loss_and_gradients(state["params"], frozen, batch)
            figures = weighted.named(self.objective.figure)
            grads = jax.tree.map(lambda total: _mean(total, weighted.weight), summed)
            updates, moments = self.optimizer.update(grads, state["optimizer"], state["params"])
            metrics = {
                **{name: _mean(*parts) for name, parts in figures.items()},
                "learning_rate": jnp.asarray(rate(state["step"]), jnp.float32),
                "grad_norm": optax.tree.norm(grads),
            }
            state = {
                "params": optax.apply_updates(state["params"], updates),
                "optimizer": moments,
                "step": state["step"] + 1,
            }
            return state, metrics

        everywhere = NamedSharding(self.mesh, P())
        return jax.jit(
            step,
            donate_argnums=0,
            out_shardings=(_shardings(self.abstract_state()), everywhere),
        )

    def lower(self) -> Any:
        """The training step for abstract arguments; ``.compile()`` needs no device memory."""
        _, frozen = self.abstract_params()
        return self.step().lower(self.abstract_state(), frozen, self.abstract_batch())

    def evaluation(self) -> Callable[[Params, Params, Batch], Weighted]:
        """The objective's figures of a batch [1, rows, length], compiled."""

        def evaluate(trained: Params, frozen: Params, batch: Batch) -> Weighted:
            return self._loss(trained, frozen, _first(batch))

        return jax.jit(evaluate, out_shardings=NamedSharding(self.mesh, P()))

    def _loss_and_gradients(
        self, trained: Params, frozen: Params, batch: Batch
    ) -> tuple[Weighted, Params]:
        """The loss of all micro-batches together, and the gradients of its sum."""

        def summed(params: Params, micro: Batch) -> tuple[jax.Array, Weighted]:
            weighted = self._loss(params, frozen, micro)
            return weighted.total, weighted

        def both(micro: Batch) -> tuple[Weighted, Params]:
            gradients, weighted = jax.grad(summed, has_aux=True)(trained, micro)
            return weighted, gradients

        if self.config.accumulation == 1:
            return both(_first(batch))

        def add(sums: Any, micro: Batch) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, both(micro)), None

        zeros = optax.tree.zeros_like(jax.eval_shape(both, _first(batch)))
        sums: tuple[Weighted, Params] = jax.lax.scan(add, zeros, batch)[0]
        return sums

    def _loss(self, trained: Params, frozen: Params, rows: Batch) -> Weighted:
        return self.objective.loss(self.decoder, trained, frozen, rows, self.config)

    def _parts(self, params: Params) -> tuple[Params, Params]:
        """What is trained and what is frozen, the model of the beginning if it is needed."""
        trained, frozen = split_params(params, lora=self.config.lora is not None)
        return trained, params if self.objective.reference and not frozen else frozen


def _first(batch: Batch) -> Batch:
    """The first of its micro-batches."""
    return {name: array[0] for name, array in batch.items()}


def _mean(total: jax.Array, weight: jax.Array) -> jax.Array:
    return total / jnp.where(weight > 0, weight, 1.0)


def _placed(tree: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings,
    )


def _shardings(abstract: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)
