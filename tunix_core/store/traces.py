"""Traces: appended, never changed, never deleted; so any page is found by arithmetic."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from attrs import frozen
from sqlite_utils import Database

from tunix_core.codec import trace_from_canonical
from tunix_core.records import MAX_VERSION_CHARS, StoredTrace
from tunix_core.store import label_pages, labels
from tunix_core.store.connection import write_transaction
from tunix_core.store.labels import Matches

FETCH = 500
# Whole traces held at a time: one may have megabytes, and readers of exports may be many.
FETCH_WHOLE = 32
_COLUMNS = "sequence, id, created_at, content_key, body"
# The canonical text of a trace ends in its version: at most 64 characters of up to 6 each.
_VERSION_MARK = '"trace_version":'
_TAIL_CHARS = 6 * MAX_VERSION_CHARS + len(_VERSION_MARK) + len('""}')
# Nearly all traces have the first version: that is seen without taking a long tail out, and as
# bytes, since the end of a text is found by counting its characters.
_USUAL = "1.0"
_USUAL_END = f'{_VERSION_MARK}"{_USUAL}"}}'
_IS_USUAL = f"substr(CAST(body AS BLOB), -{len(_USUAL_END)}) = CAST('{_USUAL_END}' AS BLOB)"
_SUMMARY = (
    f"id, created_at, CASE WHEN {_IS_USUAL} THEN '{_USUAL}' "
    f"ELSE substr(body, -{_TAIL_CHARS}) END, sequence"
)
# The same as a JSON object; null where the version is another.
_ENTRY = (
    f"CASE WHEN {_IS_USUAL} THEN "
    """'{"id":"' || id || '","created_at":"' || created_at || """
    f"""'","trace_version":"{_USUAL}"}}' END"""
)

T = TypeVar("T")


@frozen
class NewTrace:
    """A trace on its way into the store.

    Args:
        source: Its source, or None; duplicates are looked for within one source.
        content_key: SHA-256 of the canonical record before it was stamped.
        body: Canonical JSON of the record as it is stored.
        meta: The members of its meta, by which it can be found; they are known to be JSON.
    """

    source: str | None
    content_key: bytes
    body: str
    meta: Mapping[str, Any]


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


@frozen
class TraceJson:
    """A stored trace that is only passed on.

    Args:
        id: Random UUID in canonical form.
        created_at: UTC time of insertion, ISO-8601.
        trace_version: Version of its format.
        body: The record as canonical JSON.
    """

    id: str
    created_at: str
    trace_version: str
    body: str


def append(
    connection: sqlite3.Connection,
    created_at: str,
    traces: Sequence[NewTrace],
    import_id: str | None = None,
) -> list[str]:
    """Store traces in their order, inside a write transaction; returns their ids."""
    if not traces:
        return []
    first = _last(connection) + 1
    ids = _new_ids(len(traces))
    connection.executemany(
        "INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?)",
        [
            (first + place, trace_id, created_at, trace.source, trace.content_key, trace.body)
            for place, (trace_id, trace) in enumerate(zip(ids, traces, strict=True))
        ],
    )
    labels.add(connection, first, [trace.meta for trace in traces], import_id)
    return ids


def known(
    connection: sqlite3.Connection, keys: Iterable[bytes]
) -> dict[tuple[str | None, bytes], str]:
    """(source, content key) of the stored traces with one of ``keys``, with the earliest id."""
    heads = list({key[:8] for key in keys})
    found: dict[tuple[str | None, bytes], str] = {}
    for start in range(0, len(heads), FETCH):
        part = heads[start : start + FETCH]
        rows = connection.execute(
            "SELECT source, content_key, id FROM traces "  # noqa: S608 - marks only
            f"WHERE substr(content_key, 1, 8) IN ({_marks(part)}) ORDER BY sequence",
            part,
        )
        for source, key, trace_id in rows:
            found.setdefault((source, key), trace_id)
    return found


def count(database: Database) -> int:
    """Number of stored traces."""
    return _last(database.conn)


def get(database: Database, trace_id: str) -> StoredTrace | None:
    """One trace by its id."""
    row = database.conn.execute(
        f"SELECT {_COLUMNS} FROM traces WHERE id = ?",  # noqa: S608 - constant columns
        (trace_id,),
    ).fetchone()
    return None if row is None else _stored(row)


def get_json(database: Database, trace_id: str) -> TraceJson | None:
    """One trace by its id, its text as it is stored."""
    row = database.conn.execute(
        "SELECT id, created_at, body FROM traces WHERE id = ?", (trace_id,)
    ).fetchone()
    if row is None:
        return None
    found_id, created_at, body = row
    return TraceJson(found_id, created_at, _version(body[-_TAIL_CHARS:]), body)


def summaries(
    database: Database, limit: int, offset: int, filters: Mapping[str, Any] | None = None
) -> list[TraceSummary]:
    """``limit`` traces after the ``offset`` newest, of those whose meta equals every filter."""
    rows: list[tuple[str, str, str, int]] = []
    if filters:
        for part in _parts(label_pages.newest(database.conn, filters, limit, offset)):
            rows += database.conn.execute(
                f"SELECT {_SUMMARY} FROM traces WHERE sequence "  # noqa: S608 - constant columns
                f"IN ({_marks(part)}) ORDER BY sequence DESC",
                part,
            )
    else:
        rows += database.conn.execute(
            f"SELECT {_SUMMARY} FROM traces WHERE sequence <= "  # noqa: S608 - constant columns
            "(SELECT coalesce(max(sequence), 0) FROM traces) - ? ORDER BY sequence DESC LIMIT ?",
            (offset, limit),
        )
    return [
        TraceSummary._make(row if row[2] == _USUAL else (*row[:2], _version(row[2]), row[3]))
        for row in rows
    ]


def entries(database: Database, limit: int, offset: int) -> tuple[str, bool]:
    """What a list shows of ``limit`` traces after the ``offset`` newest, as JSON objects.

    One row, made by SQLite, costs a third of twenty that become objects first.

    Returns:
        The objects with commas between them, and whether there are older traces.
    """
    text, usual, found, oldest = database.conn.execute(
        "SELECT group_concat(entry, ','), count(entry), count(*), min(sequence) FROM "  # noqa: S608
        f"(SELECT sequence, {_ENTRY} AS entry FROM traces WHERE sequence <= "
        "(SELECT coalesce(max(sequence), 0) FROM traces) - ? ORDER BY sequence DESC LIMIT ?)",
        (offset, limit),
    ).fetchone()
    if usual < found:
        text = ",".join(map(_entry, summaries(database, limit, offset)))
    return text or "", oldest is not None and oldest > 1


def _entry(summary: TraceSummary) -> str:
    fields = summary._asdict()
    del fields["sequence"]
    return json.dumps(fields, separators=(",", ":"))


def count_sources(database: Database) -> dict[str, int]:
    """Number of traces by ``meta.source``, the most frequent first."""
    counts = label_pages.count_sources(database.conn)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def page(database: Database, limit: int, offset: int) -> list[StoredTrace]:
    """``limit`` traces after the ``offset`` newest; costs the same at any depth."""
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM traces WHERE sequence <= "  # noqa: S608 - constant columns
        "(SELECT coalesce(max(sequence), 0) FROM traces) - ? ORDER BY sequence DESC LIMIT ?",
        (offset, limit),
    )
    return [_stored(row) for row in rows]


def match(database: Database, filters: Mapping[str, Any], import_id: str | None) -> Matches:
    """The traces whose meta equals every filter, of one import only when it is named."""
    return labels.match(database.conn, count(database), filters, import_id)


def sequences_of(database: Database, trace_ids: Sequence[str]) -> dict[str, int]:
    """Sequences of those of ``trace_ids`` that are stored."""
    found: dict[str, int] = {}
    for part in _parts(trace_ids):
        found.update(
            database.conn.execute(
                f"SELECT id, sequence FROM traces WHERE id IN ({_marks(part)})",  # noqa: S608
                part,
            )
        )
    return found


def lines(database: Database, sequences: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(id, canonical JSON) of traces, in the order asked for."""
    for part in _parts(sequences):
        rows = database.conn.execute(
            f"SELECT sequence, id, body FROM traces WHERE sequence IN ({_marks(part)})",  # noqa: S608
            part,
        )
        found = {sequence: (trace_id, body) for sequence, trace_id, body in rows}
        yield from (found[sequence] for sequence in part)


