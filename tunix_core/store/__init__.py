"""SQLite behind sqlite-utils: the only place that knows SQL; one module per noun."""

from tunix_core.store.connection import open_database, write_transaction

__all__ = ["open_database", "write_transaction"]
