"""From a page's data to HTML: the templates, their filters, and what every page has around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tunix_core.evaluators import USUAL_JUDGE, USUAL_JUDGE_FULL
from tunix_core.rich.readable import bare, figure, short, value, when

TEMPLATES = Path(__file__).parent / "templates"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
NAVIGATION = (
    ("/", "Overview"),
    ("/traces", "Traces"),
    ("/datasets", "Datasets"),
    ("/runs", "Runs"),
    ("/evaluations", "Evaluations"),
    ("/regressions", "Regressions"),
    ("/tuning", "Tuning"),
    ("/models", "Models"),
    ("/plugins", "Plugins"),
    ("/docs", "API"),
)


def html(request: Request, template: str, data: Mapping[str, Any], status: int = 200) -> Response:
    """A page."""
    path = request.url.path
    section = "/" + path.removeprefix("/").partition("/")[0]
    query = f"?{request.url.query}" if request.url.query else ""
    around = {
        "here": section,
        "navigation": NAVIGATION,
        "json_address": ("/index" if path == "/" else path) + ".json" + query,
        "query": dict(request.query_params),
    }
    content = _environment().get_template(template).render({**around, **data})
    # Half a surrogate pair in stored text must not keep the rest from being read.
    return HTMLResponse(content.encode("utf-8", "replace"), status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "short": short,
        "bare": bare,
        "when": when,
        "figure": figure,
        "size": size,
        "value": value,
        "part": part,
        "setting": setting,
        "ticks": ticks,
    }
    environment.globals["plotly_version"] = version("plotly")
    environment.globals["usual_judge"] = USUAL_JUDGE
    environment.globals["usual_judge_full"] = USUAL_JUDGE_FULL
    environment.globals["release"] = version("tunix-http")
    return environment


def size(count: int) -> str:
    """A number of bytes in the largest unit that it fills."""
    place = min((max(count, 1).bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{count:,} bytes" if place == 0 else f"{count / 1024**place:,.1f} {_UNITS[place]}"


def setting(anything: Any) -> str:
    """A value as it is typed behind ``KEY=``."""
    return anything if isinstance(anything, str) else json.dumps(anything, ensure_ascii=False)


def part(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def ticks(text: str) -> Markup:
    """Prose from a docstring: what stands between double backticks is code."""
    pieces = enumerate(text.split("``"))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece)
        for place, piece in pieces
    )
