"""A small application behind our middleware and protocol, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from attrs import frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from tunix_http.guards.middleware import middleware
from tunix_http.guards.request_body import read_body, stream_body_to_file
from tunix_http.monitoring.access_log import AccessLog
from tunix_http.server.serve import listen, server_config
from tunix_http.settings import Settings

BODY_LIMIT = 100_000
LINE_LIMIT = 1_000
LARGE = 64 * 1024 * 1024


@frozen
class Answer:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@frozen
class Served:
    """A server in a thread.

    Args:
        port: Port on 127.0.0.1.
        folder: Where it writes uploads.
        seen: Requests that were answered, as (method, status).
        written: The access log.
    """

    port: int
    folder: Path
    seen: list[tuple[str, int]]
    written: io.StringIO

    @property
    def host(self) -> bytes:
        return b"127.0.0.1:%d" % self.port

    def position(self) -> int:
        """Length of the access log once everything so far is in it."""
        self.ask(b"GET /api/health\r\nX-Request-ID: %b" % (mark := os.urandom(8).hex().encode()))
        deadline = time.monotonic() + 10.0
        while mark.decode() not in self.written.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return len(self.written.getvalue())

    def lines_after(self, position: int, count: int) -> list[dict[str, Any]]:
        """``count`` lines of the access log from a position on, once they are written."""
        deadline = time.monotonic() + 10.0
        while (text := self.written.getvalue()[position:]).count("\n") < count:
            assert time.monotonic() < deadline, text
            time.sleep(0.01)
        return [json.loads(line) for line in text.splitlines()]

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A new connection; a small receive buffer makes a client that soon takes no more."""
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(10.0)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, head: bytes, body: bytes = b"", host: bytes | None = None) -> Answer:
        """Send one request, ``GET / ...`` without its version, and read the answer.

        Args:
            head: Request line without the version, then further header lines.
            body: What follows the head; its length is declared unless it is empty.
            host: ``Host`` to name instead of the server's own.
        """
        line, *headers = head.split(b"\r\n")
        if body:
            headers.append(b"Content-Length: %d" % len(body))
        lines = [line + b" HTTP/1.1", b"Host: " + (host or self.host), *headers]
        return self.send(b"\r\n".join([*lines, b"Connection: close", b"", body]))

    def send(self, data: bytes) -> Answer:
        """Send bytes as they are, and read the answer until the server closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return self.read(connection)

    @staticmethod
    def read(connection: socket.socket) -> Answer:
        """Everything until the server closes, which the socket's timeout bounds."""
        data = b""
        try:
            while piece := connection.recv(65536):
                data += piece
        except ConnectionResetError:
            pass
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Answer(int(status.split()[1]), {name.lower(): value for name, value in pairs}, body)


ServeApp = Callable[..., AbstractContextManager[Served]]


@contextmanager
def serving(app: ASGIApp, settings: Settings, access_log: AccessLog) -> Iterator[int]:
    """An application behind our protocol, served by a thread; its port on 127.0.0.1."""
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(server_config(app, settings, access_log))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30.0)
            access_log.close()
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve_app(tmp_path_factory: pytest.TempPathFactory) -> ServeApp:
    """``serve_app(setting=value, ...)``: serve the application below with these settings."""

    @contextmanager
    def serve(**given: Any) -> Iterator[Served]:
        settings = Settings(**given)
        seen: list[tuple[str, int]] = []
        written = io.StringIO()
        access_log = AccessLog(written)
        app = Starlette(
            routes=ROUTES,
            middleware=middleware(
                settings, lambda method, status, _: seen.append((method, status)), access_log
            ),
        )
        app.state.folder = tmp_path_factory.mktemp("uploads")
        with serving(app, settings, access_log) as port:
            yield Served(port, app.state.folder, seen, written)

    return serve


@pytest.fixture(scope="module")
def served(serve_app: ServeApp) -> Iterator[Served]:
    """The application below with the default settings."""
    with serve_app() as running:
        yield running


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "healthy"})


async def _page(request: Request) -> Response:
    return HTMLResponse(f"<p>{request.url.query}</p>")


async def _echo(request: Request) -> Response:
    body = await read_body(request, BODY_LIMIT)
    # Trailers, if any, would be among the headers by now.
    names = [name.decode() for name, _ in request.headers.raw]
    return JSONResponse({"size": len(body), "headers": names})


async def _upload(request: Request) -> Response:
    target = request.app.state.folder / "upload"
    return JSONResponse(await stream_body_to_file(request, target, BODY_LIMIT, LINE_LIMIT))


async def _fail(_request: Request) -> Response:
    raise RuntimeError("on purpose")


async def _endless(_request: Request) -> Response:
    async def events() -> AsyncIterator[bytes]:
        while True:
            yield b"event: heartbeat\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(events(), media_type="text/event-stream")


async def _large(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LARGE // 65536):
            yield bytes(65536)

    return StreamingResponse(pieces(), media_type="application/octet-stream")


ROUTES = [
    Route("/", _page),
    Route("/page/{rest:path}", _page),
    Route("/api/health", _health),
    Route("/api/echo", _echo, methods=["GET", "POST", "PUT"]),
    Route("/api/upload", _upload, methods=["POST"]),
    Route("/api/fail", _fail),
    Route("/api/endless", _endless),
    Route("/api/large", _large),
]
