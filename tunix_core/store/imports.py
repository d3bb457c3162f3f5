"""Imports: what each has stored so far, recorded in the transaction that stored it."""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

from tunix_core.store.connection import write_transaction


def start(database: Database, import_id: str, created_at: str, source: str, file: str) -> None:
    """Record that an import began."""
    with write_transaction(database) as connection:
        connection.execute(
            "INSERT INTO imports (id, created_at, source, file, accepted, duplicates, rejected) "
            "VALUES (?, ?, ?, ?, 0, 0, 0)",
            (import_id, created_at, source, file),
        )


def update(connection: sqlite3.Connection, import_id: str, counts: tuple[int, int, int]) -> None:
    """Record (accepted, duplicates, rejected) so far; inside a write transaction."""
    connection.execute(
        "UPDATE imports SET accepted = ?, duplicates = ?, rejected = ? WHERE id = ?",
        (*counts, import_id),
    )


def complete(database: Database, import_id: str, completed_at: str) -> None:
    """Record that an import reached the end of its input."""
    with write_transaction(database) as connection:
        connection.execute(
            "UPDATE imports SET completed_at = ? WHERE id = ?", (completed_at, import_id)
        )


def exists(database: Database, import_id: str) -> bool:
    """Whether an import of this id was begun."""
    row = database.conn.execute("SELECT 1 FROM imports WHERE id = ?", (import_id,)).fetchone()
    return row is not None
