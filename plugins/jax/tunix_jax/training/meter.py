"""Figures of a run: values of every step, and what they cost in time and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from tunix_core.protocols import Reporter
from tunix_jax.chips import chip_of
from tunix_jax.data.batches import Shuffle
from tunix_jax.data.packing import PackedRows
from tunix_jax.models.costs import mfu, step_flops
from tunix_jax.training.train_step import TrainProgram


class Meter:
    """Reports each step while the next one runs, so that the device never waits for the host.

    Args:
        reporter: Where the figures go.
        program: What runs.
        rows: The training rows.
        shuffle: Which of them a step learns from.
        step: Steps that were taken before.
        last: The newest of each value then.
        check: Called with the number and the values of a step before they are reported.

    Attributes:
        last: The newest of each value.
        tokens: Tokens of all steps so far, padding excluded.
    """

    def __init__(
        self,
        reporter: Reporter,
        program: TrainProgram,
        rows: PackedRows,
        shuffle: Shuffle,
        step: int,
        last: Mapping[str, float],
        check: Callable[[int, Mapping[str, float]], None],
    ) -> None:
        self._reporter, self._program, self._check = reporter, program, check
        self._rows, self._shuffle = rows, shuffle
        self._chip = chip_of(program.mesh.devices.flat[0].device_kind)
        # Attention of packed rows sees its own example alone, as long as they are on average.
        self._mean_length = max(1, round(rows.tokens_per_row.sum() / max(1, len(rows.order))))
        self._pending: tuple[int, Mapping[str, Any], Mapping[str, float]] | None = None
        self._seconds: list[float] = []
        self._counted = np.zeros(3)
        self.tokens = sum(self._tokens(earlier)[0] for earlier in range(step))
        self.last = dict(last)
        self._clock = time.perf_counter()

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take a step's metrics, which may still be computed, and report the step before."""
        self.flush()
        self._pending = (step, metrics, {})

    @contextmanager
    def evaluating(self) -> Iterator[dict[str, float]]:
        """Takes values for the newest step; the time they cost is not the step's."""
        assert self._pending is not None  # noqa: S101 - called after add
        step, metrics, _ = self._pending
        jax.block_until_ready(metrics)
        began = time.perf_counter()
        values: dict[str, float] = {}
        self._pending = (step, metrics, values)
        yield values
        self._clock += time.perf_counter() - began

    def flush(self) -> None:
        """Report the step that is still outstanding.

        Raises:
            TunixError: ``check`` found that its values are no good.
        """
        if self._pending is None:
            return
        step, metrics, held_out = self._pending
        self._pending = None
        values = {name: float(value) for name, value in metrics.items()} | dict(held_out)
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        self._check(step, values)
        tokens, learned = self._tokens(step - 1)
        self.tokens += tokens
        values["tokens"] = self.tokens
        values["padding"] = 1.0 - tokens / self._places
        self._seconds.append(seconds)
        self._counted += (tokens, learned, self._flops(tokens, learned))
        self._reporter.step(step, values, self._rates(tokens, learned, seconds))
        self.last = {**self.last, **values}

    def restart(self) -> None:
        """Leave out of the next step's time what happened since the last one."""
        self._clock = time.perf_counter()

    def timings(self) -> dict[str, float]:
        """Figures of this process's steps that a clock or the machine had a part in."""
        found = {"peak_memory_bytes": float(_peak_memory(self._program))}
        if self._seconds:
            # The first step also fills caches; it stays out where there are others.
            steady = self._seconds[1:] or self._seconds
            total = sum(self._seconds)
            tokens, learned, flops = self._counted.tolist()
            found["step_seconds_p50"] = float(np.quantile(steady, 0.5))
            found["step_seconds_p95"] = float(np.quantile(steady, 0.95))
            found["tokens_per_second"] = tokens / total
            found["learned_tokens_per_second"] = learned / total
            if self._chip is not None:
                found["mfu"] = mfu(flops, total, self._chip.flops, self._program.mesh.size)
        return found

    @property
    def _places(self) -> int:
        return self._program.config.rows * self._rows.length

    def _tokens(self, step: int) -> tuple[int, int]:
        """Tokens of a step (from 0) that are no padding, and those that are learned."""
        rows = self._shuffle.rows(step)
        tokens, learned = self._rows.tokens_per_row[rows], self._rows.learned_per_row[rows]
        return int(tokens.sum()), int(learned.sum())

    def _flops(self, tokens: int, learned: int) -> float:
        program = self._program
        flops = step_flops(
            program.shape, tokens, self._mean_length, learned=learned, lora=program.config.lora
        )
        return flops.model

    def _rates(self, tokens: int, learned: int, seconds: float) -> dict[str, float]:
        rates = {
            "step_seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "learned_tokens_per_second": learned / seconds,
        }
        if self._chip is not None:
            flops = self._flops(tokens, learned)
            rates["mfu"] = mfu(flops, seconds, self._chip.flops, self._program.mesh.size)
        return rates


def _peak_memory(program: TrainProgram) -> int:
    """Bytes: of the fullest device here, or of this process where devices do not count."""
    peaks = []
    for device in program.mesh.local_devices:
        stats = device.memory_stats() if device.platform != "cpu" else None
        peaks.append((stats or {}).get("peak_bytes_in_use", 0))
    if max(peaks, default=0):
        return int(max(peaks))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Profile:
    """A window of steps in the profiler, for TensorBoard or Perfetto; written when it is left.

    Args:
        directory: Where the trace goes.
        first: First step (from 1) of the window.
        steps: Number of steps; 0 profiles nothing.
    """

    def __init__(self, directory: Path, first: int, steps: int) -> None:
        self._directory, self._first, self._last = directory, first, first + steps - 1
        self._running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """Start when ``step`` is the first of the window."""
        if step == self._first <= self._last:
            jax.profiler.start_trace(str(self._directory))
            self._running = True

    def after(self, step: int, state: Any) -> None:
        """Stop when ``step`` is the last of the window, once it is computed."""
        if self._running and step >= self._last:
            jax.block_until_ready(state)
            self._stop()

    def _stop(self) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
