"""The ASGI application: operations, page, middleware, and what lives as long as the server."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from attrs import field, frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from tunix_core import Workspace
from tunix_core.errors import TunixError
from tunix_core.plugins import Plugins
from tunix_core.records import Run
from tunix_core.worker import Worker
from tunix_http import openapi, page
from tunix_http.access_log import AccessLog
from tunix_http.errors import on_http_exception, on_request_refused
from tunix_http.json_body import RequestRefused
from tunix_http.operations import Operation, Operations
from tunix_http.prometheus import Metrics
from tunix_http.rediai_health import RediaiHealth
from tunix_http.settings import Settings
from tunix_http.sse import RunWatches
from tunix_http.threads import WorkspaceThreads
from tunix_http.workers import WorkerThreads

GATHERED_READS = 16
QUICK_THREADS = 4
SLOW_THREADS = 8
LONG_THREADS = 8
GROUPS = (
    "health",
    "traces",
    "ungar",
    "datasets",
    "tunix",
    "tunix_runs",
    "evaluation",
    "regression",
    "tuning",
    "models",
)


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
            self.directory, self.plugins, self.settings.workers, self.settings.run_time_limit_s
        )

    @watches.default
    def _watches(self) -> RunWatches:
        return RunWatches(self.quick)

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


class Endpoint:
    """All operations of one path.

    Args:
        operations: One for each method that is allowed.
        services: What the server holds.
    """

    def __init__(self, operations: Iterable[Operation], services: Services) -> None:
        self._operations = {operation.method: operation for operation in operations}
        self._services = services
        self._allowed = ", ".join(sorted(self._operations))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(scope["method"])
        if operation is None:
            raise HTTPException(405, headers={"Allow": self._allowed})
        response = await operation.respond(Request(scope, receive), self._services)
        await response(scope, receive, send)


def create_app(
    directory: Path, plugins: Plugins, settings: Settings, access_log: AccessLog | None = None
) -> Starlette:
    """The application for one workspace.

    Args:
        directory: The workspace.
        plugins: The active plugins.
        settings: The server's settings.
        access_log: Gets a line for every answered request.
    """
    from tunix_http.middleware import middleware

    operations = [*built_in_operations(), *_plugin_operations(plugins)]
    services = Services(directory, settings, plugins)
    app = Starlette(
        routes=[*_routes(operations, services), Route("/openapi.json", _openapi), *page.routes()],
        middleware=middleware(settings, services.metrics.observe_request, access_log),
        exception_handlers={
            HTTPException: on_http_exception,
            RequestRefused: on_request_refused,
        },
        lifespan=_lifespan,
    )
    app.state.services = services
    app.state.openapi = openapi.build(operations, with_token=settings.token is not None)
    return app


def built_in_operations() -> list[Operation]:
    """The contract's operations, group by group."""
    modules: list[Any] = [import_module(f"tunix_http.routes.{group}") for group in GROUPS]
    return [operation for module in modules for operation in module.operations.held]


def _plugin_operations(plugins: Plugins) -> list[Operation]:
    """Operations that plugins add; one that cannot be used costs a line on standard error."""
    found: list[Operation] = []
    for record, groups in plugins.collect("tunix_http_routes"):
        for group in groups:
            try:
                found += _below(f"/api/{record.distribution}/", group.load())
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                print(  # noqa: T201
                    f"warning: {record.distribution} {record.version}: routes: {reason}",
                    file=sys.stderr,
                )
    return found


def _below(prefix: str, offered: Operations) -> list[Operation]:
    """A plugin's operations, none of which may stand in the way of another's."""
    for operation in offered.held:
        if not operation.path.startswith(prefix):
            raise ValueError(f"{operation.path} is not below {prefix}")
    return offered.held


def _routes(operations: Sequence[Operation], services: Services) -> list[BaseRoute]:
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    return [Route(path, Endpoint(held, services)) for path, held in by_path.items()]


async def _openapi(request: Request) -> Response:
    return JSONResponse(request.app.state.openapi)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.start()
    try:
        yield
    finally:
        # Runs may need minutes for their checkpoints.
        await asyncio.to_thread(services.stop)
