"""A progress bar for a run in another process, fed by the files it writes."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tunix_core.cli._output import progress
from tunix_core.records import Run
from tunix_core.workspace import Workspace


class TrainingProgress:
    """Call it now and then while a run trains; it draws loss, tokens/s and the time left.

    Args:
        workspace: The workspace of the run.
        run: The run.
    """

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._folder = workspace.paths.run(run.id)
        self._bar: Any = None
        self._position = 0
        self._step = 0
        # An earlier attempt's plan lies here until the runner has cut its metrics back.
        self._stale = _version(self._folder / "progress.json")

    def __call__(self) -> None:
        if self._bar is None and not self._open():
            return
        latest = self._latest()
        if latest is not None:
            self._bar.advance(latest["step"] - self._step, _detail(latest))
            self._step = latest["step"]

    def _open(self) -> bool:
        path = self._folder / "progress.json"
        if _version(path) in (None, self._stale):
            return False
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["total_steps"] == 0:
            return False
        self._step = plan["resumed_from"]
        self._bar = progress(plan["total_steps"], "training", self._step)
        self._bar.__enter__()
        return True

    def _latest(self) -> dict[str, Any] | None:
        """The newest whole line of metrics since the last call."""
        path: Path = self._folder / "metrics.jsonl"
        if not path.exists():
            return None
        with path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        return json.loads(whole.splitlines()[-1]) if whole else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self()
            self._bar.__exit__(kind, error, trace)


def _version(path: Path) -> tuple[int, int] | None:
    """Changes whenever the file is replaced; None when there is none."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _detail(latest: dict[str, Any]) -> str:
    """What a trainer says of its newest step; loss and rate are customary, not required."""
    parts = []
    if "loss" in latest:
        parts.append(f"loss {latest['loss']:.3f}")
    rate = latest.get("timings", {}).get("tokens_per_second")
    if rate is not None:
        parts.append(f"{rate:,.0f} tokens/s")
    return ", ".join(parts)
