"""SQLite behind sqlite-utils: the only place that knows SQL; one module per noun."""

from tunix_core.store.store import Store

__all__ = ["Store"]
