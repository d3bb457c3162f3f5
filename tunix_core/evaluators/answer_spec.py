"""How a trace wants its answer judged: ``answer_type`` and more in its meta."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from string import ascii_uppercase
from typing import Any

from attrs import field, frozen

from tunix_core.errors import UsageError

TYPES = ("integer", "decimal", "fraction", "boolean", "choice", "string", "list", "set")
SYNONYMS = {
    **dict.fromkeys(("int", "whole number"), "integer"),
    **dict.fromkeys(("number", "numeric", "float", "real", "double"), "decimal"),
    **dict.fromkeys(("rational",), "fraction"),
    **dict.fromkeys(("bool", "yes no", "true false", "binary"), "boolean"),
    **dict.fromkeys(("multiple choice", "mcq", "option", "letter"), "choice"),
    **dict.fromkeys(("str", "text", "free text", "word"), "string"),
    **dict.fromkeys(("array", "sequence", "tuple"), "list"),
}
Tolerance = Fraction | str
EXACT = Fraction(0)

_PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,9})? ?%")


@frozen
class AnswerSpec:
    """How answers to an item are compared; see :func:`answers.answers_match`.

    Args:
        type: One of :data:`TYPES`, or None.
        options: The texts of a choice by their letters.
        alternatives: Further right answers.
        tolerance: By how much a number may differ.
    """

    type: str | None = None
    options: Mapping[str, str] = field(factory=dict)
    alternatives: tuple[str, ...] = ()
    tolerance: Tolerance = EXACT


_PLAIN = AnswerSpec()


def answer_type(name: str) -> str:
    """The type of a name or synonym, such as ``multiple_choice``.

    Raises:
        UsageError: There is no such type.
    """
    found = _type(name)
    if found is None:
        raise UsageError(f"unknown answer type {name!r}", f"known: {', '.join(TYPES)}")
    return found


def answer_spec(meta: Mapping[str, Any] | None) -> AnswerSpec:
    """What a trace's meta says of its answer; what it says wrongly is as if it were not said."""
    if not meta or not any(key.startswith("answer_") for key in meta):
        return _PLAIN
    sound = {
        key: value for key, value in meta.items() if key in _CHECKS and not _problem(meta, key)
    }
    return AnswerSpec(
        _type(sound["answer_type"]) if sound.get("answer_type") is not None else None,
        _options(sound.get("answer_options") or {}),
        tuple(sound.get("answer_alternatives") or ()),
        _tolerance(sound.get("answer_tolerance") or 0),
    )


def answer_problems(meta: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What is wrong with what a meta says of its answer, each as ``"$.meta.key: reason"``."""
    if not meta:
        return ()
    problems = ((key, _problem(meta, key)) for key in _CHECKS if key in meta)
    return tuple(f"$.meta.{key}: {problem}" for key, problem in problems if problem)


def _type(name: Any) -> str | None:
    if not isinstance(name, str):
        return None
    folded = " ".join(re.split(r"[\s_-]+", name.strip().casefold()))
    return folded if folded in TYPES else SYNONYMS.get(folded)


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)


def _is_options(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(
            isinstance(text, str) and len(key) == 1 and key.isalpha() for key, text in value.items()
        )
    return _is_texts(value) and len(value) <= len(ascii_uppercase)


def _is_tolerance(value: Any) -> bool:
    if isinstance(value, str):
        return _PERCENT.fullmatch(value) is not None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "answer_type": (
        lambda value: _type(value) is not None,
        f"is no answer type (known: {', '.join(TYPES)})",
    ),
    "answer_options": (_is_options, "must be a list of texts, or an object of texts by letter"),
    "answer_alternatives": (_is_texts, "must be a list of texts"),
    "answer_tolerance": (_is_tolerance, 'must be 0 or more, or a share such as "1%"'),
}


def _problem(meta: Mapping[str, Any], key: str) -> str | None:
    value = meta[key]
    is_right, reason = _CHECKS[key]
    return None if value is None or is_right(value) else f"{str(value)[:40]!r} {reason}"


def _options(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {letter.upper(): text for letter, text in value.items()}
    return dict(zip(ascii_uppercase, value, strict=False))


def _tolerance(value: Any) -> Tolerance:
    return value if isinstance(value, str) else Fraction(str(value))
