"""Operations of the API, each declared once: from it come routing, validation and OpenAPI."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal, TypeVar

from attrs import define, field, frozen
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tunix_core.errors import TunixError
from tunix_http.background.services import Services
from tunix_http.background.threads import WorkspaceThreads
from tunix_http.guards.json_body import parse
from tunix_http.guards.request_body import read_body
from tunix_http.settings import Settings
from tunix_http.wire.errors import refusal
from tunix_http.wire.refusals import RequestRefused, item, items_of

JSON = "application/json"
# Enough for any body but many traces; errors of a larger one take too long to gather.
USUAL_BODY = 1024 * 1024
# Validating a larger body takes long enough to hold up other requests.
LARGE_BODY = 256 * 1024

F = TypeVar("F", bound=Callable[..., Any])


@define
class Call:
    """One request to an operation, its data validated.

    Args:
        request: The request itself.
        services: What the server holds.
        path: Instance of the operation's path class, or None.
        query: Instance of the operation's query class, or None.
        body: The validated body, or None.
    """

    request: Request
    services: Services
    path: Any = None
    query: Any = None
    body: Any = None


@frozen(kw_only=True)
class Operation:
    """One operation.

    Args:
        method: HTTP method.
        path: Path, its parameters in braces.
        name: Its ``operationId``, and the name of its function in ``client.js``.
        tag: The group it is shown in.
        function: ``f(workspace, call)``, run in a thread; or ``async f(call)``, on the event loop.
        parameters: Class of the path's parameters.
        query: Class of the query's parameters.
        body: Type of the JSON body; None reads no body.
        body_optional: Whether the body may be left out.
        raw_body: Media type of a body that the function reads itself, beside or instead of JSON.
        returns: Type of the answer, for OpenAPI; None when it is no JSON.
        status: Status of a good answer.
        media_type: Of the answer.
        errors: Further statuses with what they mean.
        refusals: Statuses of core errors, where they differ from the usual ones.
        limit: Largest body in bytes.
        pool: Which of the server's threads a plain function runs in.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    tag: str
    function: Callable[..., Any]
    parameters: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    body: Any = None
    body_optional: bool = False
    raw_body: str | None = None
    returns: Any = None
    status: int = 200
    media_type: str = JSON
    errors: Mapping[int, str] = field(factory=dict)
    refusals: Mapping[type[TunixError], int] = field(factory=dict)
    limit: Callable[[Settings], int] = lambda settings: min(USUAL_BODY, settings.max_body_bytes)
    pool: Literal["reads", "quick", "slow", "long"] = "quick"

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """What follows the first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[2].strip()

    async def respond(self, request: Request, services: Services) -> Response:
        """Validate the request, call the function, make its result a response.

        Args:
            request: The request.
            services: What the server holds.

        Raises:
            RequestRefused: The request is not what the operation takes.
            HTTPException: The core refuses it.
        """
        call = Call(
            request,
            services,
            _validated("path", self.parameters, request.path_params),
            # Reading the query costs something even where there is none.
            None if self.query is None else _validated("query", self.query, request.query_params),
            await self._read_body(request, services),
        )
        try:
            if self._is_async:
                return self._response(await self.function(call))
            threads: WorkspaceThreads = getattr(services, self.pool)
            return await threads.run(self._respond_in_thread, call)
        except TunixError as error:
            raise refusal(error, self.refusals) from error

    @cached_property
    def _is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.returns)

    @cached_property
    def _body_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.body)

    def _respond_in_thread(self, workspace: Any, call: Call) -> Response:
        return self._response(self.function(workspace, call))

    def _response(self, result: Any) -> Response:
        if isinstance(result, Response):
            return result
        content = self._adapter.dump_json(result)
        return Response(content, self.status, media_type=JSON)

    async def _read_body(self, request: Request, services: Services) -> Any:
        if self.body is None or self._is_raw(request):
            return None
        content = await read_body(request, self.limit(services.settings))
        if not content:
            if self.body_optional:
                return None
            raise RequestRefused([item("missing", ("body",), "Field required")])
        if len(content) > LARGE_BODY:
            async with services.large_bodies:
                return await run_in_threadpool(self._body_of, content, is_json=_is_json(request))
        return self._body_of(content, is_json=_is_json(request))

    def _body_of(self, content: bytes, *, is_json: bool) -> Any:
        value = parse(content) if is_json else content.decode("utf-8", "replace")
        try:
            return self._body_adapter.validate_python(value, from_attributes=True)
        except ValidationError as error:
            raise RequestRefused(items_of("body", error.errors(include_url=False))) from None

    def _is_raw(self, request: Request) -> bool:
        return self.raw_body is not None and _media_type(request) == self.raw_body


class Operations:
    """The operations of one group, collected by decorators.

    Example::

        operations = Operations("health")

        @operations.get("/api/health", "getApiHealth", returns=Health)
        def health(workspace, call):
            '''Say that the server is up.'''
            return Health(status="healthy")
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.held: list[Operation] = []

    def get(self, path: str, name: str, **options: Any) -> Callable[[F], F]:
        """Declare a GET operation; see :class:`Operation` for the options."""
        return self._declare("GET", path, name, options)

    def post(self, path: str, name: str, **options: Any) -> Callable[[F], F]:
        """Declare a POST operation; see :class:`Operation` for the options."""
        return self._declare("POST", path, name, options)

    def _declare(
        self, method: Literal["GET", "POST"], path: str, name: str, options: Mapping[str, Any]
    ) -> Callable[[F], F]:
        def declare(function: F) -> F:
            self.held.append(
                Operation(
                    method=method, path=path, name=name, tag=self.tag, function=function, **options
                )
            )
            return function

        return declare


def _validated(where: str, cls: type[BaseModel] | None, data: Mapping[str, Any]) -> Any:
    if cls is None:
        return None
    try:
        return cls.model_validate(dict(data))
    except ValidationError as error:
        raise RequestRefused(items_of(where, error.errors(include_url=False))) from None


def _is_json(request: Request) -> bool:
    given = _media_type(request)
    return not given or given == JSON or (given.startswith("application/") and "+json" in given)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
