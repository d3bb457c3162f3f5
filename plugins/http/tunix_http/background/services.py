"""What the server holds for all requests: threads, workers, figures."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from attrs import field, frozen

from tunix_core import Workspace
from tunix_core.errors import TunixError
from tunix_core.plugins import Plugins
from tunix_core.records import Run, RunStatus
from tunix_core.runs.worker import Worker
from tunix_http.background.threads import WorkspaceThreads
from tunix_http.background.workers import WorkerThreads
from tunix_http.monitoring.prometheus import Metrics
from tunix_http.monitoring.rediai_health import RediaiHealth
from tunix_http.settings import Settings
from tunix_http.streams.run_watch import RunWatches

GATHERED_READS = 16
QUICK_THREADS = 4
SLOW_THREADS = 8
LONG_THREADS = 8


@frozen
class Services:
    """What the server holds for all requests.

    Args:
        directory: The workspace.
        settings: The server's settings.
        plugins: The active plugins.
        reads: A thread for reads of a few rows, which wait for nobody.
        quick: Threads for all other work that is short.
        slow: Threads for work that takes seconds.
        long: Threads for training and answering, which may take hours and hold up no other work.
        workers: Threads that execute pending runs.
        metrics: What is counted for ``/metrics``.
        rediai: RediAI's health.
        watches: Runs whose logs are being read.
        large_bodies: Held while a large body is parsed, which takes many times its memory.
    """

    directory: Path
    settings: Settings
    plugins: Plugins
    metrics: Metrics = field(init=False, factory=Metrics)
    rediai: RediaiHealth = field(init=False)
    reads: WorkspaceThreads = field(init=False)
    quick: WorkspaceThreads = field(init=False)
    slow: WorkspaceThreads = field(init=False)
    long: WorkspaceThreads = field(init=False)
    workers: WorkerThreads = field(init=False)
    watches: RunWatches = field(init=False)
    large_bodies: asyncio.Lock = field(init=False, factory=asyncio.Lock)
    _stopping: threading.Event = field(init=False, factory=threading.Event)
    _executing: set[Worker] = field(init=False, factory=set)

    @rediai.default
    def _rediai(self) -> RediaiHealth:
        return RediaiHealth(self.settings)

    @reads.default
    def _reads(self) -> WorkspaceThreads:
        return WorkspaceThreads(self.open_workspace, 1, "reads", GATHERED_READS)

    @quick.default
    def _quick(self) -> WorkspaceThreads:
        return WorkspaceThreads(self.open_workspace, QUICK_THREADS, "quick")

    @slow.default
    def _slow(self) -> WorkspaceThreads:
        return WorkspaceThreads(self.open_workspace, SLOW_THREADS, "slow")

    @long.default
    def _long(self) -> WorkspaceThreads:
        return WorkspaceThreads(self.open_workspace, LONG_THREADS, "long")

    @workers.default
    def _workers(self) -> WorkerThreads:
        return WorkerThreads(
            self.open_workspace, self.settings.workers, self.settings.run_time_limit_s
        )

    @watches.default
    def _watches(self) -> RunWatches:
        return RunWatches(self._status_of)

    @property
    def directories(self) -> list[Path]:
        """Where the workspace and its model registries lie."""
        registries = self.settings.model_registry_path
        return [self.directory, *([] if registries is None else [registries.resolve()])]

    def open_workspace(self) -> Workspace:
        """The workspace over a new connection to its database; the caller closes it."""
        return Workspace(self.directory, self.plugins, self.settings.model_registry_path)

    def start(self) -> None:
        """Start all threads."""
        for threads in (self.reads, self.quick, self.slow, self.long, self.workers):
            threads.start()

    def execute(self, workspace: Workspace, run_id: str) -> Run:
        """Execute a run in this thread; when the server ends, it goes back to the queue."""
        worker = workspace.worker(self.settings.run_time_limit_s)
        self._executing.add(worker)
        if self._stopping.is_set():
            worker.stop()
        try:
            return worker.execute(run_id)
        finally:
            self._executing.discard(worker)

    def keep_on(self, *_progress: object) -> None:
        """Called by long work now and then; ends it when the server ends.

        Raises:
            TunixError: The server ends.
        """
        if self._stopping.is_set():
            raise TunixError("the server is ending", "ask again; finished work is kept")

    def begin_to_stop(self) -> None:
        """Tell work that is waited for to end, so that its requests are still answered."""
        self._stopping.set()
        for worker in (*self._executing,):
            worker.stop()

    def stop(self) -> None:
        """Let runs end with a checkpoint, then close everything."""
        self.begin_to_stop()
        self.workers.stop()
        for threads in (self.long, self.slow, self.quick, self.reads):
            threads.close()

    async def _status_of(self, run_id: str) -> RunStatus:
        return await self.quick.run(lambda workspace: workspace.runs.get(run_id).status)
