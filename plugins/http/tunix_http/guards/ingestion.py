"""Which files of the server a client may have read, and how many ids it is told."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from tunix_core.errors import UsageError
from tunix_http.settings import Settings

MAX_IDS = 10_000


class FirstIds(list[str]):
    """Keeps the first ``MAX_IDS`` of the ids that it is given, however many come."""

    def extend(self, ids: Iterable[str]) -> None:
        super().extend(islice(ids, MAX_IDS - len(self)))


def readable_file(given: str, settings: Settings) -> Path:
    """The file that a client means.

    Args:
        given: Its path, absolute or relative to one of the directories that may be read.
        settings: ``ingest_roots`` are these directories; by default, if only this machine can
            reach the server, its working directory.

    Raises:
        UsageError: It lies elsewhere, or is no file.
    """
    roots = settings.ingest_roots or ([Path.cwd()] if settings.is_loopback else [])
    if not roots:
        raise UsageError(
            "no file of the server may be read",
            "send the lines as application/x-ndjson, or set TUNIX_HTTP_INGEST_ROOTS",
        )
    if "\0" in given:
        raise UsageError("a path holds no NUL character")
    inside = [path for root in roots if (path := _below(root, given)) is not None]
    if not inside:
        raise UsageError(
            f"{given!r} is not below a directory that may be read",
            "send the lines as application/x-ndjson, or set TUNIX_HTTP_INGEST_ROOTS",
        )
    try:
        found = [path for path in inside if path.is_file()]
    except OSError:
        found = []
    if not found:
        raise UsageError(f"{given!r} does not exist or is not a file")
    return found[0]


def _below(root: Path, given: str) -> Path | None:
    """The path with its symbolic links resolved, if it is below ``root``."""
    try:
        resolved_root = root.resolve()
        path = (resolved_root / given).resolve()
    except (OSError, RuntimeError):
        # A link that leads to itself, or a name that is too long.
        return None
    return path if path.is_relative_to(resolved_root) else None