def at(database: Database, sequences: Iterable[int]) -> Iterator[StoredTrace]:
    """Traces by their sequences, in the order asked for, in bounded memory."""
    for part in _parts(sequences, FETCH_WHOLE):
        rows = database.conn.execute(
            f"SELECT {_COLUMNS} FROM traces WHERE sequence IN ({_marks(part)})",  # noqa: S608
            part,
        )
        found = {row[0]: row for row in rows}
        yield from (_stored(found[sequence]) for sequence in part)


def fetch(database: Database, trace_ids: Sequence[str]) -> Iterator[StoredTrace]:
    """Traces by their ids, in the order asked for; those that are not stored are left out."""
    for part in _parts(trace_ids, FETCH_WHOLE):
        rows = database.conn.execute(
            f"SELECT {_COLUMNS} FROM traces WHERE id IN ({_marks(part)})",  # noqa: S608
            part,
        )
        found = {row[1]: row for row in rows}
        yield from (_stored(found[trace_id]) for trace_id in part if trace_id in found)


def prepare_bulk(database: Database) -> None:
    """Let this connection keep more pages, so that a page is written once for many rows."""
    database.conn.execute("PRAGMA cache_size = -8192")
    database.conn.execute("PRAGMA wal_autocheckpoint = 8192")


def insert_all(
    database: Database, created_at: str, traces: Sequence[NewTrace]
) -> list[tuple[int, str]]:
    """Store all of ``traces`` or none; returns the sequence and the id of each."""
    with write_transaction(database) as connection:
        first = _last(connection) + 1
        return list(enumerate(append(connection, created_at, traces), start=first))


