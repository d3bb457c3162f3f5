"""The ASGI application: operations, page, middleware, and what lives as long as the server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from tunix_core.plugins import Plugins
from tunix_http import page
from tunix_http.background.services import Services
from tunix_http.guards.middleware import middleware
from tunix_http.monitoring.access_log import AccessLog
from tunix_http.operations import Operation, Operations
from tunix_http.server import openapi
from tunix_http.settings import Settings
from tunix_http.wire.errors import on_http_exception, on_request_refused
from tunix_http.wire.refusals import RequestRefused

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
