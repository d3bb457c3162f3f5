"""Comparing answers by what they mean: exact, typed, and never by a part of them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

TYPES = ("integer", "decimal", "fraction", "boolean", "choice", "string", "list", "set")

# A longer number is compared as text: exact arithmetic on it could take for ever.
MAX_NUMBER_CHARS = 400

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s*/\s*\d+(?:\.\d+)?)?")
_UNITS = re.compile(r"([$€£]?)\s*([-+]?[\d.,/\s]+?)\s*((?![\d.,/])[%\w°²³/ ]*)")
_TRUE = frozenset({"true", "yes"})
_FALSE = frozenset({"false", "no"})


def answers_match(answer: str, reference: str, answer_type: str | None = None) -> bool:
    """Whether an answer means what the reference means.

    Args:
        answer: What was answered.
        reference: What is right.
        answer_type: One of :data:`TYPES`; by default numbers are compared as numbers where the
            reference is one, with its unit if it has one, and everything else as text.
    """
    if answer_type == "boolean":
        expected = _truth(reference)
        return expected is not None and _truth(answer) == expected
    if answer_type in ("list", "set"):
        parts, expected_parts = _parts(answer), _parts(reference)
        if answer_type == "set":
            parts, expected_parts = sorted(set(parts)), sorted(set(expected_parts))
        return len(parts) == len(expected_parts) and all(
            _same(a, b) for a, b in zip(parts, expected_parts, strict=True)
        )
    if answer_type in ("string", "choice"):
        return _text(answer) == _text(reference)
    if answer_type in ("integer", "decimal", "fraction"):
        expected_number = parse_number(reference)
        return expected_number is not None and parse_number(answer) == expected_number
    return _same(answer, reference)


def parse_number(text: str) -> Fraction | None:
    """The exact value of an integer, decimal or fraction, thousands commas allowed, or None."""
    stripped = text.strip()
    if not stripped or len(stripped) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(stripped):
        return None
    numerator, _, denominator = stripped.replace(",", "").replace(" ", "").partition("/")
    try:
        return Fraction(numerator) / (Fraction(denominator) if denominator else 1)
    except (ValueError, ZeroDivisionError):
        return None


def _same(answer: str, reference: str) -> bool:
    expected = _quantity(reference)
    if expected is None:
        return _text(answer) == _text(reference)
    given = _quantity(answer)
    if given is None:
        return False
    # A unit may be left out of an answer, but not be another than the reference's.
    units_agree = given[1] in ((), expected[1])
    return given[0] == expected[0] and units_agree


def _quantity(text: str) -> tuple[Fraction, tuple[str, ...]] | None:
    """A number with its currency sign and unit."""
    if len(text) > MAX_NUMBER_CHARS:
        return None
    match = _UNITS.fullmatch(text.strip())
    if match is None:
        return None
    number = parse_number(match.group(2))
    if number is None:
        return None
    units = (match.group(1), _text(match.group(3)))
    return number, tuple(unit for unit in units if unit)


def _truth(text: str) -> bool | None:
    word = _text(text)
    return True if word in _TRUE else False if word in _FALSE else None


def _parts(text: str) -> list[str]:
    inner = text.strip().strip("[](){}")
    return [part for part in re.split(r"\s*[,;]\s*|\s+", inner.strip()) if part]


def _text(text: str) -> str:
    """Spacing, case, quotes and a final full stop make no difference."""
    return " ".join(text.split()).casefold().strip("\"'`").removesuffix(".").strip()


def describe_type(meta: Any) -> str | None:
    """The answer type that an item's meta declares, when it is a known one."""
    declared = (meta or {}).get("answer_type")
    return declared if declared in TYPES else None
