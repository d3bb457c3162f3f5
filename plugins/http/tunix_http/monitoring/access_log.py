"""One JSON line per request, written by a thread of its own."""

from __future__ import annotations

import itertools
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

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_numbers = itertools.count(1)
_prefix = os.urandom(6).hex()


def request_id(given: bytes | None) -> bytes:
    """The client's own id of a request when it is a plain word, else a fresh one."""
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    return f"{_prefix}-{next(_numbers):x}".encode()


class AccessLog:
    """Writes the lines of a twentieth of a second at once.

    A write per request would cost more than many a request itself, and a reader of the log that
    has stopped reading would stop the server. Then the oldest lines are dropped.

    Args:
        stream: Where lines are written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def add(
        self,
        request: bytes,
        method: str,
        path: str,
        status: int,
        seconds: float,
        size: int,
        client: Sequence[str | int] | None,
    ) -> None:
        """Log an answered request.

        Args:
            request: The request's id.
            method: HTTP method.
            path: Without the query, which may hold a token.
            status: The answer's status.
            seconds: From the request's headers to the last byte of the answer.
            size: Bytes of the answer's body.
            client: Address and port of the client.
        """
        moment = time.time()
        self._waiting.append(
            f'{{"time": "{_date(int(moment))}.{int(moment % 1 * 1000):03d}Z", '
            f'"request_id": "{request.decode()}", "method": {quoted(method)}, '
            f'"path": {quoted(path)}, "status": {status}, "ms": {seconds * 1000:.3f}, '
            f'"bytes": {size}, "client": {quoted(str(client[0]) if client else "")}}}\n'
        )
        if not self._woken.is_set():
            self._woken.set()

    def close(self) -> None:
        """Write what waits, for a second at most when nobody reads it, and end the thread."""
        self._closing.set()
        self._woken.set()
        self._thread.join(1.0)

    def _write(self) -> None:
        while not self._closing.is_set():
            self._woken.wait()
            self._closing.wait(GATHER_S)
            self._woken.clear()
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody can be told that the log cannot be written.
                return


@lru_cache(2)
def _date(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
