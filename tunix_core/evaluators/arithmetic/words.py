"""Words that mean something in arithmetic: numbers, operators, relations, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
NUMBERS: Mapping[str, int] = {word: n for n, word in enumerate(_ONES.split())} | {
    word: 10 * n
    for n, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"), 2
    )
}

FACTORS: Mapping[str, Fraction] = {
    "half": Fraction(1, 2),
    "third": Fraction(1, 3),
    "quarter": Fraction(1, 4),
    "twice": Fraction(2),
    "double": Fraction(2),
    "triple": Fraction(3),
    "thrice": Fraction(3),
}

# Of several words the longest phrase counts.
OPERATORS: Mapping[tuple[str, ...], str] = {
    ("plus",): "+",
    ("minus",): "-",
    ("times",): "*",
    ("x",): "*",
    ("multiplied", "by"): "*",
    ("divided", "by"): "/",
    ("mod",): "mod",
    ("modulo",): "mod",
    ("to", "the", "power"): "^",
    ("to", "the", "power", "of"): "^",
    ("squared",): "squared",
    ("cubed",): "cubed",
    ("percent",): "%",
    ("of",): "of",
    ("remainder",): "rem",
    ("remainder", "of"): "rem",
    ("with", "remainder"): "rem",
    ("with", "a", "remainder", "of"): "rem",
}
RELATIONS: Mapping[tuple[str, ...], str] = {
    ("is",): "is",
    ("equals",): "is",
    ("is", "equal", "to"): "is",
    ("equal",): "is",
    ("makes",): "is",
    ("gives",): "is",
}
PHRASES = {**OPERATORS, **RELATIONS}
LONGEST = max(map(len, PHRASES))
STARTS = frozenset(phrase[0] for phrase in PHRASES)
# Words that say that a run of words may hold a phrase: at its beginning, anywhere, in speech.
FIRSTS = frozenset(("of", "x"))
SPECIAL = _words("plus minus multiplied divided mod modulo power squared cubed percent remainder")
SPOKEN = SPECIAL | NUMBERS.keys() | FIRSTS | {"times"} | {phrase[0] for phrase in RELATIONS}

# May stand between a relation and its number.
HEDGES = _words(
    "about approximately approx around roughly nearly almost exactly only just a an the total of "
    "still another usd eur gbp rs dollars"
)
ABOUT = _words("about approximately approx around roughly nearly almost")

# A number after one of these is part of something that is not computed here.
TWISTS = _words("than half third quarter twice double triple thrice between sum product")
# After the right side these say that it is no result: `5 + 3 is 2 more than 6`.
RELATIVE = _words("more less fewer times greater higher lower larger smaller of")
# They begin another thought: what stands before them ends.
CLAUSES = _words(
    "is are was were be because so which that means represents makes equals gives equal since then "
    "therefore thus and or if when where while"
)
# A number after one of these is a name.
NAMES = _words(
    "day week month year step part problem room group team box person number no night game round "
    "test quiz class grade level page chapter case option question line figure table item"
)
DOUBTS = _words("if whether unless until while suppose assume is are when not")


def _forms(unit: str) -> tuple[str, ...]:
    return (unit, f"{unit}s", f"{unit}es") if len(unit) > 2 else (unit,)


_TIME = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "h": 3600}
_DAYS = {"day": 86_400, "week": 7 * 86_400}
_YEARS = {"month": 1, "year": 12, "decade": 120, "century": 1200}
_LENGTH = {"mm": 1, "millimeter": 1, "millimetre": 1, "cm": 10, "centimeter": 10}
_METRES = {"centimetre": 10, "m": 1000, "meter": 1000, "metre": 1000}
_KILOMETRES = {"km": 1_000_000, "kilometer": 1_000_000, "kilometre": 1_000_000}
_FEET = {"inch": 1, "in": 1, "foot": 12, "feet": 12, "ft": 12, "yard": 36, "yd": 36, "mile": 63_360}
_MASS = {"mg": 1, "milligram": 1, "g": 1000, "gram": 1000, "kg": 1_000_000, "kilogram": 1_000_000}
_TON = {"tonne": 1_000_000_000}
_POUNDS = {"ounce": 1, "oz": 1, "pound": 16, "lb": 16, "ton": 32_000}
_VOLUME = {"ml": 1, "milliliter": 1, "millilitre": 1, "l": 1000, "liter": 1000, "litre": 1000}
_GALLONS = {"teaspoon": 1, "tablespoon": 3, "cup": 48, "pint": 96, "quart": 192, "gallon": 768}
_MONEY = {"cent": 1, "¢": 1, "penny": 1, "nickel": 5, "dime": 10, "dollar": 100, "$": 100}
_BYTES = {"kb": 1, "mb": 1000, "gb": 1_000_000, "tb": 1_000_000_000}
_COUNT = {"pair": 2, "dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6}
_COUNTS = {"billion": 10**9, "trillion": 10**12}

# Unit: (what it measures, how many of the smallest).
UNITS: Mapping[str, tuple[str, int]] = {
    unit: (dimension, size)
    for dimension, sizes in {
        "time": {**_TIME, **_DAYS},
        "years": _YEARS,
        "metres": {**_LENGTH, **_METRES, **_KILOMETRES},
        "feet": _FEET,
        "grams": {**_MASS, **_TON},
        "pounds": _POUNDS,
        "litres": _VOLUME,
        "gallons": _GALLONS,
        "money": _MONEY,
        "bytes": _BYTES,
        "count": {**_COUNT, **_COUNTS},
    }.items()
    for unit, size in sizes.items()
}
LENGTHS = frozenset(("metres", "feet"))
# Each with its plural, the longest first.
LENGTH_UNITS = sorted(
    (form for unit, (what, _) in UNITS.items() if what in LENGTHS for form in _forms(unit)),
    key=lambda form: (-len(form), form),
)
_POWERS = {"²": 2, "³": 3}
_SPELT_POWERS = {"square": "²", "sq": "²", "cubic": "³", "cu": "³"}
# One letter after a number is a variable, unless it is one of these and stands apart.
UNIT_LETTERS = _words("m g h l s")
LETTERS = UNIT_LETTERS | {"a", "i"}
# Glued to a number two letters are a unit only here.
SHORT = _words("ft in km cm mm kg mg lb oz hr gb mb kb tb ml yd mi pm am kw th st nd rd")


def power_of(unit: str) -> int:
    """2 of ``m²``, 3 of ``m³``, else 1."""
    return _POWERS.get(unit[-1:], 1)


def unit_of(word: str) -> tuple[str, int] | None:
    """What a word measures, and its size; the plural counts too, and ``m²`` and ``m³``."""
    power = power_of(word)
    bare = word[:-1] if power > 1 else word
    found = (
        UNITS.get(bare) or UNITS.get(bare.removesuffix("s")) or UNITS.get(bare.removesuffix("es"))
    )
    if found is None or power == 1:
        return found
    dimension, size = found
    return (f"{dimension}{word[-1]}", size**power) if dimension in LENGTHS else None


def measured(words: Sequence[str]) -> tuple[str, int] | None:
    """The unit that the words behind a number begin with, at the second word at the latest."""
    power = _SPELT_POWERS.get(words[0]) if words else None
    if power:
        return unit_of(words[1] + power) if len(words) > 1 else None
    return next((unit for unit in map(unit_of, words[:2]) if unit), None)
