"""Timestamps and ids: what is never part of a result."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime


def now() -> str:
    """Current UTC time as ISO-8601 with microseconds and ``Z``; sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A random UUID in canonical form."""
    return str(uuid.uuid4())
