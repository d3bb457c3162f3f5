"""Writes TensorBoard event files beside a run's metrics; imports tensorboardX at the first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tunix_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from tunix_tensorboard.events import RunEvents

_events: dict[Path, RunEvents] = {}
_given_up: set[Path] = set()


@hookimpl
def tunix_run_step(
    step: int, values: Mapping[str, float], timings: Mapping[str, float], folder: Path
) -> None:
    if folder in _given_up:
        return
    try:
        if folder not in _events:
            from tunix_tensorboard.events import RunEvents

            _events[folder] = RunEvents(folder, step)
        _events[folder].write(step, values, timings)
    except Exception:
        # What cannot be written now is not tried again at every step: one complaint is enough.
        _given_up.add(folder)
        raise
