"""Requests to a service over HTTP: made again where that may help, refused in one line."""

from __future__ import annotations

import threading
import weakref
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from attrs import frozen
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from tunix_core.errors import TunixError

LONGEST_WAIT_S = 60.0
SHOWN_CHARS = 200
BUSY = frozenset((408, 409, 425, 429))
# The request as such was understood, and not wanted: too long, or filtered.
UNWANTED = frozenset((400, 413, 422))


@frozen
class Patience:
    """How long a service is waited for.

    Args:
        retries: Further requests after a first one that failed.
        backoff_s: Wait before the first of them; it doubles with each.
        timeout_s: Wait for an answer.
    """

    retries: int = 3
    backoff_s: float = 0.5
    timeout_s: float = 30.0


@frozen
class Service:
    """What is asked, for those who read its errors.

    Args:
        name: What it is called.
        url: The address that requests go to.
        where: How its address is set.
        key: How its key is set.
        api_key: The key itself, or None.
    """

    name: str
    url: str
    where: str
    key: str
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"Service({self.name!r}, {self.url!r})"


class RequestRefusedError(TunixError):
    """The service understood the request and refuses it; another one may do."""


class _BusyError(TunixError):
    """No answer this time.

    Args:
        message: What was seen.
        hint: What to do.
        after_s: The wait that the service asks for, or None.
    """

    def __init__(self, message: str, hint: str, after_s: float | None = None) -> None:
        super().__init__(message, hint)
        self.after_s = after_s


class JsonClient:
    """Posts JSON to one address; may be used by several threads.

    Args:
        service: Where requests go.
        patience: How long it is waited for.
    """

    def __init__(self, service: Service, patience: Patience) -> None:
        self._service = service
        self._client = httpx2.Client(timeout=patience.timeout_s)
        if service.api_key is not None:
            self._client.headers["Authorization"] = f"Bearer {service.api_key}"
        # Whoever holds this object is not told when the last item was judged.
        weakref.finalize(self, self._client.close)
        self._reached = threading.Event()
        self._tries = patience.retries + 1
        growing = wait_exponential(multiplier=patience.backoff_s, max=LONGEST_WAIT_S)
        self._growing = growing + wait_random(0, patience.backoff_s)

    def post(self, body: Any) -> Any:
        """The answer to a request.

        Raises:
            RequestRefusedError: This request is refused.
            TunixError: There is no answer, or none may be had.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_BusyError),
            stop=self._gives_up,
            wait=self._wait,
            reraise=True,
        )
        return retrying(self._once, body)

    def no_service(self) -> TunixError:
        """The error of an answer that is not the service's."""
        service = self._service
        return TunixError(f"{service.url} does not answer as {service.name} does", service.where)

    def _gives_up(self, state: RetryCallState) -> bool:
        after_s = _asked_wait(state)
        too_long = after_s is not None and after_s > LONGEST_WAIT_S
        return too_long or stop_after_attempt(self._tries)(state)

    def _wait(self, state: RetryCallState) -> float:
        after_s = _asked_wait(state)
        return self._growing(state) if after_s is None else after_s

    def _once(self, body: Any) -> Any:
        service = self._service
        try:
            response = self._client.post(service.url, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            message = f"{service.name} gives no answer: {str(error) or type(error).__name__}"
            hint = f"is it running at {service.url}? {service.where}"
            # Nobody has been there yet: an address is wrong sooner than a server is busy.
            may_come_back = self._reached.is_set() or isinstance(error, httpx2.TimeoutException)
            if may_come_back and isinstance(error, httpx2.TransportError):
                raise _BusyError(message, hint) from error
            raise TunixError(message, hint) from error
        self._reached.set()
        if not response.is_success:
            raise self._refusal(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise self.no_service() from None

    def _refusal(self, response: httpx2.Response) -> TunixError:
        service, status = self._service, response.status_code
        said = f"{status} {response.reason_phrase}{_reason(response)}"
        if service.api_key is not None:
            said = said.replace(service.api_key, "***")
        message = f"{service.name} at {service.url} says {said}"
        if status in BUSY or status >= 500:
            hint = "what has been judged is kept; judge again later"
            return _BusyError(message, hint, _retry_after(response))
        if status in UNWANTED:
            return RequestRefusedError(message)
        return TunixError(message, service.key if status in (401, 403) else service.where)


def _asked_wait(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.after_s if isinstance(error, _BusyError) else None


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the service asks to wait, given as such or as a date."""
    said = response.headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(said)
        return max(0.0, (then - datetime.now(then.tzinfo or UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _reason(response: httpx2.Response) -> str:
    """What a refusal says of itself, behind a colon; nothing where it says nothing."""
    try:
        said = response.json()
    except (ValueError, RecursionError):
        said = response.text
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and key in said:
            said = said[key]
    text = " ".join(str(said).split())
    return f": {text[:SHOWN_CHARS]}" if text not in ("", "{}") else ""
