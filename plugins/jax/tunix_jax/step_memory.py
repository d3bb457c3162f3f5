"""What a compiled training step holds in the memory of one device."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import jax
from attrs import frozen

from tunix_jax.chips import GIB
from tunix_jax.train_step import TrainProgram

_NEEDED = re.compile(r"HLO temporaries \(([\d.]+)([KMGT]?)\)")
_USED = re.compile(r"Used ([\d.]+)([KMGT]?) of ")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@frozen
class StepMemory:
    """Bytes on one device.

    Args:
        weights: Trained and frozen weights, exact from shapes and shardings.
        moments: The optimizer's state, likewise.
        batch: Tokens and their masks, likewise.
        temporaries: What the compiler holds while the step runs: activations, gradients,
            gathered weights; and the program itself.
    """

    weights: int
    moments: int
    batch: int
    temporaries: int

    @property
    def arguments(self) -> int:
        """What is there before the step runs."""
        return self.weights + self.moments + self.batch

    @property
    def total(self) -> int:
        """All of it."""
        return self.arguments + self.temporaries


def step_memory(program: TrainProgram, temporaries: int) -> StepMemory:
    """The memory of a step with so many bytes of temporaries."""
    return StepMemory(
        weights=_shard_bytes(program.abstract_params()),
        moments=_shard_bytes(program.abstract_state()["optimizer"]),
        batch=_shard_bytes(program.abstract_batch()),
        temporaries=temporaries,
    )


def _shard_bytes(abstract: Any) -> int:
    return sum(
        prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(abstract)
    )


def temporary_bytes(compiled: Any) -> int:
    """Bytes that a compiled function needs on a device besides its arguments."""
    analysis = compiled.memory_analysis()
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    program = analysis.generated_code_size_in_bytes
    return int(analysis.temp_size_in_bytes + max(0, results) + program)


def missing_bytes(error: jax.errors.JaxRuntimeError, program: TrainProgram) -> int:
    """Bytes of temporaries for which a compiler that gave up had no memory.

    Raises:
        JaxRuntimeError: ``error``, when it is about something else or does not say how many.
    """
    text = str(error)
    if needed := _NEEDED.search(text):
        return int(float(needed[1]) * _UNITS[needed[2]])
    if used := _USED.search(text):
        total = int(float(used[1]) * _UNITS[used[2]])
        return max(0, total - step_memory(program, 0).arguments)
    raise error


def gib(size: float) -> str:
    """Bytes in GiB, as people read them."""
    return f"{size / GIB:.1f}" if size >= GIB / 10 else f"{size / GIB:.2g}"
