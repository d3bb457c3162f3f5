"""Numbers in English words: forty-two, three quarters, half a million."""

from __future__ import annotations

import re
from fractions import Fraction

_ONES = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_SMALL = {word: value for value, word in enumerate(_ONES.split())}
_TENTHS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_TENTHS.split(), start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    word: Fraction(1, value)
    for value, words in {
        2: "half halves", 3: "third thirds", 4: "quarter quarters fourth fourths",
        5: "fifth fifths", 6: "sixth sixths", 7: "seventh sevenths", 8: "eighth eighths",
        9: "ninth ninths", 10: "tenth tenths",
    }.items()
    for word in words.split()
}  # fmt: skip
_WORD = re.compile(r"[ -]?([A-Za-z]+)(?![A-Za-z'])")
_HALF = re.compile(r"half(?: of)? an? |half (?=dozen|million|billion)", re.IGNORECASE)
_ONE = re.compile(r"an? (?=dozen|hundred|thousand|million|billion)", re.IGNORECASE)
_SCALE = re.compile(r" ?(hundred|thousand|million|billion|trillion|dozen)s?(?![A-Za-z])")
_MAX_WORDS = 20


def scale(text: str, start: int) -> tuple[int, int] | None:
    """What a word such as ``million`` multiplies the number before it by, and where it ends."""
    found = _SCALE.match(text, start)
    if found is None:
        return None
    return {"hundred": 100, "dozen": 12, **_SCALES}[found[1]], found.end()


def leading_number(text: str, start: int) -> tuple[Fraction, int] | None:
    """The number that the words from ``start`` on name, and where they end, or None."""
    if found := _HALF.match(text, start):
        return Fraction(1, 2), found.end()
    if found := _ONE.match(text, start):
        return Fraction(1), found.end()
    words, ends = _words(text, start)
    if not words:
        return None
    if words[0] == "half":
        return Fraction(1, 2), ends[0]
    total = group = used = last = 0
    for word in words:
        value = _TENS.get(word, _SMALL.get(word, -1))
        if value >= 0 and (not group or (last >= 20 and value < 10) or last == 100):
            group, last = group + value, value
        elif word == "hundred" and 0 < group < 100:
            group, last = group * 100, 100
        elif word in _SCALES and group:
            total, group, last = total + group * _SCALES[word], 0, 100
        elif word != "and" or last != 100:
            break
        used += 1
    while used and words[used - 1] == "and":
        used -= 1
    if not used:
        return None
    if used < len(words) and words[used] in _PARTS:
        return (total + group) * _PARTS[words[used]], ends[used]
    return Fraction(total + group), ends[used - 1]


def _words(text: str, start: int) -> tuple[list[str], list[int]]:
    words: list[str] = []
    ends: list[int] = []
    while len(words) < _MAX_WORDS and (found := _WORD.match(text, start)):
        words.append(found[1].lower())
        start = found.end()
        ends.append(start)
    return words, ends
