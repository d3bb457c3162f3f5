"""Locks that die with their holder."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO, Self

from tunix_core.errors import ConflictError

POLL_S = 0.2


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
