"""Pages: one function makes a page's data, shown as HTML at its path and as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunix_core import Workspace
from tunix_core.codec import unstructure
from tunix_core.errors import TunixError
from tunix_http.background.services import Services
from tunix_http.page import skin
from tunix_http.page.query import Query
from tunix_http.wire.common import finite
from tunix_http.wire.errors import status_of

Data = dict[str, Any]

_HEADINGS = {400: "This address cannot be read", 403: "Not allowed", 404: "Not here"}


@frozen
class Page:
    """A page in its two skins.

    Args:
        path: Path of the HTML; the JSON is at the same path with ``.json`` behind it.
        template: File in ``templates``.
        data: ``f(workspace, query)``: what the page shows, as plain data.
        slow: Whether it reads whole datasets, and runs where that keeps nobody waiting.
    """

    path: str
    template: str
    data: Callable[[Workspace, Query], Data]
    slow: bool = False

    def routes(self) -> list[Route]:
        """The two routes, that of the JSON first: it is the narrower one."""
        as_json = "/index.json" if self.path == "/" else f"{self.path}.json"
        return [Route(as_json, self._as_json), Route(self.path, self._as_html)]

    async def _as_html(self, request: Request) -> Response:
        try:
            held = await self._read(request)
        except TunixError as error:
            return error_page(request, error)
        return skin.html(request, self.template, held)

    async def _as_json(self, request: Request) -> Response:
        try:
            return json_response(await self._read(request))
        except TunixError as error:
            return json_response({"detail": str(error)}, status_of(error))

    async def _read(self, request: Request) -> Data:
        services: Services = request.app.state.services
        threads = services.slow if self.slow else services.quick
        return await threads.run(plain_data, self.data, Query.of(request))


def plain_data(
    workspace: Workspace, data: Callable[[Workspace, Query], Data], query: Query
) -> Data:
    """What a page shows, records unstructured and numbers finite, ready for both skins."""
    held: Data = finite(unstructure(data(workspace, query)))
    return held


def error_page(request: Request, error: TunixError) -> Response:
    """An error as a page, with its hint and the way back."""
    status = status_of(error)
    held = {
        "heading": _HEADINGS.get(status, "This did not work"),
        "message": error.message,
        "hint": error.hint,
        "status": status,
    }
    return skin.html(request, "error.html", held, status)


def json_response(data: Any, status: int = 200) -> Response:
    """``data`` as JSON; escaped to ASCII, since stored text may hold what UTF-8 cannot."""
    content = json.dumps(data, allow_nan=False).encode()
    return Response(content, status, media_type="application/json")
