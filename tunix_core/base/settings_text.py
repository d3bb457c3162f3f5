"""Settings and filters as people type them: ``key=value``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tunix_core.errors import UsageError

SHOWN_CHARS = 80


def parse_pairs(pairs: Iterable[str], what: str = "setting") -> dict[str, Any]:
    """``["steps=3", "name=x"]`` to ``{"steps": 3, "name": "x"}``.

    Args:
        pairs: Each ``key=value``; see :func:`parse_value`.
        what: What one of them is, for the error message.

    Raises:
        UsageError: A pair has no key or no ``=``, or a key is given twice.
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"{what} {pair[:SHOWN_CHARS]!r} is not KEY=VALUE")
        if key in parsed:
            raise UsageError(f"{what} {key[:SHOWN_CHARS]!r} is given twice")
        parsed[key] = parse_value(value)
    return parsed


def parse_value(text: str) -> Any:
    """The JSON value that a text is, or the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
