"""Files of lines that only grow: whole lines count, what a crash left of a last one does not."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BLOCK_BYTES = 64 * 1024


def resume(path: Path) -> io.FileIO:
    """Open a file, which need not exist, for more lines; a torn last line is cut off.

    Raises:
        OSError: The file cannot be opened or cut.
    """
    file = path.open("a+b", buffering=0)
    try:
        _cut(file)
    except BaseException:
        file.close()
        raise
    return file


def append(file: io.FileIO, *lines: str) -> None:
    """Write lines, each without its line break; they can be read when this returns.

    Args:
        file: What :func:`resume` opened; nobody else writes to it.
        lines: Text without line breaks.

    Raises:
        OSError: There is no room; the file ends in a whole line all the same.
    """
    left = memoryview("".join(f"{line}\n" for line in lines).encode())
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        # Whole lines stay: somebody may have read them by now.
        with suppress(OSError):
            _cut(file)
        raise


def whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Lines with their line breaks, one at a time; one that is still being written is left out.

    Args:
        path: The file; one that is absent has no lines.
        start: The byte to begin at, where a line begins.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line


def last(path: Path) -> bytes | None:
    """The last whole line with its line break, found from the end; None where there is none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        descriptor = file.fileno()
        end = _line_start(descriptor, os.fstat(descriptor).st_size)
        start = _line_start(descriptor, max(0, end - 1))
        return os.pread(descriptor, end - start, start) or None


def _cut(file: io.FileIO) -> None:
    size = os.fstat(file.fileno()).st_size
    end = _line_start(file.fileno(), size)
    if end != size:
        file.truncate(end)


def _line_start(descriptor: int, end: int) -> int:
    """Where the line begins that goes on up to ``end``, read backwards block by block."""
    while end:
        start = max(0, end - BLOCK_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
