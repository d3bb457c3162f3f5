"""A process that compares answers, ended when it takes too long and begun anew when needed."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
import weakref
from threading import Lock

from tunix_core.errors import TunixError
from tunix_math_verify.worker import READY

# SymPy is imported first, on a busy machine too.
START_S = 120.0


class Comparer:
    """Compares in a process of its own, which is started at the first comparison.

    Args:
        time_limit_s: Seconds that one comparison may take.
        memory_mib: Memory that the process may take.
    """

    def __init__(self, time_limit_s: float, memory_mib: int) -> None:
        self._time_limit_s = time_limit_s
        self._memory_mib = memory_mib
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., Comparer] | None = None

    def same(self, reference: str, answer: str) -> bool | None:
        """Whether two answers are the same, or None when that took too much time or memory.

        Raises:
            TunixError: The process cannot be started.
        """
        with self._lock:
            process = self._process or self._start()
            reply = _ask(process, json.dumps([reference, answer]), self._time_limit_s)
            if reply not in ("true", "false"):
                self._stop()
                return None
            return reply == "true"

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "tunix_math_verify.worker", str(self._memory_mib)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._process, self._end = process, weakref.finalize(self, _end, process)
        if _reply(process, START_S) != READY:
            self._stop()
            raise TunixError(
                "math-verify does not start", f"try: {' '.join(command)}; or raise memory_mib"
            )
        return process

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._end = None


def _ask(process: subprocess.Popen[bytes], line: str, limit_s: float) -> str | None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    try:
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
    except OSError:
        return None
    return _reply(process, limit_s)


def _reply(process: subprocess.Popen[bytes], limit_s: float) -> str | None:
    """The next line that a process writes, or None when it ends or takes too long."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    until = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(max(until - time.monotonic(), 0)):
            return None
    # Lines are short and written at once.
    return process.stdout.readline().decode().strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue  # what was still to be written has no reader any more
