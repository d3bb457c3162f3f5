"""The one connection of a store: how it is opened, and how it is written to."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from zlib import crc32

from tunix_core.errors import TunixError

BUSY_TIMEOUT_S = 60.0
RETRY_S = 0.01
# How a transaction begins, ends well and is taken back; then the same of a part of one.
_WHOLE = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_PART = ("SAVEPOINT part", "RELEASE part", ("ROLLBACK TO part", "RELEASE part"))


class Connection(sqlite3.Connection):
    """A connection that is written to in transactions."""

    _writer: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; takes the write lock at once so that what was read stays true.

        Within another one of the same thread it is a part of that, and taken back alone.

        Raises:
            TunixError: The disk is full or the lock was not to be had; nothing was written.
        """
        is_part = self._writer == get_ident()
        begin, end, take_back = _PART if is_part else _WHOLE
        try:
            self.execute(begin)
            self._writer = get_ident()
            try:
                yield
                self.execute(end)
            except BaseException:
                if self.in_transaction:
                    for statement in take_back:
                        self.execute(statement)
                raise
            finally:
                if not is_part:
                    self._writer = None
        except sqlite3.OperationalError as error:
            raise TunixError(
                f"cannot write to the database: {error}", "nothing was stored"
            ) from error


def connect(path: Path) -> Connection:
    """Open a database, creating and migrating it as needed.

    Write-ahead logging lets readers go on while one writer writes; a writer waits up to a
    minute for its turn. Plugins of sqlite-utils are never run in this connection.

    Args:
        path: Database file; its directory must exist.

    Raises:
        TunixError: The file is not a database or cannot be opened.
    """
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, factory=Connection
        )
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if connection.execute("PRAGMA user_version").fetchone() != (_schema_mark(),):
            _migrate(connection)
    except sqlite3.Error as error:
        raise TunixError(f"cannot open the database {path}: {error}") from error
    return connection


def _write_ahead(connection: Connection) -> None:
    """Turn write-ahead logging on, for good; nothing to do once it is on.

    Of several who turn it on in a new database at once, SQLite refuses all but one at once, so
    that none waits for another that waits for it (https://sqlite.org/c3ref/busy_handler.html).
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)


def _schema_mark() -> int:
    """A number that changes with the migrations; a database that has it has them all."""
    return crc32(Path(__file__).with_name("migrations.py").read_bytes()) & 0x7FFFFFFF


def _migrate(connection: Connection) -> None:
    """Apply the migrations that are missing."""
    # Slower to import than all the rest, and not needed once a workspace is up to date.
    from sqlite_utils import Database

    from tunix_core.store.migrations import MIGRATIONS

    database = Database(connection, execute_plugins=False)
    if MIGRATIONS.pending(database):
        # Two processes may open a new workspace at once: the second waits, then finds it done.
        with connection.transaction():
            MIGRATIONS.apply(database)
            connection.execute(f"PRAGMA user_version = {_schema_mark()}")
