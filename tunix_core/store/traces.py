"""Traces: appended, never changed, never deleted; so any page is found by arithmetic."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen
from sqlite_utils import Database

from tunix_core.codec import trace_from_json
from tunix_core.records import StoredTrace
from tunix_core.store import labels
from tunix_core.store.connection import write_transaction
from tunix_core.store.labels import Matches

FETCH = 500
_COLUMNS = "sequence, id, created_at, content_key, body"

T = TypeVar("T")


@frozen
class NewTrace:
    """A trace on its way into the store.

    Args:
        source: Its source, or None; duplicates are looked for within one source.
        content_key: SHA-256 of the canonical record before it was stamped.
        body: Canonical JSON of the record as it is stored.
        members: The canonical JSON of every value of its meta, which it can be found by.
    """

    source: str | None
    content_key: bytes
    body: str
    members: Mapping[str, str]


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
    labels.add(connection, first, [trace.members for trace in traces], import_id)
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


def fetch(database: Database, trace_ids: Sequence[str]) -> Iterator[StoredTrace]:
    """Traces by their ids, in the order asked for; those that are not stored are left out."""
    for part in _parts(trace_ids):
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


def insert_all(database: Database, created_at: str, traces: Sequence[NewTrace]) -> list[str]:
    """Store all of ``traces`` or none; returns their ids."""
    with write_transaction(database) as connection:
        return append(connection, created_at, traces)


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


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), FETCH):
        yield values[start : start + FETCH]


def _marks(part: Sequence[Any]) -> str:
    return ", ".join("?" * len(part))


def _stored(row: tuple[Any, ...]) -> StoredTrace:
    sequence, trace_id, created_at, key, body = row
    return StoredTrace(trace_id, sequence, created_at, key.hex(), trace_from_json(body))
