"""What lists show of traces, newest first, found without reading their bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tunix_core.records import MAX_VERSION_CHARS
from tunix_core.store import label_pages
from tunix_core.store.connection import Connection
from tunix_core.store.rows import marks, parts

# The canonical text of a trace ends in its version: at most 64 characters of up to 6 each.
_VERSION_MARK = '"trace_version":'
TAIL_CHARS = 6 * MAX_VERSION_CHARS + len(_VERSION_MARK) + len('""}')
# Nearly all traces have the first version: that is seen without taking a long tail out, and as
# bytes, since the end of a text is found by counting its characters.
_USUAL = "1.0"
_USUAL_END = f'{_VERSION_MARK}"{_USUAL}"}}'
_IS_USUAL = f"substr(CAST(body AS BLOB), -{len(_USUAL_END)}) = CAST('{_USUAL_END}' AS BLOB)"
_SUMMARY = (
    f"id, created_at, CASE WHEN {_IS_USUAL} THEN '{_USUAL}' "
    f"ELSE substr(body, -{TAIL_CHARS}) END, sequence"
)
# The same as a JSON object; null where the version is another.
_ENTRY = (
    f"CASE WHEN {_IS_USUAL} THEN "
    """'{"id":"' || id || '","created_at":"' || created_at || """
    f"""'","trace_version":"{_USUAL}"}}' END"""
)
# Sequences have no gaps: a page is found by arithmetic, at the same cost at any depth.
PAGE = (
    "WHERE sequence <= (SELECT coalesce(max(sequence), 0) FROM traces) - :offset "
    "ORDER BY sequence DESC LIMIT :limit"
)


class TraceSummary(NamedTuple):
    """What a list shows of a trace.

    Args:
        id: Random UUID in canonical form.
        created_at: UTC time of insertion, ISO-8601.
        trace_version: Version of its format.
        sequence: Position in the order of insertion, from 1.
    """

    id: str
    created_at: str
    trace_version: str
    sequence: int


def summaries(
    connection: Connection, limit: int, offset: int, filters: Mapping[str, Any] | None = None
) -> list[TraceSummary]:
    """``limit`` traces after the ``offset`` newest, of those whose meta equals every filter."""
    rows: list[tuple[str, str, str, int]] = []
    if filters:
        for part in parts(label_pages.newest(connection, filters, limit, offset)):
            rows += connection.execute(
                f"SELECT {_SUMMARY} FROM traces WHERE sequence "  # noqa: S608 - constant columns
                f"IN ({marks(len(part))}) ORDER BY sequence DESC",
                part,
            )
    else:
        page = {"limit": limit, "offset": offset}
        rows += connection.execute(f"SELECT {_SUMMARY} FROM traces {PAGE}", page)  # noqa: S608
    return [
        TraceSummary._make(row if row[2] == _USUAL else (*row[:2], version(row[2]), row[3]))
        for row in rows
    ]


def entries(connection: Connection, limit: int, offset: int) -> tuple[str, bool]:
    """What a list shows of ``limit`` traces after the ``offset`` newest, as JSON objects.

    One row, made by SQLite, costs a third of twenty that become objects first.

    Returns:
        The objects with commas between them, and whether there are older traces.
    """
    text, usual, found, oldest = connection.execute(
        "SELECT group_concat(entry, ','), count(entry), count(*), min(sequence) FROM "  # noqa: S608
        f"(SELECT sequence, {_ENTRY} AS entry FROM traces {PAGE})",
        {"limit": limit, "offset": offset},
    ).fetchone()
    if usual < found:
        text = ",".join(map(_entry, summaries(connection, limit, offset)))
    return text or "", oldest is not None and oldest > 1


def version(tail: str) -> str:
    """The version at the end of a canonical text, found without reading the rest.

    A text that looks like the key cannot be mistaken for it: its quotes would be escaped.
    """
    text = tail[tail.rindex(_VERSION_MARK) + len(_VERSION_MARK) : -1]
    return str(json.loads(text)) if "\\" in text else text[1:-1]


def _entry(summary: TraceSummary) -> str:
    shown = summary._asdict()
    del shown["sequence"]
    return json.dumps(shown, separators=(",", ":"))
