"""What a family of questions is: a numbered space of parameters, and a question for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import ClassVar, Literal

from attrs import frozen

from tunix_generators.permutation import Surface
from tunix_generators.work import WorkStep

LEVELS = (1, 2, 3)
AnswerType = Literal["integer", "boolean", "choice", "string", "list"]


@frozen
class Question:
    """A question with its work.

    Args:
        prompt: The text of the question.
        steps: The work, in order.
        answer: The answer, taken from the work.
    """

    prompt: str
    steps: tuple[WorkStep, ...]
    answer: str


class Family(ABC):
    """A family of questions.

    The points of its space at a level are numbered; each is one canonical question, so that two
    points never ask the same thing and levels never meet. Wording (names, goods, phrasing)
    follows from the point and is not part of it.
    """

    name: ClassVar[str]
    category: ClassVar[Literal["reasoning", "synthetic"]]
    answer_type: ClassVar[AnswerType] = "integer"

    @abstractmethod
    def sizes(self, level: int) -> tuple[int, ...]:
        """Number of values of each parameter at a level."""

    @abstractmethod
    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        """The question at a point, ``values[k] < sizes(level)[k]``; every point has one."""

    @abstractmethod
    def answer(self, level: int, values: tuple[int, ...]) -> str:
        """The answer at a point, found by another path than the work's."""

    def cardinality(self, level: int) -> int:
        """Number of canonical questions at a level."""
        return prod(self.sizes(level))

    def values(self, level: int, point: int) -> tuple[int, ...]:
        """The parameters at a point: its digits in the mixed radix of :meth:`sizes`."""
        digits = []
        for size in self.sizes(level):
            point, digit = divmod(point, size)
            digits.append(digit)
        return tuple(digits)
