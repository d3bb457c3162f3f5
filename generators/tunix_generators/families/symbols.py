"""Structured synthetic tasks: expressions, letters, sequences."""

from __future__ import annotations

from math import gcd

from tunix_generators.families._common import by_level
from tunix_generators.family import Family, Question
from tunix_generators.permutation import Surface
from tunix_generators.work import ALPHABET, WorkStep, add, multiply, subtract


class ChainArithmetic(Family):
    """Two operations in a row; operands that commute are in order."""

    name = "chain_arithmetic"
    category = "synthetic"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (3, 8, 4, 12), (3, 90, 90, 90), (3, 900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        a, b, c = self._numbers(level, values)
        first = add(a, b) if values[0] == 0 else multiply(a, b)
        inner = int(first.output)
        second = add(inner, c) if values[0] == 1 else subtract(inner, c)
        signs = (("+", "-"), ("*", "+"), ("*", "-"))[values[0]]
        text = f"{a} {signs[0]} {b} {signs[1]} {c}"
        prompt = surface.pick((f"Compute {text}.", f"What is {text}?", f"Work out {text}."))
        return Question(prompt, (first, second), second.output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        a, b, c = self._numbers(level, values)
        return str((a + b - c, a * b + c, a * b - c)[values[0]])

    @staticmethod
    def _numbers(level: int, values: tuple[int, ...]) -> tuple[int, int, int]:
        a = (2, 10, 100)[level - 1] + values[1]
        return a, a + values[2], 1 + values[3]


class NextInSequence(Family):
    """The next number of a sequence with constant or steadily growing steps."""

    name = "next_in_sequence"
    category = "synthetic"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (40, 29), (100, 100, 100), (1000, 1000, 1000))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        start, step, growth = self._numbers(level, values)
        shown = [start, start + step, start + 2 * step + growth]
        if growth:
            shown.append(start + 3 * step + 3 * growth)
        text = " ".join(str(number) for number in shown)
        prompt = surface.pick((f"What comes next: {text}?", f"Continue {text} by one number."))
        if not growth:
            last = add(shown[2], step)
            return Question(prompt, (subtract(shown[1], shown[0]), last), last.output)
        first, second, third = (shown[k + 1] - shown[k] for k in range(3))
        steps = (
            subtract(shown[1], shown[0]),
            subtract(shown[2], shown[1]),
            subtract(shown[3], shown[2]),
            subtract(second, first),
            add(third, growth),
            add(shown[3], third + growth),
        )
        return Question(prompt, steps, steps[-1].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        start, step, growth = self._numbers(level, values)
        terms = 4 if growth else 3
        return str(start + terms * step + growth * terms * (terms - 1) // 2)

    @staticmethod
    def _numbers(level: int, values: tuple[int, ...]) -> tuple[int, int, int]:
        start = (1, 1, 101)[level - 1] + values[0]
        return start, 2 + values[1], 1 + values[2] if len(values) > 2 else 0


class GreatestCommonDivisor(Family):
    """Euclid's algorithm; the answer times a coprime pair."""

    name = "greatest_common_divisor"
    category = "synthetic"

    LARGEST = (13, 60, 60)

    def sizes(self, level: int) -> tuple[int, ...]:
        return ((18, 300, 250_000)[level - 1], len(COPRIME[self.LARGEST[level - 1]]))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        small, large = self._numbers(level, values)
        prompt = surface.pick(
            (
                f"What is the greatest common divisor of {large} and {small}?",
                f"Find the largest number that divides {large} and {small}.",
            )
        )
        steps = []
        while small:
            rest = large % small
            steps.append(WorkStep("remainder", (str(large), str(small)), str(rest)))
            large, small = small, rest
        return Question(prompt, tuple(steps), str(large))

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        small, large = self._numbers(level, values)
        return str(gcd(small, large))

    def _numbers(self, level: int, values: tuple[int, ...]) -> tuple[int, int]:
        divisor = (2, 20, 320)[level - 1] + values[0]
        small, large = COPRIME[self.LARGEST[level - 1]][values[1]]
        return divisor * small, divisor * large


COPRIME = {
    largest: tuple((a, b) for b in range(2, largest + 1) for a in range(1, b) if gcd(a, b) == 1)
    for largest in (13, 60)
}


class SortNumbers(Family):
    """Numbers from the smallest to the largest, found one by one."""

    name = "sort_numbers"
    category = "synthetic"
    answer_type = "list"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (20, 8, 8), (20, 15, 15, 15, 15), (100, 15, 15, 15, 15, 15, 15))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        left = self._numbers(values)
        shuffled = [left.pop(surface.below(len(left))) for _ in range(len(left))]
        text = " ".join(str(number) for number in shuffled)
        prompt = surface.pick((f"Sort {text} from small to large.", f"Put {text} in rising order."))
        steps = []
        ordered = []
        while len(shuffled) > 1:
            smallest = min(shuffled)
            numbers = " ".join(str(number) for number in shuffled)
            steps.append(WorkStep("smallest", (numbers,), str(smallest)))
            shuffled.remove(smallest)
            ordered.append(str(smallest))
        answer = " ".join([*ordered, str(shuffled[0])])
        return Question(prompt, tuple(steps), answer)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return " ".join(str(number) for number in self._numbers(values))

    @staticmethod
    def _numbers(values: tuple[int, ...]) -> list[int]:
        numbers = [1 + values[0]]
        for value in values[1:]:
            numbers.append(numbers[-1] + 1 + value)
        return numbers


class BooleanLogic(Family):
    """A chain of and, or and not."""

    name = "boolean_logic"
    category = "synthetic"
    answer_type = "boolean"

    LEAVES = (4, 6, 10)

    def sizes(self, level: int) -> tuple[int, ...]:
        leaves = self.LEAVES[level - 1]
        return (*(4,) * leaves, *(2,) * (leaves - 1))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        leaves, joins = self._parts(level, values)
        words = [f"not {truth}" if negated else str(truth) for negated, truth in leaves]
        text = words[0]
        for place, join in enumerate(joins, 1):
            text = f"({text}) {join} {words[place]}" if place > 1 else f"{text} {join} {words[1]}"
        prompt = surface.pick((f"Is this true: {text}?", f"Evaluate {text}."))
        steps = []
        held: list[bool] = []
        for negated, truth in leaves:
            if negated:
                steps.append(WorkStep("not", (str(truth),), str(not truth)))
            held.append(truth != negated)
        value = held[0]
        for join, other in zip(joins, held[1:], strict=True):
            joined = (value and other) if join == "and" else (value or other)
            steps.append(WorkStep(join, (str(value), str(other)), str(joined)))
            value = joined
        return Question(prompt, tuple(steps), str(value))

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        leaves, joins = self._parts(level, values)
        # The last join that decides alone, or the first leaf, settles a chain.
        for join, (negated, truth) in zip(reversed(joins), reversed(leaves[1:]), strict=True):
            if (truth != negated) == (join == "or"):
                return str(join == "or")
        return str(leaves[0][0] != leaves[0][1])

    def _parts(
        self, level: int, values: tuple[int, ...]
    ) -> tuple[list[tuple[bool, bool]], list[str]]:
        count = self.LEAVES[level - 1]
        leaves = [(value >= 2, value % 2 == 1) for value in values[:count]]
        return leaves, ["and" if value else "or" for value in values[count:]]


class StringReverse(Family):
    """Letters from the last to the first."""

    name = "string_reverse"
    category = "synthetic"
    answer_type = "string"

    def sizes(self, level: int) -> tuple[int, ...]:
        return (26,) * (3, 5, 7)[level - 1]

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        letters = " ".join(ALPHABET[value] for value in values)
        prompt = surface.pick(
            (f"Write {letters} backwards.", f"Reverse {letters}.", f"Read {letters} from the end.")
        )
        turned = letters[::-1]
        return Question(prompt, (WorkStep("reverse", (letters,), turned),), turned)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return " ".join(ALPHABET[value] for value in reversed(values))


class LetterAt(Family):
    """The letter at a place."""

    name = "letter_at"
    category = "synthetic"
    answer_type = "string"

    def sizes(self, level: int) -> tuple[int, ...]:
        length = (4, 7, 10)[level - 1]
        return (length, *(26,) * length)

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        letters = " ".join(ALPHABET[value] for value in values[1:])
        place = values[0] + 1
        prompt = surface.pick(
            (f"Which is letter {place} of {letters}?", f"Name letter {place} in {letters}.")
        )
        step = WorkStep("letter", (str(place), letters), letters[2 * values[0]])
        return Question(prompt, (step,), step.output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return ALPHABET[values[1 + values[0]]]


class CaesarShift(Family):
    """Every letter moved along the alphabet."""

    name = "caesar_shift"
    category = "synthetic"
    answer_type = "string"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (5, 26, 26, 26), (25, *(26,) * 4), (25, *(26,) * 6))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        shift = values[0] + 1
        letters = [ALPHABET[value] for value in values[1:]]
        text = " ".join(letters)
        prompt = surface.pick(
            (f"Shift {text} by {shift}.", f"Move each letter of {text} on by {shift}.")
        )
        steps = tuple(
            WorkStep("shift", (letter, str(shift)), ALPHABET[(ALPHABET.index(letter) + shift) % 26])
            for letter in letters
        )
        return Question(prompt, steps, " ".join(step.output for step in steps))

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        doubled = ALPHABET + ALPHABET
        return " ".join(doubled[value + values[0] + 1] for value in values[1:])
