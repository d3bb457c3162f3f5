"""What every request passes: host and origin checks, request id, security headers, access log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunix_http.guards.access_token import TokenCheck
from tunix_http.guards.hosts import AllowedHosts, same_origin
from tunix_http.monitoring.access_log import AccessLog, request_id
from tunix_http.settings import Settings

# Called with the method, the status and the seconds of every answered request.
Observer = Callable[[str, int, float], None]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CLIENT_WENT_AWAY = 499
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
# Only what a browser shows as a page of its own can do something with these.
OF_DOCUMENTS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
NO_STORE = (b"cache-control", b"no-store")
VARY = (b"vary", b"Origin")

_log = logging.getLogger("tunix_http")


def middleware(
    settings: Settings, observe: Observer | None = None, access_log: AccessLog | None = None
) -> list[Middleware]:
    """The middleware of the application, outermost first.

    Args:
        settings: The server's settings.
        observe: Called with the method, the status and the seconds of every answered request.
        access_log: Gets a line for every answered request.
    """
    stack = [Middleware(Guard, settings=settings, observe=observe, access_log=access_log)]
    if settings.token is not None:
        stack.append(Middleware(TokenCheck, token=settings.token))
    return stack


class Guard:
    """Lets in requests that name a host of ours and come from a page that may ask.

    Args:
        app: What answers them.
        settings: The server's settings.
        observe: Called with the method, the status and the seconds of every answered request.
        access_log: Gets a line for every answered request.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        observe: Observer | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=settings.allowed_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials=True,
            max_age=600,
        )
        self._origins = {origin.encode() for origin in settings.allowed_origins}
        self._hosts = AllowedHosts(settings.host, settings.allowed_hosts)
        self._observe = observe
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        hosts, origin, given_id = _read_headers(scope)
        exchange = _Exchange(scope, send, request_id(given_id), vary=origin is None)
        scope["request_id"] = exchange.id.decode()
        app = self._refusal(scope, hosts, origin) or (self._app if origin is None else self._cors)
        try:
            await app(scope, receive, exchange.send)
        except ClientDisconnect:
            exchange.status = CLIENT_WENT_AWAY
        except Exception:
            _log.exception("request %s failed", scope["request_id"])
            if exchange.status:
                # The answer has begun: only a cut connection tells that it is not whole.
                raise
            await _answer(500, "text/plain; charset=utf-8", b"Internal Server Error")(
                scope, receive, exchange.send
            )
        finally:
            exchange.log(self._observe, self._access_log)

    def _refusal(self, scope: Scope, hosts: list[bytes], origin: bytes | None) -> ASGIApp | None:
        """The answer to a request that may not come in, or None."""
        if len(hosts) != 1:
            return _refuse(400, "exactly one Host header is needed")
        server = scope.get("server")
        if not self._hosts.includes(hosts[0], server[0] if server else ""):
            return _refuse(421, "this Host is not served here; see TUNIX_HTTP_ALLOWED_HOSTS")
        if origin is None or scope["method"] in SAFE_METHODS:
            return None
        if same_origin(origin, hosts[0]) or origin in self._origins:
            return None
        return _refuse(403, "this Origin may change nothing here; see TUNIX_HTTP_ALLOWED_ORIGINS")


class _Exchange:
    """One request with its answer, which gets its headers on the way out."""

    __slots__ = ("_began", "_scope", "_send", "_size", "_vary", "id", "status")

    def __init__(self, scope: Scope, send: Send, identity: bytes, vary: bool) -> None:
        self._scope = scope
        self._send = send
        self._vary = vary
        self._began = time.perf_counter()
        self._size = 0
        self.id = identity
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._secured(list(message.get("headers", ())))
        else:
            self._size += len(message.get("body", b""))
        await self._send(message)

    def _secured(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        is_json = cached = False
        for name, value in headers:
            if name == b"content-type":
                is_json = value.startswith(b"application/json")
            elif name == b"cache-control":
                cached = True
        headers.append(NO_SNIFFING)
        headers.append((b"x-request-id", self.id))
        if self._vary:
            headers.append(VARY)
        if not is_json:
            headers.extend(OF_DOCUMENTS)
        elif not cached:
            headers.append(NO_STORE)
        return headers

    def log(self, observe: Observer | None, access_log: AccessLog | None) -> None:
        """Tell the observer and the access log how it went."""
        scope = self._scope
        seconds = time.perf_counter() - self._began
        status = self.status or CLIENT_WENT_AWAY
        if observe is not None:
            observe(scope["method"], status, seconds)
        if access_log is not None:
            access_log.add(
                self.id,
                scope["method"],
                scope["path"],
                status,
                seconds,
                self._size,
                scope.get("client"),
            )


def _read_headers(scope: Scope) -> tuple[list[bytes], bytes | None, bytes | None]:
    """All values of ``Host``, and ``Origin`` and ``X-Request-ID``, in one pass."""
    hosts = []
    origin = given_id = None
    for name, value in scope["headers"]:
        if name == b"host":
            hosts.append(value)
        elif name == b"origin":
            # Of several the joined text equals no origin that is allowed.
            origin = value if origin is None else origin + b"," + value
        elif name == b"x-request-id":
            given_id = value
    return hosts, origin, given_id


def _refuse(status: int, detail: str) -> ASGIApp:
    """An application that answers ``{"detail": ...}`` to everything."""
    return _answer(status, "application/json", json.dumps({"detail": detail}).encode())


def _answer(status: int, media_type: str, body: bytes) -> ASGIApp:
    started = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ],
    }

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(dict(started))
        await send({"type": "http.response.body", "body": body})

    return app
