"""Several processes that train one model, each with its own devices and its own part of the rows.

Started by ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from tunix_core.errors import UsageError
from tunix_core.protocols import Reporter, StopReason
from tunix_jax.data.packing import IntArray, PackedRows

_ADDRESS, _COUNT, _OWN = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_REASONS: tuple[StopReason, ...] = get_args(StopReason)


def join_processes(further_host: bool) -> None:
    """Meet the other processes, if the environment names them; does nothing the second time.

    Args:
        further_host: Whether this process follows another one that leads the run.

    Raises:
        UsageError: The variables are incomplete, or say that another process leads.
    """
    given = {name: os.environ.get(name) for name in (_ADDRESS, _COUNT, _OWN)}
    missing = [name for name, value in given.items() if not value]
    if missing and (further_host or len(missing) < len(given)):
        raise UsageError(
            f"training over several hosts needs {', '.join(missing)}", "set it on every host"
        )
    if missing:
        return
    count, number = _number(_COUNT), _number(_OWN)
    if further_host != (number > 0):
        raise UsageError(
            f"process {number} {'cannot lead' if number else 'leads, it cannot join'} a run",
            f"{_OWN} is 0 where the run is started, and 1, 2, ... where it is joined",
        )
    if not jax.distributed.is_initialized():
        # JAX would take SIGTERM for itself, and the run would not hear of it.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(given[_ADDRESS], count, number)


def _number(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise UsageError(f"{name} is {value!r}", "give a number of processes, or 0, 1, 2, ...")
    return int(value)


def place_rows(
    rows: PackedRows,
    order: IntArray,
    abstract: dict[str, Any],
    counted: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """A batch on its devices; each process gathers the rows of its own devices alone.

    Args:
        rows: All rows.
        order: int64[rows per step]; which rows, micro-batch after micro-batch.
        abstract: Shapes and shardings, [accumulation, rows, length] each.
        counted: bool[rows per step]; nothing is learned from the others. None counts all.
    """
    first = next(iter(abstract.values()))
    accumulation, micro, length = first.shape
    grid = order.reshape(accumulation, micro)
    taken: dict[tuple[int, int], dict[str, Any]] = {}

    def part(name: str, index: tuple[slice, ...]) -> Any:
        begin, end, _ = index[1].indices(micro)
        if (begin, end) not in taken:
            batch = rows.take(grid[:, begin:end].ravel())
            if counted is not None:
                own = counted.reshape(grid.shape)[:, begin:end].ravel()
                batch["targets"] = batch["targets"] * own[:, None].astype(np.int32)
            taken[begin, end] = batch
        return taken[begin, end][name].reshape(accumulation, end - begin, length)

    return {
        name: jax.make_array_from_callback(leaf.shape, leaf.sharding, partial(part, name))
        for name, leaf in abstract.items()
    }


def agreed_stop(reporter: Reporter, mesh: Mesh) -> Callable[[], StopReason | None]:
    """A function that says, after each step, whether all processes end here, and why.

    A single process asks its reporter. Several learn of a wish one step later, from a reduction
    that is started at every step and read at the next, so that none of them waits for it.
    """
    if jax.process_count() == 1:
        return reporter.stop_reason
    by_device = NamedSharding(mesh, P(mesh.axis_names))
    highest = jax.jit(lambda wishes: wishes.max(), out_shardings=NamedSharding(mesh, P()))
    pending: list[jax.Array] = []

    def ask() -> StopReason | None:
        reason = reporter.stop_reason()
        wish = 0 if reason is None else 1 + _REASONS.index(reason)
        wishes = jax.make_array_from_callback(
            (mesh.size,), by_device, lambda index: np.full(1, wish, np.int32)
        )
        pending.append(highest(wishes))
        if len(pending) < 2:
            return None
        found = int(pending.pop(0))
        return _REASONS[found - 1] if found else None

    return ask
