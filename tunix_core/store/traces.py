"""Traces: appended, never changed, never deleted; so any page is found by arithmetic."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from tunix_core.codec import canonical_json, trace_from_data
from tunix_core.errors import UsageError
from tunix_core.records import StoredTrace, Trace
from tunix_core.store.connection import write_transaction

CHUNK = 500
MAX_KEY_INDEXES = 16
_PROBE_ROWS = 50_000
_COLUMNS = "sequence, id, created_at, content_key, body, meta"
_INDEXABLE = re.compile(r"[A-Za-z0-9_]{1,64}")


def append(
    connection: sqlite3.Connection,
    rows: Iterable[tuple[str, str, str, Trace]],
    import_id: str | None = None,
) -> None:
    """Add (id, created_at, content key, trace) in order; inside a write transaction."""
    connection.executemany(
        "INSERT INTO traces (id, created_at, trace_version, source, import_id, content_key, body, "
        "meta) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                trace_id,
                created_at,
                trace.trace_version,
                source_of(trace),
                import_id,
                bytes.fromhex(key),
                _body(trace),
                None if trace.meta is None else canonical_json(trace.meta),
            )
            for trace_id, created_at, key, trace in rows
        ),
    )


def source_of(trace: Trace) -> str | None:
    """``meta.source`` where it is text."""
    source = (trace.meta or {}).get("source")
    return source if isinstance(source, str) else None


def known(
    connection: sqlite3.Connection, pairs: Sequence[tuple[str | None, str]]
) -> dict[tuple[str | None, str], str]:
    """Ids of the stored traces among (source, content key), the earliest of each."""
    keys = [bytes.fromhex(key) for _, key in pairs]
    marks = ", ".join("?" * len(keys))
    rows = connection.execute(
        f"SELECT source, content_key, id FROM traces WHERE content_key IN ({marks}) "  # noqa: S608
        "ORDER BY sequence DESC",
        keys,
    )
    return {(source, key.hex()): trace_id for source, key, trace_id in rows}


def count(database: Database) -> int:
    """Number of stored traces."""
    row = database.conn.execute("SELECT coalesce(max(sequence), 0) FROM traces").fetchone()
    return int(row[0])


def get(database: Database, trace_id: str) -> StoredTrace | None:
    """One trace by its id."""
    row = database.conn.execute(
        f"SELECT {_COLUMNS} FROM traces WHERE id = ?",  # noqa: S608 - constant columns
        (trace_id,),
    ).fetchone()
    return None if row is None else _stored(row)


def page(database: Database, limit: int, offset: int) -> list[StoredTrace]:
    """``limit`` traces after the ``offset`` newest; costs the same at any depth."""
    newest = count(database) - offset
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM traces WHERE sequence <= ? "  # noqa: S608 - constant columns
        "ORDER BY sequence DESC LIMIT ?",
        (newest, limit),
    )
    return [_stored(row) for row in rows]


def select(database: Database, filters: Mapping[str, Any], limit: int | None) -> list[int]:
    """Sequences of the newest traces whose meta equals every filter, newest first.

    A key is indexed the first time it is used; the filter that matches the fewest rows leads.
    """
    terms = [_term(database, key, value) for key, value in sorted(filters.items())]
    leader = min(range(len(terms)), key=lambda i: _probe(database, *terms[i]), default=None)
    # A unary plus keeps SQLite from leading with another index than the one that was chosen.
    where = " AND ".join(
        (term if place == leader else f"+({term})") for place, (term, _) in enumerate(terms)
    )
    rows = database.conn.execute(
        f"SELECT sequence FROM traces WHERE {where or '1'} "  # noqa: S608 - terms hold no data
        "ORDER BY sequence DESC LIMIT ?",
        (*(value for _, values in terms for value in values), -1 if limit is None else limit),
    )
    return [row[0] for row in rows]


def of_import(database: Database, import_id: str) -> list[int]:
    """Sequences of the traces that an import stored, newest first."""
    rows = database.conn.execute(
        "SELECT sequence FROM traces WHERE import_id = ? ORDER BY sequence DESC", (import_id,)
    )
    return [row[0] for row in rows]


def fetch(database: Database, column: str, values: Sequence[Any]) -> Iterator[StoredTrace | None]:
    """Traces by ``id`` or ``sequence`` in the order asked for; None for one that is not there."""
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        rows = database.conn.execute(
            f"SELECT {_COLUMNS} FROM traces "  # noqa: S608 - column is one of two constants
            f"WHERE {column} IN ({', '.join('?' * len(chunk))})",
            chunk,
        )
        place = 1 if column == "id" else 0
        found = {row[place]: row for row in rows}
        for value in chunk:
            yield _stored(found[value]) if value in found else None


def start_import(database: Database, import_id: str, created_at: str, file: str) -> None:
    """Record that an import began."""
    with write_transaction(database) as connection:
        connection.execute(
            "INSERT INTO imports (id, created_at, source, file, accepted, duplicates, rejected) "
            "VALUES (?, ?, '', ?, 0, 0, 0)",
            (import_id, created_at, file),
        )


def update_import(
    connection: sqlite3.Connection, import_id: str, counts: tuple[int, int, int]
) -> None:
    """Record (accepted, duplicates, rejected) so far; inside a write transaction."""
    connection.execute(
        "UPDATE imports SET accepted = ?, duplicates = ?, rejected = ? WHERE id = ?",
        (*counts, import_id),
    )


def complete_import(database: Database, import_id: str, completed_at: str) -> None:
    """Record that an import reached the end of its input, and refresh the planner's statistics."""
    with write_transaction(database) as connection:
        connection.execute(
            "UPDATE imports SET completed_at = ? WHERE id = ?", (completed_at, import_id)
        )


