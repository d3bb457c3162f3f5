"""Child processes that never outlive their parent, and locks that die with their holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self

from tunix_core.errors import ConflictError, TunixError

POLL_S = 0.2
# Enough to write a checkpoint and a model of some ten gigabytes to a slow disk.
GRACE_S = 600.0
PARENT_DIED = 75
LOG_TAIL_BYTES = 4096


class FileLock:
    """An exclusive lock on a file, let go by the kernel when its holder ends in any way.

    Args:
        path: Lock file; created as needed, never removed.
        wait_s: Seconds to wait for the present holder.

    Raises:
        ConflictError: Another process still holds it after ``wait_s``.
    """

    def __init__(self, path: Path, wait_s: float = 5.0) -> None:
        self._path = path
        self._wait_s = wait_s
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        file = self._path.open("ab")
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.close()
                    raise ConflictError(
                        f"another process is at work in {self._path.parent.name}",
                        "wait for it to end",
                    ) from None
                time.sleep(POLL_S)
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class Child:
    """A runner process in a session of its own, writing its output to a log file.

    The child holds the read end of a pipe from this process; when this process ends, however it
    ends, the pipe closes and the child stops at once (see :func:`stop_when_parent_dies`).

    Args:
        arguments: Arguments of ``python -m tunix_core.runner``.
        log: File that its standard output and error are appended to.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tunix_core.runner", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._let_go()
        return code

    def terminate(self) -> None:
        """Ask it to end with a checkpoint."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._let_go()

    def stop(self, while_waiting: Callable[[], object] = lambda: None) -> int:
        """Terminate, wait a while, then kill; returns the exit code.

        Args:
            while_waiting: Called several times a second until it has ended.
        """
        self.terminate()
        deadline = time.monotonic() + GRACE_S
        while self.poll() is None and time.monotonic() < deadline:
            while_waiting()
            time.sleep(POLL_S)
        if self.poll() is None:
            self.kill()
        return self._process.returncode

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def last_line(self) -> str:
        """The last line it wrote, for a one-line error."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def run_child(arguments: Sequence[str], log: Path, poll: Callable[[], None]) -> None:
    """Run a child to its end, calling ``poll`` now and then.

    Raises:
        TunixError: It failed; the message is the last line it wrote.
    """
    child = Child(arguments, log)
    try:
        while child.poll() is None:
            poll()
            time.sleep(POLL_S)
    except BaseException:
        child.stop()
        raise
    poll()
    if child.poll() != 0:
        line = child.last_line().removeprefix("error: ")
        raise TunixError(line, f"log: {log}")


def stop_when_parent_dies() -> None:
    """In a child: end this process as soon as standard input reaches its end."""

    standard_input = sys.stdin.fileno()

    def watch() -> None:
        # Unbuffered: a buffered read holds a lock that the interpreter wants when it ends.
        while os.read(standard_input, 1):
            pass
        os._exit(PARENT_DIED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
