"""Choices by letter or by text: ``B``, ``(B)``, ``option B``, ``B) 12``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tunix_core.evaluators.answer_forms.plain_text import plain

_OPENING = r"(?:(?:option|choice|answer):? ?)?"
_LETTER = re.compile(rf"{_OPENING}\(?([A-Za-z])\)?", re.IGNORECASE)
_LABELLED = re.compile(
    r"(?:(?i:option|choice|answer):? ?)?(?:\(([A-Za-z])\)[:.]? ?|([A-Za-z])\) ?|([A-Z])[.:] ?)(.+)"
)
_BEHIND = re.compile(r"([A-Z]) \((.+)\)")
# What names a further choice, or takes the first one back.
_FURTHER = re.compile(
    r"(?:^|[^A-Za-z'])(?:[A-Za-z][).:](?![A-Za-z])|\(?[A-Z]\)?(?=$|[,;/])|or \(?[A-Z]\b)|\bnot\b"
)


def choice_letter(text: str) -> str | None:
    """The letter of the one choice that a plain text names, in capitals, or None."""
    letter, _ = _choice(text)
    return letter


def same_choice(
    given: str,
    reference: str,
    options: Mapping[str, str],
    same: Callable[[str, str], bool],
) -> bool:
    """Whether two plain texts name the same choice, by letter or by text.

    Args:
        given: What was answered.
        reference: What is right: a letter, or the text of the choice.
        options: The texts of the choices by their letters, or nothing.
        same: Compares texts of choices.
    """
    texts = {letter.upper(): plain(text) for letter, text in options.items()}
    letter, text = _choice(given)
    expected, expected_text = _choice(reference)
    if expected is None:
        named = [own for own, option in texts.items() if same(reference, option)]
        expected, expected_text = (named[0] if len(named) == 1 else None), reference
    if letter is None:
        named = [own for own, option in texts.items() if same(given, option)]
        letter = named[0] if len(named) == 1 else None
    elif text and letter in texts and not same(text, texts[letter]):
        return False
    if letter is None or expected is None:
        return same(text or given, expected_text or reference)
    return letter == expected


def _choice(text: str) -> tuple[str | None, str]:
    """The letter that a text names and the text behind it."""
    if found := _LETTER.fullmatch(text):
        return found[1].upper(), ""
    found = _LABELLED.fullmatch(text)
    letter, behind = (found[1] or found[2] or found[3], found[4]) if found else (None, "")
    if letter is None and (found := _BEHIND.fullmatch(text)):
        letter, behind = found[1], found[2]
    if letter is None or _FURTHER.search(behind):
        return None, ""
    return letter.upper(), plain(behind)
