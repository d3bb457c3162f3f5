"""Imports: what each has stored so far, recorded in the transaction that stored it."""

from __future__ import annotations

from tunix_core.store.connection import Connection


class ImportStore:
    """Imports that were begun."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, import_id: str, created_at: str, source: str, file: str) -> None:
        """Record that an import began."""
        with self._connection.transaction():
            self._connection.execute(
                "INSERT INTO imports "
                "(id, created_at, source, file, accepted, duplicates, rejected) "
                "VALUES (?, ?, ?, ?, 0, 0, 0)",
                (import_id, created_at, source, file),
            )

    def update(self, import_id: str, accepted: int, duplicates: int, rejected: int) -> None:
        """Record how many there were of each so far."""
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE imports SET accepted = ?, duplicates = ?, rejected = ? WHERE id = ?",
                (accepted, duplicates, rejected, import_id),
            )

    def complete(self, import_id: str, completed_at: str) -> None:
        """Record that an import reached the end of its input."""
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE imports SET completed_at = ? WHERE id = ?", (completed_at, import_id)
            )

    def exists(self, import_id: str) -> bool:
        """Whether an import of this id was begun."""
        query = "SELECT 1 FROM imports WHERE id = ?"
        return self._connection.execute(query, (import_id,)).fetchone() is not None
