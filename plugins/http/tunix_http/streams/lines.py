"""Exports: lines made in threads while they are sent, in memory that does not grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tunix_core import Workspace

NDJSON = "application/x-ndjson"
BLOCK_CHARS = 64 * 1024


async def lines_response(
    open_workspace: Callable[[], Workspace],
    make: Callable[[Workspace], Iterator[str]],
    media_type: str = NDJSON,
) -> StreamingResponse:
    """An answer of lines.

    Args:
        open_workspace: Opens the workspace over a connection of its own.
        make: Called once with a workspace that is used for nothing else; an error that it raises
            is the answer, one that the iterator raises cuts the connection.
        media_type: Of the answer.

    Raises:
        TunixError: As ``make`` raises it.
    """
    return _LinesResponse(await run_in_threadpool(_Blocks, open_workspace, make), media_type)


class _Blocks:
    """Lines joined to blocks that are worth a change of threads.

    They have a workspace of their own: a client that reads slowly holds no thread, and each block
    may be made in another one.
    """

    def __init__(
        self, open_workspace: Callable[[], Workspace], make: Callable[[Workspace], Iterator[str]]
    ) -> None:
        self._workspace = open_workspace()
        try:
            self._lines = make(self._workspace)
        except BaseException:
            self._workspace.close()
            raise

    def next(self) -> bytes:
        """The next block; empty at the end."""
        held = []
        size = 0
        for line in self._lines:
            held.append(line)
            size += len(line)
            if size >= BLOCK_CHARS:
                break
        return "".join(held).encode()

    def close(self) -> None:
        self._workspace.close()


class _LinesResponse(StreamingResponse):
    def __init__(self, blocks: _Blocks, media_type: str) -> None:
        self._blocks = blocks
        super().__init__(self._content(), media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._blocks.close()

    async def _content(self) -> AsyncIterator[bytes]:
        while block := await run_in_threadpool(self._blocks.next):
            yield block
