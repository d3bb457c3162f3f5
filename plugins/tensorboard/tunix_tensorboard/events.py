"""The event file of one run.

tensorboardX's ``SummaryWriter`` hands events to a thread through a queue of ten: where that
thread dies of a full disk, the training would wait for ever. So events are written here, in the
caller's thread, one for all values of a step.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

FLUSH_S = 5.0


class RunEvents:
    """Writes ``tensorboard/events.*`` in a run's directory, anew for every process.

    What earlier processes recorded of the run is taken from its ``metrics.jsonl``, so that steps
    which were cut back on resume, or lost with a killed process, leave no trace.

    Args:
        folder: The run's directory.
        first_step: The first step of this process.

    Raises:
        OSError: The files cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        directory = folder / "tensorboard"
        directory.mkdir(exist_ok=True)
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = EventsWriter(str(directory / "events"))
        self._flush_at = 0.0
        if first_step > 1:
            self._take_over(folder / "metrics.jsonl", first_step)
        atexit.register(self._finish)

    def write(self, step: int, values: Mapping[str, float], timings: Mapping[str, float]) -> None:
        """Add a step that was taken just now.

        Args:
            step: Its number, from 1.
            values: Shown under their own names.
            timings: Shown below ``timings/``.

        Raises:
            OSError: The file cannot be written.
        """
        self._add(step, time.time(), values, timings)
        now = time.monotonic()
        if now >= self._flush_at:
            self._file.flush()
            self._flush_at = now + FLUSH_S

    def _finish(self) -> None:
        # A picture that lacks its last seconds does not make a failure of a run that has ended.
        with contextlib.suppress(OSError):
            self._file.close()

    def _take_over(self, metrics: Path, before: int) -> None:
        with metrics.open(encoding="utf-8") as file:
            for line in map(json.loads, file):
                step, timings = line.pop("step"), line.pop("timings")
                if step >= before:
                    return
                taken_at = datetime.fromisoformat(timings["timestamp"]).timestamp()
                self._add(step, taken_at, line, timings)

    def _add(
        self, step: int, taken_at: float, values: Mapping[str, float], timings: Mapping[str, float]
    ) -> None:
        shown = {**values, **{f"timings/{name}": value for name, value in timings.items()}}
        scalars = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in shown.items()
            if isinstance(value, int | float)
        ]
        self._file.write_event(Event(wall_time=taken_at, step=step, summary=Summary(value=scalars)))
