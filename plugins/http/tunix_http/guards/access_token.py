"""The token that a server off loopback asks for, and the cookie that stands for it in a browser."""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "tunix_session"
# A load balancer asks it and carries no token; it tells nothing.
OPEN_PATHS = frozenset({"/api/health"})


class TokenCheck:
    """Lets in who shows the token, in ``Authorization: Bearer`` or as the page's cookie.

    ``/?token=...`` on a path of the page sets the cookie and goes to the same path without it.

    Args:
        app: What answers those who are let in.
        token: The token.
    """

    def __init__(self, app: ASGIApp, token: SecretStr) -> None:
        self._app = app
        self._token = token.get_secret_value().encode()
        # Who reads a browser's cookies does not learn the token from them.
        self._session = hmac.digest(self._token, b"tunix-rt page session", hashlib.sha256).hex()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = self._sign_in(request)
        if response is None and not self._is_shown(request):
            response = _unauthorized()
        await (self._app if response is None else response)(scope, receive, send)

    def _is_shown(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(shown.strip().encode(), self._token)
        return hmac.compare_digest(_cookie(request).encode(), self._session.encode())

    def _sign_in(self, request: Request) -> Response | None:
        """The answer to a page's address with a token in it, or None when it is no such address."""
        query = request.scope["query_string"].decode("latin-1")
        if request.method != "GET" or "token=" not in query or _is_api(request.scope["path"]):
            return None
        pairs = parse_qsl(query, keep_blank_values=True)
        tokens = [value for name, value in pairs if name == "token"]
        if not tokens:
            return None
        if not hmac.compare_digest(tokens[0].encode(), self._token):
            return _unauthorized()
        # One leading slash: with two, or a backslash, a browser would go to another host.
        target = "/" + quote(request.scope["path"].lstrip("/"))
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        response = RedirectResponse(f"{target}?{rest}" if rest else target, 303)
        response.headers["cache-control"] = "no-store"
        response.set_cookie(
            COOKIE,
            self._session,
            httponly=True,
            samesite="strict",
            secure=request.scope["scheme"] == "https",
        )
        return response


def _is_api(path: str) -> bool:
    return path.startswith("/api/")


def _cookie(request: Request) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _unauthorized() -> Response:
    return JSONResponse(
        {"detail": "show the token: Authorization: Bearer TOKEN, or open /?token=TOKEN"},
        401,
        headers={"WWW-Authenticate": "Bearer"},
    )
