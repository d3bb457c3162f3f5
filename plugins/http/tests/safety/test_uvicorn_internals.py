"""What our protocol uses of uvicorn beyond its documented interface, by name."""

from __future__ import annotations

import io
import urllib.request
from importlib.metadata import version
from typing import Any

import pytest
import uvicorn
from attrs import frozen
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tunix_http.guards.protocol import TimedProtocol
from tunix_http.monitoring.access_log import AccessLog
from tunix_http.settings import load_settings

from .conftest import serving

OF_PROTOCOL = (
    "client",
    "cycle",
    "flow",
    "headers",
    "loop",
    "timeout_keep_alive",
    "timeout_keep_alive_handler",
    "timeout_keep_alive_task",
    "transport",
    "url",
    "_unset_keepalive_if_required",
)
OF_CYCLE = ("disconnected", "message_event", "response_complete", "response_started")
OF_FLOW = ("read_paused",)
OF_SERVER = ("handle_exit", "should_exit", "shutdown", "startup")
# Ours replace these and call them: under another name they would never run.
EXTENDED = (
    "connection_lost",
    "connection_made",
    "data_received",
    "on_body",
    "on_headers_complete",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "pause_writing",
    "resume_writing",
    "send_400_response",
    "shutdown",
)


@frozen
class Met:
    """What uvicorn answered a request with.

    Args:
        cycle: The object that ``send`` belongs to.
        protocol: The connection's protocol, as long as it was open.
    """

    cycle: Any
    protocol: Any


@pytest.fixture(scope="module")
def met() -> Met:
    found: list[Met] = []
    inner = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("fine"))])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            cycle = getattr(send, "__self__", None)
            transport = getattr(cycle, "transport", None)
            found.append(Met(cycle, transport and transport.get_protocol()))
        await inner(scope, receive, send)

    with serving(app, load_settings(), AccessLog(io.StringIO())) as port:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
    return found[0]


def refuse_missing(owner: object, names: tuple[str, ...], what: str) -> None:
    missing = ", ".join(name for name in names if not hasattr(owner, name))
    if missing:
        pytest.fail(
            f"uvicorn {version('uvicorn')}: {what} has no {missing}; change guards/protocol.py or"
            " server/serve.py, which need it, before the cap in plugins/http/pyproject.toml rises",
            pytrace=False,
        )


def test_uvicorn_has_what_the_protocol_reads(met: Met) -> None:
    refuse_missing(met.cycle, ("transport", *OF_CYCLE), "what answers a request")
    assert isinstance(met.protocol, TimedProtocol)
    refuse_missing(met.protocol, OF_PROTOCOL, "a protocol")
    refuse_missing(met.protocol.flow, OF_FLOW, "a protocol's flow")


def test_uvicorn_has_what_ours_replaces() -> None:
    refuse_missing(HttpToolsProtocol, EXTENDED, "HttpToolsProtocol")
    refuse_missing(uvicorn.Server(uvicorn.Config("unused")), OF_SERVER, "a server")


def test_every_method_that_ours_replaces_is_named() -> None:
    ours = {name for name in vars(TimedProtocol) if not name.startswith("__")}

    assert sorted(ours & set(dir(HttpToolsProtocol))) == sorted(EXTENDED)
