"""Timestamps and ids: what is never part of a result."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime


def now() -> str:
    """Current UTC time as ISO-8601 with microseconds and ``Z``; sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def uptime() -> float:
    """Seconds on a clock that all processes of the machine share and that nobody sets.

    It stands still while the machine sleeps, and begins anew when the machine starts.
    """
    return time.monotonic()


def new_id() -> str:
    """A random UUID in canonical form."""
    return str(uuid.uuid4())
