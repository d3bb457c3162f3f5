"""Values as people read them."""

from __future__ import annotations

import json
from typing import Any

from tunix_core.evaluators.common import TRUNCATED, UNREAD_SHARE
from tunix_core.records import Contamination, Estimate, Scorecard

NOTHING = "–"
_SHARED = {
    "exact": "asked as they stand",
    "ngram": "with 13 words in a row of it",
    "same_work": "with the same work",
}


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


def coverage(card: Scorecard) -> str:
    """How many items a score covers, and how much of them was not read or was cut off."""
    n, items = card.overall.n, card.n_items
    scored = f"{n:,}" if n == items else f"{n:,} of {items:,}"
    unread, cut = card.metrics.get(UNREAD_SHARE), card.metrics.get(TRUNCATED)
    parts = [scored]
    if unread is not None:
        parts.append(f"{_percent(unread)} unread")
    if cut:
        parts.append(f"{_percent(cut)} cut off")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def standing(card: Scorecard) -> str:
    """A score with what it covers: ``0.849 (n = 333 of 500, 2% unread)``."""
    mean = card.overall.mean
    return f"{'none judged' if mean is None else figure(mean)} (n = {coverage(card)})"


def estimate_text(estimate: Estimate) -> str:
    """A mean with how many it covers: ``0.787 (n = 428)``."""
    return f"{figure(estimate.mean)} (n = {estimate.n:,})"


def shared_text(found: Contamination) -> str:
    """What a test shares with training data, in one line."""
    said = (f"{count} {_SHARED[measure]}" for measure, count in found.counts.items())
    return f"of {found.n_items} items: {', '.join(said)}"


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
