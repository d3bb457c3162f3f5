"""Units of measure and money: synonyms, powers, quotients, and what converts into what.

The table is small and exact. A library of units would decide by what is installed whether an
answer is right, converts through floating point, and reads ``in`` and ``a`` wherever they stand.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from attrs import frozen

Dimensions = tuple[tuple[str, int], ...]


@frozen
class Unit:
    """A unit as a multiple of base units.

    Args:
        factor: How many base units it is.
        dimensions: Base units with their exponents, sorted; empty for none.
        noun: What is counted, in the singular, or empty: ``apple``.
    """

    factor: Fraction = Fraction(1)
    dimensions: Dimensions = ()
    noun: str = ""

    @property
    def named(self) -> bool:
        """Whether anything is said of what is counted."""
        return bool(self.dimensions or self.noun)


NO_UNIT = Unit()
PERCENT = Unit(dimensions=(("%", 1),))
CURRENCIES = {
    **{"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "C$": "CAD"},
    **{code: code for code in ("USD", "EUR", "GBP", "JPY", "INR", "CAD", "AUD", "CHF", "CNY")},
}
_MONEY = frozenset(CURRENCIES.values())

# name: (base unit, its power, factor), symbols first, then words.
_SYMBOLS: dict[str, tuple[str, int, Fraction]] = {}
_WORDS: dict[str, tuple[str, int, Fraction]] = {}

_PREFIXES = {
    "": ("", 0), "k": ("kilo", 3), "M": ("mega", 6), "G": ("giga", 9), "T": ("tera", 12),
    "c": ("centi", -2), "m": ("milli", -3), "μ": ("micro", -6), "n": ("nano", -9),
    "d": ("deci", -1), "h": ("hecto", 2),
}  # fmt: skip
_METRIC = (
    ("m", "meter metre", "m", 1, "1"), ("g", "gram gramme", "g", 1, "1"),
    ("L", "liter litre", "m", 3, "1/1000"), ("l", "", "m", 3, "1/1000"),
    ("s", "second", "s", 1, "1"), ("W", "watt", "W", 1, "1"), ("J", "joule", "J", 1, "1"),
    ("V", "volt", "V", 1, "1"), ("A", "ampere amp", "A", 1, "1"), ("Hz", "hertz", "Hz", 1, "1"),
    ("N", "newton", "N", 1, "1"), ("Pa", "pascal", "Pa", 1, "1"), ("B", "byte", "B", 1, "1"),
    ("Wh", "", "J", 1, "3600"), ("bit", "bit", "bit", 1, "1"), ("cal", "calorie", "cal", 1, "1"),
    ("mol", "mole", "mol", 1, "1"), ("Ω", "ohm", "Ω", 1, "1"),
)  # fmt: skip
_OTHERS = (
    ("min", "minute mins", "s", 1, "60"), ("h hr hrs", "hour", "s", 1, "3600"),
    ("sec secs", "", "s", 1, "1"), ("d", "day", "s", 1, "86400"), ("wk", "week", "s", 1, "604800"),
    ("mo", "month", "month", 1, "1"), ("yr yrs", "year", "month", 1, "12"),
    ("in", "inch", "m", 1, "127/5000"), ("ft", "foot feet", "m", 1, "381/1250"),
    ("yd yds", "yard", "m", 1, "1143/1250"), ("mi", "mile", "m", 1, "201168/125"),
    ("lb lbs", "pound", "g", 1, "45359237/100000"), ("oz", "ounce", "g", 1, "45359237/1600000"),
    ("t", "tonne", "g", 1, "1000000"), ("", "ton", "ton", 1, "1"),
    ("gal", "gallon", "gallon", 1, "1"), ("qt", "quart", "gallon", 1, "1/4"),
    ("pt", "pint", "gallon", 1, "1/8"), ("", "cup", "gallon", 1, "1/16"),
    ("tbsp", "tablespoon", "gallon", 1, "1/256"), ("tsp", "teaspoon", "gallon", 1, "1/768"),
    ("ha", "hectare", "m", 2, "10000"), ("ac", "acre", "m", 2, "316160658/78125"),
    ("°", "degree deg", "°", 1, "1"), ("rad", "radian", "rad", 1, "1"),
    ("K", "kelvin", "K", 1, "1"), ("°C", "celsius", "°C", 1, "1"),
    ("°F", "fahrenheit", "°F", 1, "1"), ("%", "percent", "%", 1, "1"),
    ("", "dollar buck", "USD", 1, "1"), ("", "euro", "EUR", 1, "1"),
    ("", "quid", "GBP", 1, "1"), ("", "pence penny", "pence", 1, "1"),
    ("¢", "cent", "cent", 1, "1"), ("", "yen", "JPY", 1, "1"), ("", "rupee", "INR", 1, "1"),
    ("", "nickel", "cent", 1, "5"), ("", "dime", "cent", 1, "10"),
)  # fmt: skip
_ALIASES = {
    "mph": "mi/h", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "sqft": "ft^2", "cc": "cm^3",
    "degrees celsius": "°C", "degree celsius": "°C", "degrees fahrenheit": "°F",
    "degree fahrenheit": "°F", "° c": "°C", "° f": "°F", "per cent": "%", "pct": "%",
}  # fmt: skip


def _plurals(word: str) -> list[str]:
    return [word, f"{word}s", f"{word}es"]


def _fill() -> None:
    for symbol, words, base, power, factor in _METRIC:
        for prefix, (name, exponent) in _PREFIXES.items():
            entry = base, power, Fraction(factor) * Fraction(10) ** exponent
            _SYMBOLS.setdefault(prefix + symbol, entry)
            for word in words.split():
                _WORDS.update(dict.fromkeys(_plurals(name + word), entry))
    for symbols, words, base, power, factor in _OTHERS:
        entry = base, power, Fraction(factor)
        _SYMBOLS.update(dict.fromkeys(symbols.split(), entry))
        for word in words.split():
            _WORDS.update(dict.fromkeys(_plurals(word), entry))
    _SYMBOLS.update({sign: (code, 1, Fraction(1)) for sign, code in CURRENCIES.items()})
    _SYMBOLS.update(kms=_SYMBOLS["km"], kgs=_SYMBOLS["kg"], gm=_SYMBOLS["g"], gms=_SYMBOLS["g"])


_fill()
# What is written in other case than usual, where that leaves no doubt: KM, Kg, hz.
_FOLDED: dict[str, set[str]] = {}
for _symbol in _SYMBOLS:
    _FOLDED.setdefault(_symbol.casefold(), set()).add(_symbol)

_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_POWER = re.compile(r"(.*?[^\d^( -])\^?\(?(-?[1-9])\)?")
_SQUARE = re.compile(r"(square|sq\.?|cubic|cu\.?) +(.+)", re.IGNORECASE)
_SQUARED = re.compile(r"(.+) (squared|cubed)")
_NOISE = re.compile(r"(?:^| )(?:in total|in all|altogether|total|each|apiece|only)$")
# Words that make something else of the number before them.
_NO_NOUNS = """
a an the and or nor not no but if to of in on at by is are was were be than more less fewer plus
minus times over out between from until about squared cubed factorial mod modulo remainder
choose half halves third thirds quarter quarters fourths fifth fifths sixth sixths seventh
sevenths eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths
hundred hundreds thousand thousands million millions billion billions trillion dozen dozens
score gross couple zero one two three four five six seven eight nine ten eleven twelve am pm bc
ad bce ce st nd rd th pi sqrt sin cos tan log ln exp infinity percentile think maybe perhaps
probably possibly either neither except without versus vs because since double triple twice
thrice base binary hex percent per so then which i we he she it
"""
MAX_UNIT_CHARS = 60
_MAX_NOUN_WORDS = 4
_STOPS = frozenset(_NO_NOUNS.split())


@lru_cache(maxsize=4096)
def parse_unit(text: str, *, attached: bool = False, within: str = "") -> Unit | None:
    """The unit that a text names, :data:`NO_UNIT` for none, or None when it is no unit.

    Args:
        text: What stands behind a number.
        attached: No space stands between: ``5km`` is a unit, ``3abc`` counts nothing.
        within: A base unit beside which ``m`` is a minute: ``s``.
    """
    text = _NOISE.sub("", text.strip()).strip()
    if not text:
        return NO_UNIT
    if len(text) > MAX_UNIT_CHARS:
        return None
    if within == "s" and text == "m":
        return _known("min")
    text = _ALIASES.get(text.casefold(), text)
    over, *under = re.split(r" ?/ ?|(?:^| )per ", text)
    if len(under) > 1:
        return None
    unit = _product(over, attached) if over else NO_UNIT
    divisor = _product(under[0], False) if under else NO_UNIT
    if unit is None or divisor is None or (under and not divisor.named):
        return None
    return unit if not under else times(unit, divisor, -1)


def times(first: Unit, second: Unit, power: int = 1) -> Unit:
    """The product of a unit and a power, 1 or -1, of another."""
    dimensions = dict(first.dimensions)
    for base, exponent in second.dimensions:
        dimensions[base] = dimensions.get(base, 0) + power * exponent
    noun = second.noun if power == 1 else f"/{second.noun}" if second.noun else ""
    return Unit(
        first.factor * second.factor**power,
        tuple(sorted((base, exponent) for base, exponent in dimensions.items() if exponent)),
        first.noun + noun,
    )


def currency(sign: str) -> Unit:
    """The unit of a currency by its sign or code."""
    return Unit(dimensions=((CURRENCIES[sign], 1),))


def common(first: Unit, second: Unit) -> tuple[Unit, Unit] | None:
    """Both units over the same base units, or None when one cannot be turned into the other."""
    if first.dimensions != second.dimensions:
        first, second = _as_money(first, second), _as_money(second, first)
    if first.dimensions != second.dimensions or not _same_noun(first.noun, second.noun):
        return None
    return first, second


def _as_money(unit: Unit, beside: Unit) -> Unit:
    """Cents and pence in what is beside them; a pound beside money is no weight."""
    other = beside.dimensions[0][0] if len(beside.dimensions) == 1 else ""
    if unit.dimensions == (("cent", 1),) and other in _MONEY - {"GBP", "JPY"}:
        return Unit(unit.factor / 100, beside.dimensions)
    if unit.dimensions == (("pence", 1),) and other == "GBP":
        return Unit(unit.factor / 100, beside.dimensions)
    if unit == _known("pound") and other in ("GBP", "pence"):
        return (
            Unit(dimensions=(("GBP", 1),))
            if other == "GBP"
            else Unit(Fraction(100), beside.dimensions)
        )
    return unit


def _same_noun(first: str, second: str) -> bool:
    return first == second or first.endswith(f" {second}") or second.endswith(f" {first}")


def _product(text: str, attached: bool) -> Unit | None:
    """Units multiplied by each other, as in ``kg*m^2``, or a noun."""
    unit = NO_UNIT
    for part in text.split("*"):
        factor = _power(part.strip(), attached)
        if factor is None:
            return None
        unit = times(unit, factor)
    return unit


def _power(text: str, attached: bool) -> Unit | None:
    power = 1
    if found := _SQUARE.fullmatch(text):
        power, text = (3 if found[1].lower().startswith("cu") else 2), found[2]
    elif found := _SQUARED.fullmatch(text):
        power, text = (2 if found[2] == "squared" else 3), found[1]
    elif found := _POWER.fullmatch(text):
        text, power = found[1].strip(), int(found[2])
    text, of, rest = text.partition(" of ")
    if of and not _nouns(rest):
        return None
    unit = _known(text)
    if unit is None:
        nouns = None if attached or power != 1 else _nouns(text)
        return None if nouns is None else Unit(noun=nouns)
    dimensions = tuple((base, exponent * power) for base, exponent in unit.dimensions)
    return Unit(unit.factor**power, dimensions)


def _known(name: str) -> Unit | None:
    entry = _SYMBOLS.get(name) or _WORDS.get(name) or _WORDS.get(name.casefold())
    if entry is None:
        alike = _FOLDED.get(name.casefold(), set())
        if len(alike) != 1:
            return None
        entry = _SYMBOLS[next(iter(alike))]
    base, power, factor = entry
    return Unit(factor, ((base, power),))


def _nouns(text: str) -> str | None:
    """What is counted, its last word in the singular, or None when that is no noun."""
    words = text.split(" ")
    if len(words) > _MAX_NOUN_WORDS:
        return None
    for word in words:
        if len(word) < 2 or word in _STOPS or not _WORD.fullmatch(word):
            return None
    return " ".join([*words[:-1], _singular(words[-1])])


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
