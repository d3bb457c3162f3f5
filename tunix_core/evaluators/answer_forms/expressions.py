"""Expressions with variables, roots and powers: the same when they have the same values.

Two expressions are compared at fixed points, exactly where all is rational: different polynomials
of such degrees agree at a point hardly ever, and at three of them by no accident.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from attrs import define, frozen

from tunix_core.evaluators.answer_forms.plain_text import GREEK

Value = Fraction | complex

MAX_TOKENS = 200
_MAX_DEPTH = 40
_MAX_EXPONENT = 64
_MAX_BITS = 8192
_POINTS = 3
_RELATIVE = 1e-9

_TOKEN = re.compile(r" *(\d+(?:\.\d+)?|\.\d+|\*\*|[-+*/^()|]|[A-Za-z]+)")
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sqrt": cmath.sqrt, "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan,
    "ln": cmath.log, "log": cmath.log10, "exp": cmath.exp,
}  # fmt: skip
_CONSTANTS = {"pi": complex(math.pi)}
_NAMES = GREEK.union(_FUNCTIONS, _CONSTANTS)


class NotAnExpressionError(Exception):
    """A text is no expression, or one whose value cannot be told."""


@frozen
class Expression:
    """An expression that could be read.

    Args:
        values: Its values at the fixed points.
        variables: The names in it.
        algebraic: It holds more than the four operations on numbers.
    """

    values: tuple[Value, ...]
    variables: frozenset[str]
    algebraic: bool

    @property
    def number(self) -> Fraction | None:
        """Its exact value where it is a number."""
        value = self.values[0]
        return value if not self.variables and isinstance(value, Fraction) else None


@lru_cache(maxsize=2048)
def parse_expression(text: str) -> Expression | None:
    """A plain text as an expression, or None; words are none, and a lone variable is one."""
    tokens = _tokens(text)
    if tokens is None:
        return None
    variables = frozenset(t for t in tokens if t in GREEK or (len(t) == 1 and t.isalpha()))
    try:
        values = tuple(_Reader(tokens, point).read() for point in range(_POINTS))
    except (NotAnExpressionError, ArithmeticError, ValueError):
        return None
    algebraic = bool(variables) or any(t in ("^", "**") or t[0].isalpha() for t in tokens)
    return Expression(values, variables, algebraic)


def same_expression(first: Expression, second: Expression) -> bool:
    """Whether two expressions have the same values."""
    return first.variables == second.variables and all(
        _equal(a, b) for a, b in zip(first.values, second.values, strict=True)
    )


def _equal(first: Value, second: Value) -> bool:
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return first == second
    try:
        one, other = complex(first), complex(second)
    except OverflowError:
        return False
    return cmath.isclose(one, other, rel_tol=_RELATIVE)


def _tokens(text: str) -> list[str] | None:
    tokens: list[str] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or len(tokens) >= MAX_TOKENS:
            return None
        token = found[1]
        if token[0].isalpha() and len(token) > 1 and token not in _NAMES:
            return None
        # Letters side by side are a word or a list, not a product.
        if tokens and token[0].isalpha() and len(token) == 1 and _is_name(tokens[-1]):
            return None
        if tokens and token[0].isdigit() and (_is_name(tokens[-1]) or tokens[-1][-1].isdigit()):
            return None
        tokens.append(token)
        place = found.end()
    return tokens or None


def _is_name(token: str) -> bool:
    return token[0].isalpha() and token not in _CONSTANTS


@define
class _Reader:
    """Evaluates tokens at one point, by descent; `|` and words without use are refused."""

    tokens: list[str]
    point: int
    place: int = 0
    depth: int = 0

    def read(self) -> Value:
        value = self._sum()
        if self.place != len(self.tokens):
            raise NotAnExpressionError
        return value

    @property
    def _next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def _take(self, *tokens: str) -> str:
        if self._next and self._next in tokens:
            self.place += 1
            return self.tokens[self.place - 1]
        return ""

    def _sum(self) -> Value:
        value = self._product()
        while sign := self._take("+", "-"):
            other = self._product()
            value = _add(value, other if sign == "+" else -other)
        return value

    def _product(self) -> Value:
        value = self._signed()
        while True:
            if self._take("/"):
                value = _multiply(value, _power(self._signed(), Fraction(-1)))
            elif self._take("*") or (self._next and self._next not in ("+", "-", ")", "|")):
                value = _multiply(value, self._signed())
            else:
                return value

    def _signed(self) -> Value:
        if sign := self._take("+", "-"):
            self._deeper()
            value = self._signed()
            self.depth -= 1
            return value if sign == "+" else -value
        value = self._atom()
        if self._take("^", "**"):
            self._deeper()
            value = _power(value, self._signed())
            self.depth -= 1
        return value

    def _atom(self) -> Value:
        if self._take("("):
            self._deeper()
            value = self._sum()
            self.depth -= 1
            if not self._take(")"):
                raise NotAnExpressionError
            return value
        token = self._next
        self.place += 1
        if token in _FUNCTIONS:
            if self._next != "(":
                raise NotAnExpressionError
            return _FUNCTIONS[token](complex(self._atom()))
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token and token[0].isalpha():
            return _at(token, self.point)
        if token and token[0] in "0123456789.":
            return Fraction(token)
        raise NotAnExpressionError

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise NotAnExpressionError


def _at(name: str, point: int) -> Fraction:
    """The value of a variable at a point: positive, and no round number."""
    code = sum(ord(letter) * 131**place for place, letter in enumerate(name))
    return Fraction(code * (2 * point + 3) + 1009 * point + 17, 337 + 96 * point)


def _checked(value: Value) -> Value:
    if isinstance(value, Fraction):
        if value.numerator.bit_length() + value.denominator.bit_length() > _MAX_BITS:
            raise NotAnExpressionError
    elif not cmath.isfinite(value):
        raise NotAnExpressionError
    return value


def _add(first: Value, second: Value) -> Value:
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return _checked(first + second)
    return _checked(complex(first) + complex(second))


def _multiply(first: Value, second: Value) -> Value:
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return _checked(first * second)
    return _checked(complex(first) * complex(second))


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and isinstance(base, Fraction):
        if abs(exponent) > _MAX_EXPONENT or (not base and exponent < 0):
            raise NotAnExpressionError
        return _checked(base ** int(exponent))
    return _checked(complex(base) ** complex(exponent))
