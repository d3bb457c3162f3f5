"""One JSON line per request, on the logger ``tunix_http.access``."""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import TextIO

MAX_WAITING = 100_000
GATHER_S = 0.05

_log = logging.getLogger("tunix_http.access")
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_numbers = itertools.count(1)
_prefix = os.urandom(6).hex()


def request_id(given: bytes | None) -> bytes:
    """The client's own id of a request when it is a plain word, else a fresh one."""
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    return f"{_prefix}-{next(_numbers):x}".encode()


def log_request(
    request: bytes,
    method: str,
    path: str,
    status: int,
    seconds: float,
    size: int,
    client: Sequence[str | int] | None,
) -> None:
    """Write the line of an answered request.

    Args:
        request: The request's id.
        method: HTTP method.
        path: Without the query, which may hold a token.
        status: The answer's status.
        seconds: From the request's headers to the last byte of the answer.
        size: Bytes of the answer's body.
        client: Address and port of the client.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    moment = time.time()
    _log.handle(
        _Line(
            f'{{"time": "{_date(int(moment))}.{int(moment % 1 * 1000):03d}Z", '
            f'"request_id": "{request.decode()}", "method": {quoted(method)}, '
            f'"path": {quoted(path)}, "status": {status}, "ms": {seconds * 1000:.3f}, '
            f'"bytes": {size}, "client": {quoted(str(client[0]) if client else "")}}}',
            moment,
        )
    )


@lru_cache(2)
def _date(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class _Line(logging.LogRecord):
    """A record that has only its message and its time for itself.

    The usual one looks for thread, task, process and file; that costs more than all the rest.
    """

    def __init__(self, message: str, created: float) -> None:
        self.__dict__.update(_COMMON)
        self.msg = message
        self.created = created
        self.msecs = created % 1 * 1000


_COMMON = logging.LogRecord(_log.name, logging.INFO, __file__, 0, "", None, None).__dict__


class GatheringHandler(logging.Handler):
    """Writes the lines of a twentieth of a second at once, in a thread of its own.

    A write per request would cost more than many a request itself, and a reader of the log that
    has stopped reading would stop the server. Then the oldest lines are dropped.

    Args:
        stream: Where lines are written.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(record.getMessage())
        if not self._woken.is_set():
            self._woken.set()

    def close(self) -> None:
        """Write what waits, for a second at most when nobody reads it, and end the thread."""
        self._closing.set()
        self._woken.set()
        self._thread.join(1.0)
        super().close()

    def _write(self) -> None:
        while not self._closing.is_set():
            self._woken.wait()
            self._closing.wait(GATHER_S)
            self._woken.clear()
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                self._stream.write("".join(f"{line}\n" for line in lines))
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody can be told that the log cannot be written.
                return
