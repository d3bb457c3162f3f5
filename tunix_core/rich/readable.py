"""Values as people read them."""

from __future__ import annotations

import json
from typing import Any

NOTHING = "–"


def short(identifier: str | None) -> str:
    """The first eight characters of an id."""
    return (identifier or "")[:8]


def bare(full_name: str) -> str:
    """A contribution's name without its distribution, words apart."""
    return full_name.rpartition("/")[2].replace("_", " ")


def when(time: str | None) -> str:
    """``2026-11-25 12:54:22`` of an ISO-8601 time in UTC."""
    return (time or "")[:19].replace("T", " ")


def figure(number: float | None, digits: int = 3) -> str:
    """A number with as many digits as people read; a dash where there is none."""
    if number is None:
        return NOTHING
    if isinstance(number, int) or abs(number) >= 1000:
        return f"{number:,.0f}"
    small = number != 0 and abs(number) < 0.001
    return f"{number:.{digits}g}" if small else f"{number:.{digits}f}"


def value(anything: Any) -> str:
    """A value of any JSON type on one line."""
    if anything is None:
        return NOTHING
    if isinstance(anything, bool):
        return "yes" if anything else "no"
    if isinstance(anything, float):
        text = figure(anything, 4)
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return anything if isinstance(anything, str) else json.dumps(anything, ensure_ascii=False)
