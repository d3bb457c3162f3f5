"""What a compiled training step holds in the memory of one device."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import jax
from attrs import frozen

from tunix_jax.chips import GIB
from tunix_jax.training.train_step import TrainProgram

# Both are with the arguments.
_NEEDED = re.compile(r"(?:HLO temporaries \(|Used )([\d.]+)([KMGT]?)")
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


def temporary_bytes(compiled: Any, program: TrainProgram) -> int:
    """Bytes that a compiled step needs on a device besides its arguments."""
    analysis = compiled.memory_analysis()
    code = analysis.generated_code_size_in_bytes
    if program.mesh.devices.flat[0].platform == "tpu":
        # Its temp_size counts arguments, and more than the compiler itself holds against the
        # chip's memory; the peak is arguments and temporaries as they are laid out.
        peak = analysis.peak_memory_in_bytes - analysis.argument_size_in_bytes
        return int(max(0, peak) + code)
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return int(analysis.temp_size_in_bytes + max(0, results) + code)


def missing_bytes(error: jax.errors.JaxRuntimeError, program: TrainProgram) -> int | None:
    """Bytes of temporaries that made a compiler give up; None when it does not say how many."""
    needed = _NEEDED.search(str(error))
    if needed is None:
        return None
    total = int(float(needed[1]) * _UNITS[needed[2]])
    return max(0, total - step_memory(program, 0).arguments)


def gib(size: float) -> str:
    """Bytes in GiB, as people read them."""
    amount = size / GIB
    return f"{amount:.2f}" if amount >= 0.01 else f"{amount:.2g}"