def import_exists(database: Database, import_id: str) -> bool:
    """Whether an import of this id was begun."""
    row = database.conn.execute("SELECT 1 FROM imports WHERE id = ?", (import_id,)).fetchone()
    return row is not None


def _body(trace: Trace) -> str:
    steps = [{"content": s.content, "i": s.i, "type": s.type} for s in trace.steps]
    fields = {
        "final_answer": trace.final_answer,
        "prompt": trace.prompt,
        "steps": steps,
        "trace_version": trace.trace_version,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _stored(row: tuple[Any, ...]) -> StoredTrace:
    sequence, trace_id, created_at, key, body, meta = row
    fields = json.loads(body)
    fields["meta"] = None if meta is None else json.loads(meta)
    return StoredTrace(trace_id, sequence, created_at, key.hex(), trace_from_data(fields))


def _term(database: Database, key: str, value: Any) -> tuple[str, tuple[Any, ...]]:
    """SQL and parameters of one filter."""
    if key == "source":
        expression = "source"
    elif '"' in key or "'" in key or "\0" in key or not key:
        raise UsageError(f"cannot filter by the key {key!r}")
    else:
        expression = f"json_extract(meta, '$.\"{key}\"')"
        _index(database, key, expression)
    if value is None:
        return f"{expression} IS NULL", ()
    simple = isinstance(value, str | int | float)
    return f"{expression} = ?", (value if simple else canonical_json(value),)


def _index(database: Database, key: str, expression: str) -> None:
    name = f"traces_meta_{key}"
    existing = {
        row[0]
        for row in database.conn.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'traces_meta_%'"
        )
    }
    if name in existing or len(existing) >= MAX_KEY_INDEXES or not _INDEXABLE.fullmatch(key):
        return
    with write_transaction(database) as connection:
        connection.execute(
            f'CREATE INDEX IF NOT EXISTS "{name}" ON traces ({expression}, sequence)'
        )


def _probe(database: Database, term: str, values: tuple[Any, ...]) -> int:
    """Number of rows that one filter matches, counted up to a bound."""
    row = database.conn.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM traces WHERE {term} LIMIT {_PROBE_ROWS})",  # noqa: S608
        values,
    ).fetchone()
    return int(row[0])