def _last(connection: sqlite3.Connection) -> int:
    # Sequences have no gaps, so the last one is the number of traces.
    return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM traces").fetchone()[0])


def _new_ids(number: int) -> list[str]:
    """Random UUIDs; those made together begin alike, so that they lie together in the index."""
    prefix = os.urandom(6).hex()
    digits = os.urandom(10 * number).hex()
    ids = []
    for start in range(0, len(digits), 20):
        own = digits[start : start + 20]
        variant = "89ab"[int(own[3], 16) & 3]
        ids.append(f"{prefix[:8]}-{prefix[8:]}-4{own[:3]}-{variant}{own[4:7]}-{own[7:19]}")
    return ids


def _parts(values: Iterable[T], size: int = FETCH) -> Iterator[list[T]]:
    remaining = iter(values)
    while part := list(islice(remaining, size)):
        yield part


def _marks(part: Sequence[Any]) -> str:
    return ", ".join("?" * len(part))


def _stored(row: tuple[Any, ...]) -> StoredTrace:
    sequence, trace_id, created_at, key, body = row
    return StoredTrace(trace_id, sequence, created_at, key.hex(), trace_from_canonical(body))


def _version(tail: str) -> str:
    """The version at the end of a canonical text, found without reading the rest.

    A text that looks like the key cannot be mistaken for it: its quotes would be escaped.
    """
    text = tail[tail.rindex(_VERSION_MARK) + len(_VERSION_MARK) : -1]
    return str(json.loads(text)) if "\\" in text else text[1:-1]
