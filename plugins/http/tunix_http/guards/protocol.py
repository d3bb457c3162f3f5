"""uvicorn's HTTP protocol with deadlines for the client and a limit on headers."""

from __future__ import annotations

import asyncio
import fcntl
import json
import struct
import termios
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tunix_http.monitoring.access_log import AccessLog, request_id
from tunix_http.settings import Settings

MAX_HEAD_BYTES = 64 * 1024
MAX_URL_BYTES = 16 * 1024
# How long an unread body is thrown away after its answer, so that the client gets to read that.
DISCARD_S = 5.0
# How long an answer may go on when the server ends.
GRACE_S = 2.0


class _Refused(Exception):  # noqa: N818 - ends the parser's work, is no mistake of ours
    """Raised out of the parser after the protocol noted why."""


class TimedProtocol(HttpToolsProtocol):
    """One connection. What it waits for has a deadline, by one timer that usually never runs.

    A request that arrives in one piece starts no timer: a deadline is set when the data of a piece
    is used up and more is missing.
    """

    # Seconds that each thing may take: a head, progress of a body or of an answer, an end.
    seconds: Mapping[str, float]
    # Gets a line for what is refused here.
    requests_log: AccessLog | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaits: str | None = "head"
        self._timed: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None
        # Bytes that came since the last progress: a whole head, or some of a body.
        self._idle_bytes = 0
        self._refusal = HTTPStatus.BAD_REQUEST
        self._progressed = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline("head")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._stall, self._end):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._idle_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._awaits is None:
            self._request_is_whole()
        elif self._idle_bytes > MAX_HEAD_BYTES and not self._progressed:
            self._answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._timed == "end":
            pass
        elif self._awaits != self._timed or self._progressed:
            self._set_deadline(self._awaits)
        if self._progressed:
            self._progressed = False
            self._idle_bytes = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing(self._unsent())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def shutdown(self) -> None:
        super().shutdown()
        if not self.transport.is_closing():
            self._end = self.loop.call_later(GRACE_S, self._hang_up)

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaits = "head"

    def on_headers_complete(self) -> None:
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG)
        # The piece that ended the head may hold a body as well: only then is it worth counting.
        if self._idle_bytes > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._awaits = "body"
        self._progressed = True
        super().on_headers_complete()
        # The parser takes trailers for headers; here they reach no application.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        self._progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._awaits = None
        super().on_message_complete()

    # What uvicorn calls.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._awaits == "body" and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._set_deadline("end")

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._answer(self._refusal)

    # Deadlines.

    def _request_is_whole(self) -> None:
        if self._timer is not None:
            self._clear_deadline()
        if self.cycle is None or not self.cycle.response_complete:
            return
        # Bytes came that belong to no request, or to the rest of one that was answered already.
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _set_deadline(self, awaited: str) -> None:
        self._clear_deadline()
        self._timed = awaited
        self._timer = self.loop.call_later(self.seconds[awaited], self._deadline_passed)

    def _clear_deadline(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timed = None

    def _deadline_passed(self) -> None:
        awaited, self._timer, self._timed = self._timed, None, None
        if self.transport.is_closing() or awaited is None:
            return
        if awaited == "end":
            self.transport.close()
        elif self.flow.read_paused:
            # It is us who do not read: the client gets its time again.
            self._set_deadline(awaited)
        else:
            self._answer(HTTPStatus.REQUEST_TIMEOUT)

    def _watch_writing(self, unsent: int) -> None:
        self._stall = self.loop.call_later(self.seconds["write"], self._writing_stalled, unsent)

    def _writing_stalled(self, unsent: int) -> None:
        """Cut off a client that took nothing since; one that reads slowly goes on."""
        now_unsent = self._unsent()
        if now_unsent < unsent:
            self._watch_writing(now_unsent)
        else:
            self._stall = None
            self.transport.abort()

    def _unsent(self) -> int:
        """Bytes that the client has not taken, those in the kernel included where it tells them."""
        unsent = self.transport.get_write_buffer_size()
        file = self.transport.get_extra_info("socket").fileno()
        with suppress(OSError):
            unsent += struct.unpack("i", fcntl.ioctl(file, termios.TIOCOUTQ, bytes(4)))[0]
        return unsent

    def _hang_up(self) -> None:
        """End an answer that goes on and on, as an event stream does."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.get_write_buffer_size():
            # A client that does not read would hold up the end of the server.
            self.transport.abort()
        else:
            self.transport.close()

    # Refusals.

    def _head_size(self) -> int:
        # A colon, a space and a line end belong to every header.
        lengths = (len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.url) + sum(lengths)

    def _refuse(self, status: HTTPStatus) -> None:
        """Leave the parser; :meth:`send_400_response` follows."""
        self._refusal = status
        raise _Refused

    def _answer(self, status: HTTPStatus) -> None:
        """Answer without the application, unless it is answering already, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.abort()
                return
            # Nothing of the application's may follow: to it the client has gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = json.dumps({"detail": status.phrase}).encode()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-content-type-options: nosniff\r\nconnection: close\r\n\r\n%b"
            % (status.value, status.phrase.encode(), len(body), body)
        )
        self.transport.close()
        if self.requests_log is not None:
            self.requests_log.add(
                request_id(None), "", "", status.value, 0.0, len(body), self.client
            )


def timed_protocol(settings: Settings, access_log: AccessLog | None) -> type[TimedProtocol]:
    """The protocol class for ``uvicorn.Config(http=...)``, with the server's deadlines."""
    seconds = {
        "head": settings.header_timeout_s,
        "body": settings.body_timeout_s,
        "write": settings.write_timeout_s,
        "end": DISCARD_S,
    }
    held = {"seconds": seconds, "requests_log": access_log}
    return type("TimedProtocol", (TimedProtocol,), held)
