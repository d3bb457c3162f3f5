"""What a model's reply comes to, read in time that grows with its length.

A grade stands in a JSON object, which may have prose, a fence or a thought around it, or else
behind a label such as ``Score:``. A reply that holds different grades holds none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen

# Objects that a reply may hold; what stands before the last so many is not read.
MAX_OBJECTS = 100
SHOWN_CHARS = 80

SCORE_KEYS = ("score", "rating", "grade")
WINNER_KEYS = ("winner", "verdict", "choice", "preference", "better")

_OPEN = re.compile(r'\{\s*"')
_THOUGHT_ENDS = re.compile(
    r"</(?:think|thinking|thought)>|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE
)
_THOUGHT_BEGINS = re.compile(r"<(?:think|thinking|thought)>|\[THINK\]", re.IGNORECASE)
# A number, and what it is out of: all repetitions have a limit, so that nothing is read often.
_NUMBER = (
    r"([+-]?\d{0,15}\.?\d{1,15})"
    r"(?:\s{0,3}(?:/|out\s{1,3}of)\s{0,3}(\d{1,15}(?:\.\d{1,15})?)|\s?(%))?"
)
_WHOLE_NUMBER = re.compile(rf"\s{{0,9}}{_NUMBER}\.?\s{{0,9}}")
_LABEL = r"[\"'*_`]{0,4}[ \t]{0,4}(?:[:=]|\bis\b)[\"'*_`\s]{0,9}"
# Neither half a number nor the lower end of a range.
_NUMBER_END = r"(?!\w|[.,]\d|\s{0,3}(?:to|-|–|—|/)\s{0,3}\d)"
_LABELLED_NUMBER = re.compile(
    rf"\b(?:score|rating|grade){_LABEL}{_NUMBER}{_NUMBER_END}", re.IGNORECASE
)
_LABELLED_WINNER = re.compile(
    rf"\b(?:winner|verdict){_LABEL}([a-z]{{1,12}}(?: [ab12])?)\b", re.IGNORECASE
)
_BRACKETED = re.compile(r"\[\[([^\[\]\n]{1,40})\]\]")
_CHOICES = {
    **dict.fromkeys(("a", "first", "1", "answer a", "answer 1", "assistant a"), 1.0),
    **dict.fromkeys(("b", "second", "2", "answer b", "answer 2", "assistant b"), 0.0),
    **dict.fromkeys(("c", "tie", "equal", "draw", "neither", "both"), 0.5),
}

T = TypeVar("T")


class UnreadableError(Exception):
    """A reply holds no judgement; says why."""


@frozen
class Grade:
    """A judgement with what was said beside it.

    Args:
        value: The number.
        said: The JSON object that it stands in; empty where it stands in none.
    """

    value: float
    said: Mapping[str, Any]


@frozen
class _Found:
    """A JSON object in a text, from ``start`` up to ``end``."""

    start: int
    end: int
    object: Mapping[str, Any]


def read_score(text: str, low: float, high: float, cut: bool = False) -> Grade:
    """The score that a reply gives.

    Args:
        text: The reply.
        low: The lowest score there is.
        high: The highest.
        cut: Whether the reply was cut, so that its last number may be half of one.

    Raises:
        UnreadableError: It gives none, several that differ, or one off the scale.
    """

    def within(value: Any) -> float:
        number = _number(value, high)
        if number is None or not low <= number <= high:
            raise UnreadableError(f"{_shown(value)} is not a score from {low:g} to {high:g}")
        return float(number)

    return _read(text, cut, SCORE_KEYS, (_LABELLED_NUMBER, _BRACKETED), within)


def read_winner(text: str, cut: bool = False) -> Grade:
    """Which of two answers a reply prefers: 1.0 the first, 0.0 the second, 0.5 neither.

    Args:
        text: The reply.
        cut: Whether the reply was cut.

    Raises:
        UnreadableError: It names none, or several.
    """

    def chosen(value: Any) -> float:
        choice = _CHOICES.get(str(value).strip(" .*_\"'`").lower())
        if choice is None:
            raise UnreadableError(f"{_shown(value)} is none of A, B and tie")
        return choice

    return _read(text, cut, WINNER_KEYS, (_BRACKETED, _LABELLED_WINNER), chosen)


def _read(
    text: str,
    cut: bool,
    keys: Sequence[str],
    labels: Sequence[re.Pattern[str]],
    value_of: Callable[[Any], float],
) -> Grade:
    found, spoken = _without_thought(text)
    grades = []
    for one in found:
        key = next((key for key in keys if key in one), None)
        if key is not None:
            grades.append(Grade(value_of(one[key]), one))
    for label in labels if not cut else ():
        if not grades:
            matches = label.finditer(spoken)
            grades = [Grade(value_of(_value_text(match)), {}) for match in matches]
    if not grades:
        raise UnreadableError(f"it holds no {keys[0]}: {_shown(spoken.strip())}")
    if len({grade.value for grade in grades}) > 1:
        raise UnreadableError(f"it holds different {keys[0]}s: {_shown(spoken.strip())}")
    return grades[-1]


def _value_text(match: re.Match[str]) -> str:
    """A labelled value with its denominator, without its label."""
    return match.string[match.start(1) : max(match.end(n) for n in range(1, match.re.groups + 1))]


def _without_thought(text: str) -> tuple[list[Mapping[str, Any]], str]:
    """The JSON objects and the text behind what a model only thought.

    A mark within an object is a text that the model quotes.
    """
    found = list(_objects(text))

    def outside(pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        spans = iter(found)
        span = next(spans, None)
        for mark in pattern.finditer(text):
            while span is not None and span.end <= mark.start():
                span = next(spans, None)
            if span is None or mark.start() < span.start:
                yield mark

    start = max((mark.end() for mark in outside(_THOUGHT_ENDS)), default=0)
    begins = (mark.start() for mark in outside(_THOUGHT_BEGINS))
    end = next((begin for begin in begins if begin >= start), len(text))
    kept = [one.object for one in found if start <= one.start < end]
    return kept, text[start:end]


def _objects(text: str) -> Iterator[_Found]:
    """JSON objects that are not part of another, of the last ``MAX_OBJECTS`` that may be one."""
    decode = json.JSONDecoder().raw_decode
    end = 0
    for place in [match.start() for match in _OPEN.finditer(text)][-MAX_OBJECTS:]:
        if place < end:
            continue
        try:
            value, end = decode(text, place)
        except (ValueError, RecursionError):
            continue
        yield _Found(place, end, value)


def _number(value: Any, high: float) -> float | int | None:
    """A number, as such or as text such as ``80``, ``80/100`` and ``80 %``; else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    match = _WHOLE_NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, whole, percent = match.groups()
    if whole is not None and float(whole) != high:
        return None
    if percent is not None and high != 100:
        return None
    return float(number)


def _shown(value: Any) -> str:
    return repr(value)[:SHOWN_CHARS]
