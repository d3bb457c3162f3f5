"""Ranges and words that the families share; a small vocabulary learns faster."""

from __future__ import annotations

NAMES = (
    "Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo",
    "Mia", "Nils", "Ona", "Paul", "Rosa", "Sam", "Tess", "Uli", "Vera", "Will", "Yara", "Zoe",
)  # fmt: skip
GOODS = ("pens", "cups", "books", "bags", "lamps", "plates", "apples", "shirts")

# Lowest number and how many there are: levels never share a number.
_NUMBERS = {1: (2, 8), 2: (10, 90), 3: (100, 900)}


def count_of(level: int) -> int:
    """How many numbers a level has: 2 to 9, 10 to 99, 100 to 999."""
    return _NUMBERS[level][1]


def number(level: int, value: int) -> int:
    """The number for a parameter value at a level."""
    return _NUMBERS[level][0] + value


def by_level(level: int, *choices: tuple[int, ...]) -> tuple[int, ...]:
    """The choice for a level."""
    return choices[level - 1]


def permutation(values: tuple[int, ...], pool: int) -> list[int]:
    """Different numbers below ``pool`` from falling-factorial digits (Lehmer code)."""
    left = list(range(pool))
    return [left.pop(value) for value in values]
