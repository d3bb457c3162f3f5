"""The page's own files, and Plotly's script out of its Python package."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
# The address holds the version, so what was fetched once is good for ever.
_FOR_EVER = "public, max-age=31536000, immutable"


async def _plotly(request: Request) -> Response:
    """``plotly.min.js``, compressed for those who take it so: it has five megabytes."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    content = await run_in_threadpool(_script, packed=packed)
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type="text/javascript")


@cache
def _script(*, packed: bool) -> bytes:
    content = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return gzip.compress(content, 6, mtime=0) if packed else content


def routes() -> list[BaseRoute]:
    """Routes below ``/static``."""
    return [
        Route("/static/plotly.min.js", _plotly),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
