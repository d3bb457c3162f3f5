"""Errors as the contract shapes them: ``{"detail": text}`` or ``{"detail": [items]}``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tunix_core.errors import (
    ConfinementError,
    ConflictError,
    InvalidRecordError,
    NotFoundError,
    TunixError,
    UsageError,
)
from tunix_http.wire.refusals import RequestRefused, item

# The first class that an error is an instance of decides.
USUAL: tuple[tuple[type[TunixError], int], ...] = (
    (NotFoundError, 404),
    (ConfinementError, 403),
    (ConflictError, 409),
    (UsageError, 400),
)


def refusal(error: TunixError, statuses: Mapping[type[TunixError], int]) -> Exception:
    """What a core error is over HTTP.

    Args:
        error: Raised by a service.
        statuses: The operation's own statuses, looked at before the usual ones.
    """
    if isinstance(error, InvalidRecordError):
        items = [item("value_error", ("body",), problem) for problem in error.problems]
        return RequestRefused(items)
    return HTTPException(status_of(error, statuses.items()), _said(error))


def status_of(error: TunixError, first: Iterable[tuple[type[TunixError], int]] = ()) -> int:
    """The HTTP status of a core error.

    Args:
        error: Raised by a service.
        first: Statuses that are looked at before the usual ones.
    """
    return next((status for kind, status in (*first, *USUAL) if isinstance(error, kind)), 500)


def _said(error: TunixError) -> str:
    """The message with its hint, unless that is about the command line."""
    spoken = error.hint is not None and "tunix-rt" not in error.hint
    return str(error) if spoken else error.message


async def on_http_exception(request: Request, error: Exception) -> Response:
    """``{"detail": ...}`` with the exception's status and headers."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    detail = error.detail
    # Where these lie on this machine is nobody else's business.
    for directory in request.app.state.services.directories:
        detail = detail.replace(f"{directory}/", "")
    return detail_response(error.status_code, detail, error.headers)


async def on_request_refused(_request: Request, error: Exception) -> Response:
    """422 with the validation items."""
    assert isinstance(error, RequestRefused)  # noqa: S101 - registered for it alone
    return detail_response(422, error.items)


def detail_response(status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON error; escaped to ASCII, since refused input may hold what UTF-8 cannot."""
    content = json.dumps({"detail": detail}).encode()
    return Response(content, status, headers=headers, media_type="application/json")
