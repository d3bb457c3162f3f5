"""Do the steps that are shown hold?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from attrs import frozen

from tunix_core.evaluators.common import labels, scorecard
from tunix_core.evaluators.generator_checks import GeneratorChecks, shown_reasoning
from tunix_core.protocols import Tools
from tunix_core.records import Completion, Item, Score, Scorecard

MAX_DIGITS = 60
MAX_TOKENS = 200

_TOKEN = re.compile(r"\s*(?:(\d+(?:,\d{3})*(?:\.\d+)?)|([-+*/%^()×÷·−]))")
_SIDE = r"[\d(][\d.,\s()+*/%×÷·−-]*"
_EQUATION = re.compile(rf"(?<![\w.])-?{_SIDE}(?:=\s*-?{_SIDE})+")
_SAME = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-"})


class _NotArithmeticError(Exception):
    """The text is no arithmetic expression of bounded size."""


@frozen
class Equation:
    """An equation found in a text.

    Args:
        text: As it stands there.
        holds: Whether all its sides are equal.
    """

    text: str
    holds: bool


def equations(text: str) -> Iterator[Equation]:
    """Every equation between arithmetic expressions, line by line, checked exactly."""
    for line in text.splitlines():
        for match in _EQUATION.finditer(line):
            found = match.group().strip().rstrip(".,")
            try:
                sides = [evaluate(side) for side in found.split("=")]
            except _NotArithmeticError:
                continue
            yield Equation(found, all(side == sides[0] for side in sides))


def evaluate(expression: str) -> Fraction:
    """The exact value of an expression of numbers, ``+ - * / %`` and parentheses.

    Raises:
        _NotArithmeticError: It is none, divides by zero, or is too large.
    """
    parser = _Parser(_tokens(expression))
    value = parser.sum()
    if not parser.done():
        raise _NotArithmeticError(expression)
    return value


def _tokens(expression: str) -> list[str]:
    text = expression.translate(_SAME).strip()
    tokens: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or len(tokens) >= MAX_TOKENS:
            raise _NotArithmeticError(expression)
        tokens.append((match.group(1) or match.group(2)).replace(",", ""))
        place = match.end()
    return tokens


class _Parser:
    """Recursive descent over ``sum -> product -> factor``."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def done(self) -> bool:
        return self._place == len(self._tokens)

    def _next(self, *wanted: str) -> str | None:
        if not self.done() and self._tokens[self._place] in wanted:
            self._place += 1
            return self._tokens[self._place - 1]
        return None

    def sum(self) -> Fraction:
        value = self._product()
        while sign := self._next("+", "-"):
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while sign := self._next("*", "/", "%"):
            other = self._factor()
            if sign == "*":
                value *= other
            elif other == 0:
                raise _NotArithmeticError("division by zero")
            else:
                value = value / other if sign == "/" else value % other
            if len(str(value.numerator)) > MAX_DIGITS:
                raise _NotArithmeticError("too large")
        return value

    def _factor(self) -> Fraction:
        if self._next("-"):
            return -self._factor()
        if self._next("("):
            self._depth += 1
            if self._depth > 50:
                raise _NotArithmeticError("too deep")
            value = self.sum()
            if not self._next(")"):
                raise _NotArithmeticError("unclosed")
            return value
        if self.done() or not self._tokens[self._place][0].isdigit():
            raise _NotArithmeticError("no number")
        token = self._tokens[self._place]
        self._place += 1
        if len(token) > MAX_DIGITS:
            raise _NotArithmeticError("too large")
        return Fraction(token)


class StepValidity:
    """The share of the steps shown in the reasoning that hold; none shown, no score.

    Args:
        tools: Where the generators are: what one of them made is judged by its ``check``,
            everything else by the equations that it shows.
    """

    def __init__(self, tools: Tools | None = None) -> None:
        self._checks = GeneratorChecks(tools)

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion.

        The details say which judge it was, ``check`` or ``equations``, how many steps are right and
        wrong, with the wrong ones; a step that is missing is a wrong one.
        """
        reasoning = shown_reasoning(completion.text)
        verdicts = self._checks.steps(item, reasoning)
        if verdicts is None:
            judge = "equations"
            shown = list(equations(reasoning))
            wrong = [equation.text for equation in shown if not equation.holds]
            right = len(shown) - len(wrong)
        else:
            judge = "check"
            wrong = [f"{v.text.strip()}: {v.reason}".lstrip(": ") for v in verdicts if not v.ok]
            right = len(verdicts) - len(wrong)
        value = right / (right + len(wrong)) if right or wrong else None
        return Score(item.id, value, {"judge": judge, "right": right, "wrong": wrong}, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The mean share over the items that show steps.

        Metrics: ``shown`` is the share of items that show any, ``all_hold`` the share of those
        whose steps all hold, ``checked`` the share of items whose generator was the judge.
        """
        judged = [score.value for score in scores if score.value is not None]
        metrics = {
            "shown": len(judged) / max(len(scores), 1),
            "all_hold": sum(value == 1.0 for value in judged) / max(len(judged), 1),
            "checked": sum(s.details.get("judge") == "check" for s in scores) / max(len(scores), 1),
        }
        return scorecard(scores, metrics)
