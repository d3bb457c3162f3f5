"""Request bodies within limits, whatever their ``Content-Length`` says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request

WRITE_BYTES = 1024 * 1024


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Args:
        request: Whose body is still unread.
        limit: Largest body in bytes.

    Raises:
        HTTPException: 413 when the body is larger, 400 when its length is no number.
        ClientDisconnect: The client went away.
    """
    # The usual small body comes in one piece and needs no copy.
    chunks = [chunk async for chunk in _chunks(request, limit)]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def stream_body_to_file(
    request: Request, target: Path, limit: int, max_line_bytes: int
) -> int:
    """Write the body to a file without holding it in memory; none is left after a failure.

    Args:
        request: Whose body is still unread.
        target: The file; one that exists is replaced.
        limit: Largest body in bytes.
        max_line_bytes: Longest line in bytes, its end left out.

    Returns:
        Bytes written.

    Raises:
        HTTPException: 413 when the body or a line is larger, 400 when its length is no number.
        ClientDisconnect: The client went away.
    """
    lines = _LineLimit(max_line_bytes)
    size = 0
    held: list[bytes] = []
    with target.open("wb") as file:
        try:
            async for chunk in _chunks(request, limit):
                lines.check(chunk)
                size += len(chunk)
                held.append(chunk)
                if sum(map(len, held)) >= WRITE_BYTES:
                    # A disk that is slow to write must not hold up other requests.
                    await asyncio.to_thread(file.writelines, held)
                    held = []
            await asyncio.to_thread(file.writelines, held)
        except BaseException:
            target.unlink()
            raise
    return size


async def _chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length")
    if declared is not None:
        if not (declared.isascii() and declared.isdigit()):
            raise HTTPException(400, "Content-Length is not a number")
        if len(declared) > 18 or int(declared) > limit:
            raise _too_large(limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if chunk:
            yield chunk


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"request body exceeds maximum size of {limit} bytes")


class _LineLimit:
    """Refuses lines that are too long, of a text that comes in pieces."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._number = 1
        self._length = 0

    def check(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            HTTPException: 413, with the number of the line.
        """
        for length in self._lengths(chunk):
            if length > self._limit:
                raise HTTPException(
                    413, f"line {self._number} exceeds maximum length of {self._limit} bytes"
                )
            self._number += 1
        self._number -= 1

    def _lengths(self, chunk: bytes) -> list[int]:
        """Lengths of the lines that the piece ends or goes on with, in order."""
        first, *others = chunk.split(b"\n")
        lengths = [self._length + len(first), *map(len, others)]
        self._length = lengths[-1]
        return lengths
