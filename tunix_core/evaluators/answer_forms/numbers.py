"""Numbers as people write them, exactly, with what they count."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from attrs import evolve, frozen

from tunix_core.evaluators.answer_forms.number_words import leading_number, scale
from tunix_core.evaluators.answer_forms.units import (
    CURRENCIES,
    NO_UNIT,
    PERCENT,
    Unit,
    common,
    currency,
    parse_unit,
    times,
)

# A longer number is compared as text: exact arithmetic on it could take for ever.
MAX_NUMBER_CHARS = 400
# A decimal of so many significant digits stands for the fraction that it was rounded from.
ROUNDED_DIGITS = 6
_MAX_EXPONENT = 400


@frozen
class Number:
    """An exact number.

    Args:
        value: What it is.
        decimals: Digits after the point, 0 when it is not written as a decimal.
    """

    value: Fraction
    decimals: int = 0


@frozen
class Quantity:
    """A number and what it counts.

    Args:
        number: The number as written.
        unit: Its unit.
        compound: It was added up from several, such as hours and minutes, so that no number of
            it stands alone.
    """

    number: Number
    unit: Unit = NO_UNIT
    compound: bool = False


_CODES = "|".join(sorted((re.escape(sign) for sign in CURRENCIES), key=len, reverse=True))
_HEAD = re.compile(rf"([-+])? ?(?:({_CODES}) ?)?([-+])? ?")
_ZEROS = re.compile(r"(\W{0,4})0+(?=\d)")
_ABOUT = re.compile(
    r"(?:~=?|about|approximately|approx\.?|roughly|around|exactly) ?(?=[\d.$€£¥+-])", re.IGNORECASE
)
_MINUS = re.compile(r"(?:minus|negative) (?=\w)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(\d{1,3}(?:([, '_])\d{3})(?:\2\d{3})*(?![\d]|[,'_]\d)|\d+)?(\.\d+)?"
    r"(?:[eE]([-+]?\d{1,4})(?!\w)|(?: ?[*x] ?)10 ?\^ ?\(?([-+]?\d{1,4})\)?(?!\d))?"
)
_OVER = re.compile(r" ?/ ?([-+]?\d+(?:\.\d+)?)(?![.,]?\d)")
_MIXED = re.compile(r"(?: and | ?\+ ?| )(\d+) ?/ ?(\d+)(?![.,]?\d)")
_NEGATED = re.compile(r"([-+]) ?\(([^()]*)\)")
_ATTACHED_SCALE = re.compile(r"(k|K|M|bn|mn)(?![A-Za-z])|(B|b|m)(?![A-Za-z])")
_FURTHER = re.compile(r"([^\d.]*?),?(?: and)? ?(?=\d)")


def parse_number(text: str) -> Fraction | None:
    """The exact value of a plain text that is a number and nothing else, or None."""
    quantity = parse_quantity(text)
    if quantity is None or quantity.unit.named or quantity.compound:
        return None
    return quantity.number.value


@lru_cache(maxsize=8192)
def parse_quantity(text: str, within: str = "") -> Quantity | None:
    """A plain text as a number with its unit, or None when any part of it is something else.

    Args:
        text: As :func:`plain_text.plain` gives it.
        within: A base unit beside which ``m`` is a minute: ``s``.
    """
    if zeros := _ZEROS.match(text):
        text = zeros[1] + text[zeros.end() :]
    if not text or len(text) > MAX_NUMBER_CHARS:
        return None
    if about := _ABOUT.match(text):
        text = text[about.end() :]
    text = _MINUS.sub("-", text, count=1) if text[:1] in "mMnN" else text
    if negated := _NEGATED.fullmatch(text):
        inner = parse_quantity(negated[2])
        return inner and _signed(inner, negated[1])
    head = _HEAD.match(text)
    assert head is not None  # noqa: S101 - all of it may be missing
    before, sign, behind = head.groups()
    if before and behind:
        return None
    found = _leading(text, head.end())
    if found is None:
        return None
    number, end = found
    number, end = _scaled(number, text, end, money=sign is not None)
    quantity = _with_unit(number, text[end:], sign, within)
    return quantity and _signed(quantity, before or behind)


def same_quantity(
    first: Quantity, second: Quantity, tolerance: Fraction | str = Fraction(0)
) -> bool:
    """Whether two quantities are equal, converted where they can be.

    A unit may be left out, since the question may say it, but not be another. A percentage is
    also the proportion that it means.

    Args:
        first: One of them.
        second: The other; a relative tolerance is a share of it.
        tolerance: The largest difference, or a share such as ``"1%"``.
    """
    if first.unit.named and second.unit.named:
        pair = common(first.unit, second.unit)
        return pair is not None and _close(
            _times(first.number, pair[0].factor), _times(second.number, pair[1].factor), tolerance
        )
    if first.compound or second.compound:
        return False
    if PERCENT in (first.unit, second.unit):
        percent, other = (first, second) if first.unit == PERCENT else (second, first)
        share = evolve(percent.number, value=percent.number.value / 100)
        as_said = abs(other.number.value) >= 1 and _close(first.number, second.number, tolerance)
        return as_said or _close(share, other.number, tolerance)
    return _close(first.number, second.number, tolerance)


def _close(first: Number, second: Number, tolerance: Fraction | str) -> bool:
    difference = abs(first.value - second.value)
    if not difference:
        return True
    if isinstance(tolerance, str):
        tolerance = abs(second.value) * Fraction(tolerance.rstrip("% ")) / 100
    return difference <= tolerance or _rounded(first, second) or _rounded(second, first)


def _rounded(decimal: Number, exact: Number) -> bool:
    """Whether a decimal is what a fraction without an end was cut or rounded to."""
    if exact.decimals or not decimal.decimals or _ends(exact.value.denominator):
        return False
    digits = len(str(abs(decimal.value) * 10**decimal.decimals))
    step = Fraction(1, 10**decimal.decimals)
    return digits >= ROUNDED_DIGITS and abs(decimal.value - exact.value) < step


def _ends(denominator: int) -> bool:
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _times(number: Number, factor: Fraction) -> Number:
    return number if factor == 1 else evolve(number, value=number.value * factor)


def _signed(quantity: Quantity, sign: str | None) -> Quantity:
    if sign != "-":
        return quantity
    return evolve(quantity, number=_times(quantity.number, Fraction(-1)))


def _leading(text: str, start: int) -> tuple[Number, int] | None:
    """The number that begins at ``start``, and where it ends."""
    found = _NUMBER.match(text, start)
    if found is None or (found[1] is None and found[3] is None):
        return _in_words(text, start)
    whole = "".join(c for c in found[1] or "0" if c.isdigit())
    value = Fraction(whole + (found[3] or ""))
    decimals = len(found[3]) - 1 if found[3] else 0
    if exponent := found[4] or found[5]:
        if abs(int(exponent)) > _MAX_EXPONENT:
            return None
        return Number(value * Fraction(10) ** int(exponent), decimals), found.end()
    end = found.end()
    if not decimals and (mixed := _MIXED.match(text, end)):
        under = int(mixed[2])
        return (Number(value + Fraction(int(mixed[1]), under)), mixed.end()) if under else None
    if over := _OVER.match(text, end):
        under_value = Fraction(over[1])
        return (Number(value / under_value), over.end()) if under_value else None
    return Number(value, decimals), end


def _in_words(text: str, start: int) -> tuple[Number, int] | None:
    """The number that words from ``start`` on name, and where they end."""
    found = leading_number(text, start)
    return None if found is None else (Number(found[0]), found[1])


def _scaled(number: Number, text: str, end: int, *, money: bool) -> tuple[Number, int]:
    """A number times the words behind it: million, dozen, k."""
    attached = _ATTACHED_SCALE.match(text, end)
    if attached and (attached[1] or money):
        power = {"k": 3, "K": 3, "M": 6, "mn": 6, "m": 6}.get(attached[0], 9)
        return Number(number.value * 10**power), attached.end()
    while found := scale(text, end):
        number, end = Number(number.value * found[0]), found[1]
    return number, end


def _with_unit(number: Number, rest: str, sign: str | None, within: str) -> Quantity | None:
    unit = parse_unit(rest, attached=rest[:1] != " ", within=within)
    if unit is None:
        return _added_up(number, rest, sign, within)
    if sign is None:
        return Quantity(number, unit)
    money = currency(sign)
    if unit.dimensions == money.dimensions:
        return Quantity(number, money)
    # What else stands behind an amount of money is what it is paid for.
    if unit.dimensions and min(exponent for _, exponent in unit.dimensions) > 0:
        return None
    return Quantity(number, times(money, unit))


def _added_up(number: Number, rest: str, sign: str | None, within: str) -> Quantity | None:
    """Hours and minutes, feet and inches, dollars and cents: one quantity of several."""
    found = _FURTHER.match(rest)
    if found is None or within:
        return None
    unit = currency(sign) if sign and not found[1].strip() else parse_unit(found[1], attached=True)
    if unit is None or len(unit.dimensions) != 1:
        return None
    further = parse_quantity(rest[found.end() :], unit.dimensions[0][0])
    if further is None:
        return None
    pair = common(unit, further.unit)
    if pair is None or pair[0].factor <= pair[1].factor:
        return None
    total = number.value * pair[0].factor + further.number.value * pair[1].factor
    return Quantity(Number(total), Unit(dimensions=pair[0].dimensions), compound=True)
