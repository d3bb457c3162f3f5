"""Traces as JSON lines, plain or compressed, one at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tunix_core.codec import loads, trace_from_data
from tunix_core.errors import InvalidRecordError, TunixError, UsageError
from tunix_core.protocols import SourceRequest
from tunix_core.records import Rejected, Trace

MAX_LINE_BYTES = 8 * 1024 * 1024
EXCERPT_CHARS = 200
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonlSource:
    """Reads ``.jsonl``, ``.jsonl.gz`` and ``.jsonl.zst``; one trace a line, blank lines skipped."""

    def read(self, request: SourceRequest) -> Iterator[Trace | Rejected]:
        """Traces and rejected lines in the order of the file, in bounded memory.

        Raises:
            UsageError: The path is not a readable file, or zstandard is not installed.
            TunixError: The compressed stream is broken; what came before it was yielded.
        """
        number = 0
        with _open(request.path) as file:
            try:
                for number, line in _lines(file):
                    if line is None:
                        problem = f"$: line is longer than {MAX_LINE_BYTES} bytes"
                        yield Rejected(number, (problem,))
                    elif line.strip():
                        yield _parse(number, line)
            except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
                raise _broken(request.path, number, error) from error
            except Exception as error:
                if type(error).__module__.startswith("zstandard"):
                    raise _broken(request.path, number, error) from error
                raise


def _broken(path: Path, number: int, error: Exception) -> TunixError:
    return TunixError(f"{path}: unreadable after line {number}: {error}")


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():
        problem = "is a directory" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {problem}", "name a .jsonl, .jsonl.gz or .jsonl.zst file")
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rb")
        if path.suffix == ".zst":
            return _open_zstd(path)
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _open_zstd(path: Path) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        raise UsageError(
            f"{path} is compressed with zstd", "install it with: pip install 'tunix-core[zstd]'"
        ) from None
    import io

    reader = zstandard.ZstdDecompressor().stream_reader(
        path.open("rb"), read_across_frames=True, closefd=True
    )
    return io.BufferedReader(reader)  # type: ignore[type-var]


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) with None for a line that is too long, which is never held whole."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if len(line) <= MAX_LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
        yield number, None


def _parse(number: int, line: bytes) -> Trace | Rejected:
    try:
        return trace_from_data(loads(line))
    except InvalidRecordError as error:
        excerpt = line[: 4 * EXCERPT_CHARS].decode("utf-8", "replace").strip()[:EXCERPT_CHARS]
        return Rejected(number, tuple(error.problems), excerpt)
