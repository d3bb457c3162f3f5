"""Claims runs and supervises the child processes that execute them."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunix_core.paths import WorkspacePaths
from tunix_core.plugins import Plugins
from tunix_core.processes import GRACE_S, POLL_S, Child
from tunix_core.protocols import StopReason
from tunix_core.records import Run
from tunix_core.runs import Runs

HEARTBEAT_S = 2.0
IDLE_S = 1.0
MAX_ERROR_CHARS = 500
# Reasons for which training ends of itself, with the model that was asked for.
COMPLETE: tuple[StopReason, ...] = ("completed", "early_stopping", "time_budget")


class Worker:
    """Executes runs one at a time.

    Args:
        runs: Where runs are claimed.
        plugins: Whose observers are told when a run starts and ends.
        paths: The workspace.
        time_limit_s: Hard limit for a run in seconds; one that exceeds it ends as ``timeout``.
    """

    def __init__(
        self,
        runs: Runs,
        plugins: Plugins,
        paths: WorkspacePaths,
        time_limit_s: float | None = None,
    ) -> None:
        self._runs = runs
        self._plugins = plugins
        self._paths = paths
        self._time_limit_s = time_limit_s
        self._stopping = False
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self) -> None:
        """End after putting the present run back in the queue; safe in a signal handler."""
        self._stopping = True

    def work(self, once: bool = False) -> None:
        """Execute pending runs until :meth:`stop`, or until there are none when ``once``."""
        while not self._stopping:
            run = self._runs.claim(self.name)
            if run is not None:
                self._supervise(run, None)
            elif once:
                return
            else:
                time.sleep(IDLE_S)

    def execute(self, run_id: str, on_poll: Callable[[], None] | None = None) -> Run:
        """Execute one pending run and return its final state.

        Args:
            run_id: The run.
            on_poll: Called several times a second while it runs.
        """
        run = self._runs.claim(self.name, run_id)
        if run is not None:
            self._supervise(run, on_poll)
        return self._runs.get(run_id)

    def _supervise(self, run: Run, on_poll: Callable[[], None] | None) -> None:
        folder = self._paths.run(run.id)
        (folder / "result.json").unlink(missing_ok=True)
        self._plugins.observe("tunix_run_started", run=run)
        child = Child(["train", str(self._paths.root), run.id], folder / "log.txt")
        try:
            cause = self._watch(run, child, on_poll)
        except BaseException:
            self._conclude(run, child, self._stop(run, child), "cancelled")
            raise
        if cause == "lost":
            child.kill()
            return
        exit_code = child.poll() if cause is None else self._stop(run, child)
        self._conclude(run, child, exit_code, cause)

    def _watch(self, run: Run, child: Child, on_poll: Callable[[], None] | None) -> str | None:
        """Wait for the child; returns why it has to be stopped, or None when it ended itself."""
        started = time.monotonic()
        beat = started
        while child.poll() is None:
            if on_poll is not None:
                on_poll()
            time.sleep(POLL_S)
            if self._stopping:
                return "pending"
            if self._time_limit_s is not None and time.monotonic() - started > self._time_limit_s:
                return "timeout"
            if time.monotonic() - beat < HEARTBEAT_S:
                continue
            beat = time.monotonic()
            status = self._runs.heartbeat(run)
            if status == "cancel_requested":
                return "cancelled"
            if status != "running":
                return "lost"
        return None

    def _stop(self, run: Run, child: Child) -> int:
        """Let the child end with a checkpoint, and keep the lease meanwhile."""
        beat = 0.0

        def keep_lease() -> None:
            nonlocal beat
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                self._runs.heartbeat(run)

        return child.stop(keep_lease)

    def _conclude(self, run: Run, child: Child, exit_code: int | None, cause: str | None) -> None:
        """Turn how the child ended, and why, into the run's final state."""
        result = _read_result(self._paths.run(run.id))
        error = None
        if cause == "pending":
            status: Any = "pending"
        elif result is not None and result["stop_reason"] in COMPLETE:
            status = "completed"
        elif cause in ("cancelled", "timeout"):
            status = cause
            limit = self._time_limit_s if cause == "timeout" else None
            error = _stopped_message(limit, exit_code, result)
        elif result is not None:
            status = "cancelled"
            error = _stopped_message(None, exit_code, result)
        else:
            status = "failed"
            error = child.last_line().removeprefix("error: ")[:MAX_ERROR_CHARS]
            if exit_code is not None and exit_code < 0:
                error = f"killed by signal {-exit_code}; last output: {error}"
        if self._runs.finish(run, status, exit_code=exit_code, error=error, result=result):
            self._plugins.observe("tunix_run_finished", run=self._runs.get(run.id))


def _stopped_message(
    limit_s: float | None, exit_code: int | None, result: dict[str, Any] | None
) -> str:
    if result is not None:
        at = f"at step {result['steps']} with a checkpoint"
    elif exit_code == -signal.SIGKILL:
        at = f"without ending within {GRACE_S:.0f} s"
    else:
        at = "before it had begun"
    return (
        f"stopped {at}"
        if limit_s is None
        else f"time limit of {limit_s:.0f} s reached, stopped {at}"
    )


def _read_result(folder: Path) -> dict[str, Any] | None:
    path = folder / "result.json"
    if not path.exists():
        return None
    outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return outcome
