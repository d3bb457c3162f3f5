"""The exact value of an expression, in the readings that people may mean."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt

from attrs import frozen

from tunix_core.evaluators.arithmetic.words import UNITS, measured

MAX_DIGITS = 60
MAX_BITS = 512
MAX_INTEGER = 1 << MAX_BITS
MAX_FACTORIAL = 60
MAX_ITEMS = 400
# Roots are cut long after this.
ROOT_CUT = Fraction(1, 10**30)

Number = int | Fraction


class NoValueError(Exception):
    """The expression has no value of bounded size."""


class Literal:
    """A number as it is written.

    Args:
        text: Its digits, such as ``1,234.50`` or ``1 1/2``.
        currency: Whether a sign of a currency stands before it.
    """

    __slots__ = ("currency", "percent", "text", "words")

    def __init__(self, text: str, currency: bool = False) -> None:
        self.text = text
        self.currency = currency
        self.percent = False
        self.words: list[str] = []

    def __repr__(self) -> str:
        return f"{self.text}{'%' if self.percent else ''}"

    def number(self) -> Number:
        """What the digits say.

        Raises:
            NoValueError: They are too many, or a time of day such as ``0130``.
        """
        text = self.text
        if len(text) > MAX_DIGITS or ":" in text:
            raise NoValueError(text)
        if text.isdecimal():
            if text[0] == "0" and len(text) > 1:
                raise NoValueError(text)
            return int(text)
        if " " in text:
            whole, _, part = text.partition(" ")
            if "/" in part:
                return int(whole) + _ratio(part)
        return _bounded(Fraction(text.replace(",", "").replace(" ", "")))

    def step(self) -> Fraction | None:
        """The unit in its last place after the point; None for whole numbers and fractions."""
        _, point, decimals = self.text.lower().partition("e")[0].partition(".")
        return Fraction(1, 10 ** len(decimals)) if point and "e" not in self.text.lower() else None

    def unit(self) -> tuple[str, int] | None:
        """What is measured, and the size of its unit in the smallest one."""
        if self.currency:
            return UNITS["$"]
        return measured(self.words)


def _ratio(text: str) -> Fraction:
    above, _, below = text.partition("/")
    if int(below) == 0:
        raise NoValueError(text)
    return Fraction(int(above), int(below))


@frozen
class Manner:
    """How an expression is read.

    Args:
        percent: ``share``: a hundredth; ``plain``: the number; ``relative``: ``100 + 10%`` is 110.
        of_last: ``20% of 30 + 20`` is a fifth of 50.
        fractions: ``6 / 1/2`` is 12.
        units: A number counts as many of the smallest unit.
    """

    percent: str = "share"
    of_last: bool = False
    fractions: bool = False
    units: bool = False


USUAL = Manner()

PRECEDENCE = {
    "+": 1,
    "-": 1,
    "&": 1,
    "*": 2,
    "/": 2,
    "⁄": 2,
    "//": 2,
    "mod": 2,
    "of": 2,
    "neg": 3,
    "sqrt": 5,
    "^": 4,
}
# A slash between two numbers without spaces is apart, since it may be that of a fraction.
DIVISIONS = frozenset("/⁄")
_PREFIX = frozenset(("neg", "sqrt"))
_POSTFIX = frozenset(("squared", "cubed", "!", "%"))


def value(items: Sequence[Literal | str], manner: Manner = USUAL) -> Number:
    """The exact value of an expression in infix order (Dijkstra's shunting yard).

    Args:
        items: Numbers, operators and parentheses.
        manner: How it is read.

    Raises:
        NoValueError: It is no expression, divides by zero, or is too large.
    """
    if len(items) == 1 and isinstance(items[0], Literal):
        return _number(items[0], manner)
    if len(items) == 3 and manner is USUAL:
        left, operator, right = items
        if isinstance(left, Literal) and isinstance(right, Literal):
            return _bounded(_binary(_number(left, manner), str(operator), _number(right, manner)))
    if len(items) > MAX_ITEMS:
        raise NoValueError("too long")
    values: list[Number] = []
    operators: list[str] = []
    for place, item in enumerate(items):
        if isinstance(item, Literal):
            values.append(_number(item, manner, _relative_to(items, place, values, manner)))
        elif item in _POSTFIX:
            _postfix(values, item)
        elif item == "(" or item in _PREFIX:
            operators.append(item)
        elif item == ")":
            while operators and operators[-1] != "(":
                _apply(values, operators.pop())
            if not operators:
                raise NoValueError("unopened")
            operators.pop()
        else:
            rank = _rank(item, manner)
            # Powers group from the right, everything else from the left.
            while operators and operators[-1] != "(":
                above = _rank(operators[-1], manner)
                if above < rank or (above == rank and item == "^"):
                    break
                _apply(values, operators.pop())
            operators.append(item)
    while operators:
        _apply(values, operators.pop())
    if len(values) != 1:
        raise NoValueError("no expression")
    return values[0]


def _relative_to(
    items: Sequence[Literal | str], place: int, values: list[Number], manner: Manner
) -> Number | None:
    """What ``10%`` is a share of in ``100 + 10%``: the number before it; None elsewhere."""
    if manner.percent != "relative" or place == 0 or items[place - 1] not in ("+", "-"):
        return None
    return values[-1] if values else None


def _rank(operator: str, manner: Manner) -> int:
    if operator == "of" and manner.of_last:
        return 0
    if operator == "⁄" and manner.fractions:
        return 3
    rank = PRECEDENCE.get(operator)
    if rank is None:
        raise NoValueError(operator)
    return rank


def _number(literal: Literal, manner: Manner, whole: Number | None = None) -> Number:
    number = literal.number()
    if literal.percent and manner.percent != "plain":
        number = Fraction(number, 100)
        if whole is not None:
            number *= whole
    if manner.units:
        unit = literal.unit()
        number *= unit[1] if unit else 1
    return number


def _postfix(values: list[Number], operator: str) -> None:
    if not values:
        raise NoValueError(operator)
    if operator == "%":
        values[-1] = Fraction(values[-1], 100)
    elif operator == "!":
        values[-1] = _factorial(values[-1])
    else:
        values[-1] = _power(values[-1], 2 if operator == "squared" else 3)


def _apply(values: list[Number], operator: str) -> None:
    if len(values) < (1 if operator in _PREFIX else 2):
        raise NoValueError(operator)
    right = values.pop()
    if operator == "neg":
        values.append(-right)
        return
    if operator == "sqrt":
        values.append(_root(right))
        return
    values.append(_bounded(_binary(values.pop(), operator, right)))


def _bounded(number: Number) -> Number:
    if isinstance(number, int):
        if -MAX_INTEGER < number < MAX_INTEGER:
            return number
    elif max(number.numerator.bit_length(), number.denominator.bit_length()) <= MAX_BITS:
        return number
    raise NoValueError("too large")


def _binary(left: Number, operator: str, right: Number) -> Number:
    if operator in ("+", "&"):
        return left + right
    if operator == "-":
        return left - right
    if operator in ("*", "of"):
        return left * right
    if operator == "^":
        return _power(left, right)
    if right == 0:
        raise NoValueError("division by zero")
    if operator in DIVISIONS:
        return Fraction(left) / right
    if operator == "//":
        return left // right
    if operator == "mod":
        return left % right
    raise NoValueError(operator)


def _power(base: Number, exponent: Number) -> Number:
    if exponent == Fraction(1, 2):
        return _root(base)
    if exponent.denominator != 1 or (base == 0 and exponent < 0):
        raise NoValueError("no rational power")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(int(exponent)) > MAX_BITS and abs(base) != 1 and base != 0:
        raise NoValueError("too large")
    if abs(base) == 1 or base == 0:
        exponent = int(exponent) % 2 if base == -1 else min(int(exponent), 1)
    return Fraction(base) ** int(exponent)


def _root(square: Number) -> Number:
    """The square root; what is irrational is cut after 40 digits."""
    if square < 0:
        raise NoValueError("root of a negative number")
    above, below = isqrt(square.numerator), isqrt(square.denominator)
    if above * above == square.numerator and below * below == square.denominator:
        return Fraction(above, below)
    return Fraction(isqrt(square.numerator * 10**80 // square.denominator), 10**40)


def _factorial(number: Number) -> Number:
    if number.denominator != 1 or not 0 <= number <= MAX_FACTORIAL:
        raise NoValueError("no factorial")
    result = 1
    for factor in range(2, int(number) + 1):
        result *= factor
    return result
