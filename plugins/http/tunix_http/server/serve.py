"""Runs the application until it is told to stop."""

from __future__ import annotations

import gc
import logging
import math
import os
import resource
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins
from tunix_http.guards.protocol import timed_protocol
from tunix_http.monitoring.access_log import AccessLog
from tunix_http.settings import Settings

BACKLOG = 4096
# What answers have after the signal to stop; runs may take longer for their checkpoints.
SHUTDOWN_S = 5


def serve(
    workspace_directory: Path,
    plugins: Plugins,
    settings: Settings,
    port: int | None = None,
    open_browser: bool = False,
) -> None:
    """Serve a workspace until SIGTERM or SIGINT; a second one ends the process at once.

    Args:
        workspace_directory: The workspace.
        plugins: The active plugins.
        settings: The server's settings.
        port: Port to listen on instead of ``settings.backend_port``; 0 takes a free one.
        open_browser: Show the page in the browser of this machine.

    Raises:
        UsageError: The address cannot be listened on.
    """
    from tunix_http.server.app import create_app

    _raise_file_limit()
    # Judges read these themselves; here they may have come from a file.
    os.environ["REDIAI_MODE"] = settings.rediai_mode
    os.environ["REDIAI_BASE_URL"] = settings.rediai_base_url
    listener = listen(settings.host, settings.backend_port if port is None else port)
    _cut_off_stalled_readers(listener, settings.write_timeout_s)
    url = address_of(listener)

    def on_ready() -> None:
        _announce(url, workspace_directory, settings)
        if open_browser:
            _show_page(url, settings)

    with listener:
        _log_to_stderr()
        access_log = AccessLog(sys.stderr)
        app = create_app(workspace_directory, plugins, settings, access_log)
        try:
            config = server_config(app, settings, access_log)
            _Server(config, on_ready, app.state.services.begin_to_stop).run(sockets=[listener])
        finally:
            access_log.close()


def server_config(
    app: ASGIApp, settings: Settings, access_log: AccessLog | None = None
) -> uvicorn.Config:
    """How uvicorn runs the application: with our deadlines, log and shutdown."""
    return uvicorn.Config(
        app,
        http=timed_protocol(settings, access_log),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(settings.keep_alive_s),
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


class _Server(uvicorn.Server):
    """Says when it is ready, and ends well by a signal instead of dying of it."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays: the garbage collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests are waited for: those that wait for a run have to hear of it now.
        self._on_stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        signal.signal(sig, signal.SIG_DFL)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address.

    Raises:
        UsageError: No such host, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}", "choose another --port"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cut_off_stalled_readers(listener: socket.socket, seconds: float) -> None:
    """Let the kernel end connections whose last bytes nobody takes, after ours have closed them."""
    if sys.platform == "linux":
        # Accepted connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _announce(url: str, workspace_directory: Path, settings: Settings) -> None:
    print(f"tunix-rt serves {url}  workspace {workspace_directory}", file=sys.stderr)  # noqa: T201
    if settings.token is not None:
        how = f"sign in at {url}/?token=TOKEN, or send Authorization: Bearer TOKEN"
        print(how, file=sys.stderr)  # noqa: T201


def _show_page(url: str, settings: Settings) -> None:
    page = url if settings.token is None else f"{url}/?token={settings.token.get_secret_value()}"
    Thread(target=webbrowser.open, args=(page,), daemon=True).start()


def _raise_file_limit() -> None:
    """Every connection is an open file, and the usual limit is 1024 of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_to_stderr() -> None:
    """Messages with their logger's name."""
    messages = logging.StreamHandler()
    messages.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    # What clients do wrong is in the access log.
    for name, level in (("tunix_http", logging.INFO), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(messages)
