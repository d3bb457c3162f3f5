"""Whether a training step fits its devices, found by compiling it before anything is spent."""

from __future__ import annotations

import time
import warnings
from typing import Any

import jax
from attrs import evolve, field, frozen

from tunix_core.errors import UsageError
from tunix_jax.config import TrainerConfig
from tunix_jax.fit.changes import Change, estimated_changes
from tunix_jax.fit.memory import (
    StepMemory,
    gib,
    missing_bytes,
    step_memory,
    temporary_bytes,
)
from tunix_jax.fit.roofline import Roofline, planned_flops, roofline
from tunix_jax.fit.targets import Target, find_target, memory_limit
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.sharding import DATA, FSDP, TENSOR, make_mesh
from tunix_jax.training.train_step import TrainProgram


@frozen
class FitRequest:
    """What to compile.

    Args:
        config: Settings of the run.
        shape: Shape of the model.
        topology: See :func:`~tunix_jax.fit.targets.find_target`.
        tokens: Tokens to train on, for the hours; None when that is not asked.
    """

    config: TrainerConfig
    shape: DecoderConfig
    topology: str | None = None
    tokens: int | None = None


@frozen
class FitReport:
    """What was found.

    Args:
        request: What was compiled.
        topology: Name of the devices.
        devices: How many there are.
        memory: Where the bytes of one device go.
        limit_bytes: Memory of one device; None when that is not known.
        bounds: Shortest times; None when the rates of the devices are not known.
        compile_seconds: How long the compiler took.
    """

    request: FitRequest
    topology: str
    devices: int
    memory: StepMemory
    limit_bytes: int | None
    bounds: Roofline | None
    compile_seconds: float = field(eq=False)

    @property
    def fits(self) -> bool:
        """Whether one device holds all of it; taken as true when its memory is not known."""
        return self.limit_bytes is None or self.memory.total <= self.limit_bytes

    @property
    def tokens_per_step(self) -> int:
        """Places in the rows of a step."""
        return self.request.config.rows * self.request.config.max_length

    @property
    def tokens_per_second(self) -> float | None:
        """No more tokens than this are trained on in a second, over all devices."""
        return None if self.bounds is None else self.tokens_per_step / self.bounds.seconds

    @property
    def hours(self) -> float | None:
        """Training on the tokens that were asked about takes no less."""
        if self.request.tokens is None or self.tokens_per_second is None:
            return None
        return self.request.tokens / self.tokens_per_second / 3600

    def to_json(self) -> dict[str, Any]:
        """The report as plain data, for programs; byte counts are for one device."""
        config, memory, bounds = self.request.config, self.memory, self.bounds
        flops = planned_flops(config, self.request.shape)
        return {
            "model": config.model_id,
            "topology": self.topology,
            "devices": self.devices,
            "batch": config.rows,
            "seq": config.max_length,
            "accumulation": config.accumulation,
            "remat": config.remat,
            "optimizer": config.optimizer,
            "lora_rank": config.lora_rank,
            "fits": self.fits,
            "limit_bytes": self.limit_bytes,
            "bytes_per_device": {
                "weights": memory.weights,
                "moments": memory.moments,
                "batch": memory.batch,
                "arguments": memory.arguments,
                "temporaries": memory.temporaries,
                "total": memory.total,
            },
            "flops_per_device": flops.hardware / self.devices,
            "model_flops_per_device": flops.model / self.devices,
            "step_seconds_bound": None if bounds is None else bounds.seconds,
            "bound_by": None if bounds is None else bounds.binds,
            "seconds_bounds": None
            if bounds is None
            else {
                "compute": bounds.compute_seconds,
                "memory": bounds.memory_seconds,
                "links": bounds.links_seconds,
            },
            "tokens_per_second_bound": self.tokens_per_second,
            "tokens": self.request.tokens,
            "hours_bound": self.hours,
            "compile_seconds": self.compile_seconds,
        }


