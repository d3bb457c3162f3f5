"""One way to open the database, and one way to write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from tunix_core.errors import TunixError
from tunix_core.store.migrations import MIGRATIONS

BUSY_TIMEOUT_S = 60.0


def open_database(path: Path) -> Database:
    """Open the workspace's database, creating and migrating it as needed.

    Write-ahead logging lets readers go on while one writer writes; a writer waits up to a
    minute for its turn. Plugins of sqlite-utils are never run in this connection.

    Args:
        path: Database file; its directory must exist.

    Raises:
        TunixError: The file is not a database or cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        database = Database(connection, execute_plugins=False)
        if MIGRATIONS.pending(database):
            # Two processes may open a new workspace at once: the second waits, then finds it done.
            with write_transaction(database):
                MIGRATIONS.apply(database)
    except sqlite3.Error as error:
        raise TunixError(f"cannot open the database {path}: {error}") from error
    return database


@contextmanager
def write_transaction(database: Database) -> Iterator[sqlite3.Connection]:
    """All or nothing; takes the write lock at once so that what was read stays true.

    Raises:
        TunixError: The disk is full or the lock was not to be had; nothing was written.
    """
    connection = database.conn
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.OperationalError as error:
        raise TunixError(f"cannot write to the database: {error}", "nothing was stored") from error
