"""Traces as JSON lines, plain or compressed, one at a time."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from attrs import frozen

from tunix_core.codec import trace_from_json
from tunix_core.errors import InvalidRecordError, TunixError, UsageError
from tunix_core.evaluators.answer_spec import answer_problems
from tunix_core.protocols import SourceRequest
from tunix_core.records import Rejected, Trace

if TYPE_CHECKING:
    _Stream = BinaryIO | gzip.GzipFile | io.BufferedReader[Any]


EXCERPT_CHARS = 200
MAX_PROBLEMS = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Few enough that even the densest zstd stream unpacks to some tens of megabytes at a time.
_ZSTD_FEED_BYTES = 1024


@frozen
class JsonlConfig:
    """Settings of the JSONL source.

    Args:
        max_line_bytes: A longer line is rejected without being held whole.
    """

    max_line_bytes: int = 8 * 1024 * 1024


class JsonlSource:
    """Reads ``.jsonl``, ``.jsonl.gz`` and ``.jsonl.zst``; one trace a line, blank lines skipped."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._size = 0

    @property
    def bytes_read(self) -> int:
        """How far into the file, compressed or not, the present reading is."""
        if self._file is None:
            return 0
        return self._size if self._file.closed else self._file.tell()

    def read(self, request: SourceRequest) -> Iterator[Trace | Rejected]:
        """Traces and rejected lines in the order of the file, in bounded memory.

        Args:
            request: The file, and a :class:`JsonlConfig` or None; ``max_record_bytes`` goes before
                the config's limit.

        Raises:
            UsageError: The path is not a readable file, or zstandard is not installed.
            TunixError: The stream breaks off or is damaged; what came before it was yielded.
        """
        limit = request.max_record_bytes or (request.config or JsonlConfig()).max_line_bytes
        self._file = None
        number = 0
        with _open(request.path) as self._file, _decompressed(request.path, self._file) as lines:
            self._size = request.path.stat().st_size
            try:
                for number, line, whole in _lines(lines, limit):
                    if not whole:
                        problem = f"$: line is longer than {limit} bytes"
                        yield Rejected(number, (problem,), _excerpt(line))
                    elif line and not line.isspace():
                        yield _parse(number, line)
            except (EOFError, zlib.error, OSError) as error:
                raise TunixError(
                    f"{request.path}: unreadable after line {number}: {error}",
                    "what came before it is good; get the rest of the file and import it again",
                ) from error


def _open(path: Path) -> BinaryIO:
    if not path.is_file():
        problem = "is a directory" if path.is_dir() else "is not a file"
        problem = problem if path.exists() else "does not exist"
        raise UsageError(f"{path} {problem}", "name a .jsonl, .jsonl.gz or .jsonl.zst file")
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _decompressed(path: Path, file: BinaryIO) -> _Stream:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=file)
    if path.suffix == ".zst":
        return io.BufferedReader(_ZstdReader(path, file), 256 * 1024)
    return file


class _ZstdReader(io.RawIOBase):
    """Frames of zstd one after the other; unlike the library's reader it misses a torn end."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        try:
            import zstandard
        except ImportError:
            raise UsageError(
                f"{path} is compressed with zstd", "install it with: pip install 'tunix-core[zstd]'"
            ) from None
        self._zstandard = zstandard
        self._file = file
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            fed = self._file.read(_ZSTD_FEED_BYTES)
            if not fed:
                if self._frame is not None:
                    raise EOFError("the compressed stream breaks off")
                return 0
            self._ready = memoryview(self._decompress(fed))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decompress(self, fed: bytes) -> bytes:
        output = b""
        while fed:
            if self._frame is None:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                output += self._frame.decompress(fed)
            except self._zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            fed = b""
            if self._frame.eof:
                fed, self._frame = self._frame.unused_data, None
        return output


def _lines(file: _Stream, limit: int) -> Iterator[tuple[int, bytes, bool]]:
    """(number, line, whether it is whole); of a line over the limit only the beginning is kept."""
    number = 0
    while line := file.readline(limit + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if len(line) <= limit or line.endswith(b"\n"):
            yield number, line, True
            continue
        start, rest = line[: 4 * EXCERPT_CHARS], line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(limit)
        yield number, start, False


def _parse(number: int, line: bytes) -> Trace | Rejected:
    try:
        trace = trace_from_json(line)
        problems: Sequence[str] = answer_problems(trace.meta)
    except InvalidRecordError as error:
        problems = error.problems
    if not problems:
        return trace
    # Thousands of such lines are held at a time.
    return Rejected(number, tuple(problems[:MAX_PROBLEMS]), _excerpt(line))


def _excerpt(line: bytes) -> str:
    return line[: 4 * EXCERPT_CHARS].decode("utf-8", "replace").strip()[:EXCERPT_CHARS]
