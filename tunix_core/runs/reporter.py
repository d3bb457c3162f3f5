"""The only writer of a run's metrics, and the only voice that tells a trainer to stop."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from io import FileIO
from typing import Any

from tunix_core.base import jsonl
from tunix_core.base.clock import now
from tunix_core.plugins import Plugins
from tunix_core.records import StopReason
from tunix_core.runs.folder import RunFolder, TrainingPlan


class RunReporter:
    """Writes the metrics and the plan of a run into its directory.

    A line of metrics holds the deterministic values at the top level and everything that a
    clock had a part in under ``timings``.

    Args:
        run_id: The run.
        folder: Its directory.
        plugins: Whose observers are told of every step.
        time_budget_s: Seconds from now after which training should end, or None.
    """

    def __init__(
        self, run_id: str, folder: RunFolder, plugins: Plugins, time_budget_s: float | None
    ) -> None:
        self._run_id = run_id
        self._folder = folder
        self._plugins = plugins
        self._deadline = None if time_budget_s is None else time.monotonic() + time_budget_s
        self._terminated = False
        self._metrics: FileIO | None = None

    def begin(self, total_steps: int, resumed_from: int) -> None:
        self._metrics = self._folder.begin(TrainingPlan(total_steps, resumed_from))

    def step(
        self, step: int, values: Mapping[str, float], timings: Mapping[str, float] | None = None
    ) -> None:
        if self._metrics is None:
            raise RuntimeError("the trainer reported a step before begin()")
        line: dict[str, Any] = {"step": step, **values}
        measured = timings or {}
        line["timings"] = {**measured, "timestamp": now()}
        jsonl.append(self._metrics, json.dumps(line))
        self._plugins.observe(
            "tunix_run_step",
            run_id=self._run_id,
            step=step,
            values=values,
            timings=measured,
            folder=self._folder.path,
        )

    def log(self, message: str) -> None:
        _print(message)

    def stop_reason(self) -> StopReason | None:
        if self._terminated:
            return "terminated"
        if self._deadline is not None and time.monotonic() > self._deadline:
            return "time_budget"
        return None

    def terminate(self) -> None:
        """Make the next :meth:`stop_reason` say ``terminated``; safe in a signal handler."""
        self._terminated = True


class SilentReporter:
    """The reporter of a further host of a run: it leaves figures to the first."""

    def __init__(self) -> None:
        self._terminated = False

    def begin(self, total_steps: int, resumed_from: int) -> None:
        """The first host keeps the metrics."""

    def step(
        self, step: int, values: Mapping[str, float], timings: Mapping[str, float] | None = None
    ) -> None:
        """The first host records the step."""

    def log(self, message: str) -> None:
        _print(message)

    def stop_reason(self) -> StopReason | None:
        return "terminated" if self._terminated else None

    def terminate(self) -> None:
        """Make the next :meth:`stop_reason` say ``terminated``; safe in a signal handler."""
        self._terminated = True


def _print(message: str) -> None:
    """A line for the log of this process, unbuffered."""
    os.write(1, (message + "\n").encode())
