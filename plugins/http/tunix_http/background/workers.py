"""Workers inside the server, one thread each; ``tunix-rt worker`` beside it does the same."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tunix_core import Workspace
from tunix_core.runs.worker import Worker

RETRY_S = 5.0

_log = logging.getLogger("tunix_http.workers")


class WorkerThreads:
    """Executes pending runs beside the requests.

    Args:
        open_workspace: Opens the workspace over a connection of its own.
        count: Number of workers; 0 leaves runs to ``tunix-rt worker``.
        time_limit_s: Hard limit for a run in seconds, or None.
    """

    def __init__(
        self, open_workspace: Callable[[], Workspace], count: int, time_limit_s: float | None
    ) -> None:
        self._open_workspace = open_workspace
        self._time_limit_s = time_limit_s
        self._stopping = threading.Event()
        self._working: set[Worker] = set()
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}") for number in range(count)
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Put the present runs back in the queue, each with a checkpoint, and wait for that."""
        self._stopping.set()
        for worker in (*self._working,):
            worker.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self) -> None:
        """Work until stopped, whatever happens to a single run."""
        while not self._stopping.is_set():
            try:
                self._work_in(self._open_workspace())
            except Exception:
                _log.exception("a worker failed; it starts again in %.0f s", RETRY_S)
                self._stopping.wait(RETRY_S)

    def _work_in(self, workspace: Workspace) -> None:
        with workspace:
            worker = workspace.worker(self._time_limit_s)
            self._working.add(worker)
            try:
                # Asked to stop between the check and the entry, it would not have been told.
                if not self._stopping.is_set():
                    worker.work()
            finally:
                self._working.discard(worker)
