"""The store: all that a workspace's database holds, an attribute for every noun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tunix_core.store.connection import Connection, connect
from tunix_core.store.evaluations import EvaluationStore
from tunix_core.store.imports import ImportStore
from tunix_core.store.models import ModelStore
from tunix_core.store.runs import RunStore
from tunix_core.store.traces import TraceStore
from tunix_core.store.tuning import TuningStore


class Store:
    """What services hold; made by :meth:`open`.

    Every method that writes is a transaction of its own. One store is for one thread at a time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.traces = TraceStore(connection)
        self.imports = ImportStore(connection)
        self.runs = RunStore(connection)
        self.evaluations = EvaluationStore(connection)
        self.models = ModelStore(connection)
        self.tuning = TuningStore(connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database of a workspace, creating and migrating it as needed.

        Args:
            path: Database file; its directory must exist.

        Raises:
            TunixError: The file is not a database or cannot be opened.
        """
        return cls(connect(path))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within it is stored, or nothing of it.

        Raises:
            TunixError: The disk is full or another process does not end to write; nothing was
                stored.
        """
        with self._connection.transaction():
            yield

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
