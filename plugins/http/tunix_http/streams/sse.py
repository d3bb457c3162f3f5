"""The log of a run as server-sent events, for any number of readers at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Send

from tunix_core.records import TERMINAL_STATUSES, RunStatus
from tunix_http.streams.run_watch import RunWatches

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2_000
# Of a thousand readers four go on at once.
GROUPS = 250


class EventStream(StreamingResponse):
    """Events that are made while they are read; closed as soon as the reader is gone."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type=MEDIA_TYPE)

    async def stream_response(self, send: Send) -> None:
        source: Any = self.body_iterator
        async with aclosing(source):
            await super().stream_response(send)


async def log_events(
    watches: RunWatches, run_id: str, path: Path, status: RunStatus, since_seq: int
) -> AsyncIterator[bytes]:
    """Events of a run's log until the run has ended and everything was told.

    Args:
        watches: Shared by all readers.
        run_id: The run.
        path: Its log.
        status: Its status just now.
        since_seq: Only later lines are told.
    """
    yield f"retry: {RETRY_MS}\n\n".encode()
    with watches.watching(run_id, path, status) as watch:
        group = watch.readers % GROUPS
        position = await watch.find(since_seq)
        waited = False
        while True:
            # The status first: all that was printed before a run ended is in the log by then.
            status, turn = watch.status, watch.turn(group)
            end, events = watch.batch(position, since_seq)
            if events:
                yield events
            if end == position:
                if status in TERMINAL_STATUSES:
                    yield event("status", {"status": status})
                    return
                if waited:
                    yield event("heartbeat", {"seq": max(position.seq, since_seq)})
                await watch.wait(turn)
            waited = end == position
            position = end


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event without an id."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