def check_fit(request: FitRequest) -> FitReport:
    """Compile the training step of a run with abstract weights, and say what it takes.

    Raises:
        UsageError: There are no such devices, or the settings do not go with them.
    """
    return _check(request, find_target(request.topology))


def _check(request: FitRequest, target: Target) -> FitReport:
    program = _program(request, target)
    began = time.monotonic()
    temporaries = _temporaries(program)
    mesh = program.mesh.shape
    bounds = None
    if target.chip is not None:
        bounds = roofline(
            request.config, request.shape, target.chip, mesh[DATA], mesh[FSDP], mesh[TENSOR]
        )
    return FitReport(
        request=request,
        topology=target.name,
        devices=len(target.devices),
        memory=step_memory(program, temporaries),
        limit_bytes=target.limit_bytes,
        bounds=bounds,
        compile_seconds=time.monotonic() - began,
    )


def compile_step(program: TrainProgram) -> Any:
    """The compiled training step of a run that is about to start.

    Raises:
        UsageError: It does not fit the memory of its devices.
    """
    try:
        compiled = program.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise _too_large(program, missing_bytes(error, program)) from None
    ensure_fits(compiled, program)
    return compiled


def ensure_fits(compiled: Any, program: TrainProgram) -> None:
    """Refuse a compiled step that needs more memory than its devices have.

    Args:
        compiled: What ``program.lower().compile()`` returned.
        program: What was compiled.

    Raises:
        UsageError: How much it needs of how much there is, and what to change.
    """
    temporaries = temporary_bytes(compiled, program)
    limit = memory_limit(program.mesh.devices.flat[0])
    if limit is not None and step_memory(program, temporaries).total > limit:
        raise _too_large(program, temporaries)


def _too_large(program: TrainProgram, temporaries: int | None) -> UsageError:
    if temporaries is None:
        return UsageError(
            "does not fit: the compiler ran out of device memory",
            "raise accumulation, lower max_length, or set remat=full",
        )
    memory = step_memory(program, temporaries)
    limit = memory_limit(program.mesh.devices.flat[0])
    changes = estimated_changes(program, temporaries, limit)
    of = "more than there is" if limit is None else f"of {gib(limit)}"
    return UsageError(
        f"does not fit: {gib(memory.total)} {of} GiB per device: "
        f"{gib(memory.weights + memory.moments)} weights and moments, "
        f"{gib(memory.temporaries)} temporaries",
        "try " + " or ".join(change.text for change in changes[:2])
        if changes
        else "take more devices or a smaller model",
    )


def compiled_changes(report: FitReport, tries: int = 2) -> list[Change]:
    """What to change so that a step fits, the least first, compiled until one is known to.

    Args:
        report: What does not fit.
        tries: How many are compiled at most; the others are estimated.
    """
    target = find_target(report.request.topology)
    program = _program(report.request, target)
    found = estimated_changes(program, report.memory.temporaries, report.limit_bytes)
    for index, change in enumerate(found[:tries]):
        checked = _check(evolve(report.request, config=change.config), target)
        found[index] = evolve(change, total_bytes=checked.memory.total, compiled=True)
        if checked.fits:
            break
    return [c for c in found if c.total_bytes <= (report.limit_bytes or c.total_bytes)]


def _program(request: FitRequest, target: Target) -> TrainProgram:
    mesh = make_mesh(request.config.mesh.sizes, target.devices)
    return TrainProgram(request.config, request.shape, mesh)


def _temporaries(program: TrainProgram) -> int:
    try:
        with warnings.catch_warnings():
            # What was compiled for a machine elsewhere is in the cache, but can be read back only
            # where such a machine is; JAX says so and compiles again.
            warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
            compiled = program.lower().compile()
        return temporary_bytes(compiled, program)
    except jax.errors.JaxRuntimeError as error:
        missing = missing_bytes(error, program)
        if missing is None:
            raise
        return missing
