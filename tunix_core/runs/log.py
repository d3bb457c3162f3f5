"""What the processes of a run printed: one line of JSON per chunk, numbered by its place."""

from __future__ import annotations

import codecs
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from attrs import frozen

from tunix_core.base import jsonl
from tunix_core.base.clock import now

Stream = Literal["stdout", "stderr"]

STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
MAX_CHUNK_BYTES = 64 * 1024
# How long a line without an end is waited for.
PARTIAL_S = 0.5
# Holds the last chunk, however its characters are escaped.
TAIL_BYTES = 1024 * 1024


@frozen
class LogChunk:
    """A line of a log with its line break, or a part of a line that was long or slow.

    Args:
        seq: Its number, from 1, across both streams.
        stream: Where it was printed.
        chunk: The text.
        created_at: When it was read from the process, UTC ISO-8601.
    """

    seq: int
    stream: Stream
    chunk: str
    created_at: str


@frozen
class RunOutput:
    """The beginning of what a run printed, by stream."""

    stdout: str
    stderr: str


class RunLog:
    """The log in a file; it need not exist yet.

    Reading on with the same instance goes straight to where the last reading ended.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = (0, 0)

    def read(self, since_seq: int = 0, limit: int | None = None) -> Iterator[LogChunk]:
        """Chunks in order; one that is still being written is left out.

        Args:
            since_seq: Only chunks after this number.
            limit: At most so many.
        """
        if limit is not None and limit < 1:
            return
        last = None if limit is None else max(since_seq, 0) + limit
        for seq, line in self._lines(since_seq):
            fields = _parse(line)
            if fields is not None:
                yield LogChunk(seq=seq, **fields)
            if seq == last:
                return

    def output(self, max_bytes: int) -> RunOutput:
        """Whole chunks of each stream up to ``max_bytes`` of UTF-8, then a line that says so."""
        taken: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        left = dict.fromkeys(STREAMS, max_bytes)
        # A stream that is full is passed over without being parsed.
        full: tuple[bytes, ...] = ()
        for _, line in self._lines(0):
            fields = None if line.startswith(full) else _parse(line)
            if fields is None:
                continue
            stream, text = fields["stream"], fields["chunk"]
            left[stream] -= len(text.encode())
            if left[stream] >= 0:
                taken[stream].append(text)
                continue
            taken[stream].append(f"[truncated: only the first {max_bytes} bytes are shown]\n")
            full += (_opening(stream),)
            if len(full) == len(STREAMS):
                break
        return RunOutput(**{stream: "".join(texts) for stream, texts in taken.items()})

    def last_line(self, since_byte: int = 0) -> str | None:
        """The error line that standard output ends with, else the last line of any stream.

        Args:
            since_byte: Size of the file before what counts.
        """
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(since_byte, size - TAIL_BYTES)
            file.seek(start)
            lines = file.read().split(b"\n")
        if start > since_byte:
            # The end of a chunk that began before the tail.
            del lines[0]
        said = [
            (fields["stream"], line.strip())
            for fields in map(_parse, lines)
            if fields is not None
            for line in fields["chunk"].splitlines()
            if line.strip()
        ]
        printed = [line for stream, line in said if stream == "stdout"]
        if printed and printed[-1].startswith("error: "):
            return str(printed[-1])
        return str(said[-1][1]) if said else None

    def writer(self) -> LogWriter:
        """Open it for more; what a crash left of a last line is cut off.

        Raises:
            OSError: The file cannot be opened.
        """
        return LogWriter(self.path)

    def _lines(self, since_seq: int) -> Iterator[tuple[int, bytes]]:
        seq, offset = self._place if self._place[0] <= since_seq else (0, 0)
        for line in jsonl.whole_lines(self.path, offset):
            seq, offset = seq + 1, offset + len(line)
            self._place = (seq, offset)
            if seq > since_seq:
                yield seq, line


class LogWriter:
    """Appends what was printed, as whole lines of JSON; used by one thread.

    A full disk costs the lines that find no room, never the run.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = jsonl.resume(path)
        self.start = os.fstat(self._file.fileno()).st_size
        self._streams = {stream: _Pieces() for stream in STREAMS}
        self._warned = False

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take what was printed; whole lines are in the file when this returns."""
        self._append(stream, self._streams[stream].feed(data))

    def flush(self, older_than_s: float = 0.0) -> None:
        """Store lines that have no end yet and have waited so many seconds."""
        for stream, pieces in self._streams.items():
            if pieces.waits(older_than_s):
                self._append(stream, pieces.take(final=False))

    def close(self) -> None:
        """Store what is left and close the file."""
        for stream, pieces in self._streams.items():
            self._append(stream, pieces.take(final=True))
        self._file.close()

    def _append(self, stream: Stream, texts: Sequence[str]) -> None:
        if not texts:
            return
        at = now()
        lines = [json.dumps({"stream": stream, "chunk": text, "created_at": at}) for text in texts]
        try:
            jsonl.append(self._file, *lines)
        except OSError as error:
            if not self._warned:
                self._warned = True
                print(f"warning: cannot write {self._path}: {error}", file=sys.stderr)  # noqa: T201

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Pieces:
    """Bytes of one stream, cut into lines or, where these are long, into pieces of them."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = b""
        self._since = 0.0

    def feed(self, data: bytes) -> list[str]:
        *ended, rest = (self._rest + data).split(b"\n")
        if ended or not self._rest:
            self._since = time.monotonic()
        parts = [part for line in ended for part in _cut(line + b"\n")]
        *long, self._rest = _cut(rest) or [b""]
        return [text for part in parts + long if (text := self._decode(part))]

    def waits(self, seconds: float) -> bool:
        return bool(self._rest) and time.monotonic() - self._since >= seconds

    def take(self, final: bool) -> list[str]:
        text = self._decode(self._rest, final)
        self._rest = b""
        return [text] if text else []


def _cut(line: bytes) -> list[bytes]:
    return [line[at : at + MAX_CHUNK_BYTES] for at in range(0, len(line), MAX_CHUNK_BYTES)]


def _opening(stream: str) -> bytes:
    return f'{{"stream": "{stream}"'.encode()


def _parse(line: bytes) -> dict[str, Any] | None:
    """The fields of a line; None for what a failing disk left in its place."""
    try:
        fields: Any = json.loads(line)
    except ValueError:
        return None
    is_chunk = isinstance(fields, dict) and fields.keys() == {"stream", "chunk", "created_at"}
    return fields if is_chunk else None
