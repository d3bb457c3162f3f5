"""Amounts that are moved, shared, scaled and converted."""

from __future__ import annotations

from tunix_generators.families._common import GOODS, NAMES, by_level, number
from tunix_generators.family import Family, Question
from tunix_generators.permutation import Surface
from tunix_generators.work import add, divide, multiply, plan, subtract


class StockFlow(Family):
    """What is left after some goes and some comes."""

    name = "stock_flow"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (12, 12, 12), (90, 90, 90), (900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        low = (1, 13, 103)[level - 1]
        left, gone, come = (low + value for value in values)
        stock = left + gone
        who, goods = surface.pick(NAMES), surface.pick(GOODS)
        prompt = surface.pick(
            (
                f"{who} has {stock} {goods}, sells {gone} and gets {come} more. "
                f"How many {goods} are there?",
                f"Of {stock} {goods}, {who} gives {gone} away and then finds {come}. "
                "How many are there now?",
                f"A shop has {stock} {goods}. {gone} are sold, {come} are brought. "
                "How many are there?",
            )
        )
        steps = (
            plan("left", "now"),
            subtract(stock, gone),
            add(left, come),
            subtract(left + come, come, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return str(values[0] + values[2] + 2 * (1, 13, 103)[level - 1])


class FairSharing(Family):
    """Shared equally, then each uses some."""

    name = "fair_sharing"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (8, 12, 12), (90, 90, 90), (900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        people, used, left = number(level, values[0]), values[1] + 1, values[2] + 1
        share = used + left
        total = people * share
        goods = surface.pick(GOODS)
        prompt = surface.pick(
            (
                f"{people} friends share {total} {goods} equally. Each uses {used}. "
                "How many does each have left?",
                f"{total} {goods} go equally to {people} rooms. "
                f"In every room {used} break. How many are left in a room?",
            )
        )
        steps = (
            plan("share", "left"),
            divide(total, people),
            subtract(share, used),
            multiply(share, people, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return str(values[2] + 1)


class RecipeScaling(Family):
    """An amount for some people, for others."""

    name = "recipe_scaling"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (8, 12, 12), (90, 90, 90), (900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        people, each, guests = number(level, values[0]), values[1] + 2, values[2] + 2
        amount = people * each
        food = surface.pick(("flour", "rice", "milk", "sugar"))
        prompt = surface.pick(
            (
                f"A recipe for {people} people takes {amount} g of {food}. "
                f"How much is it for {guests}?",
                f"{amount} g of {food} feed {people} people. How many g feed {guests}?",
            )
        )
        steps = (
            plan("one", "all"),
            divide(amount, people),
            multiply(each, guests),
            divide(each * guests, guests, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        people = number(level, values[0])
        return str(people * (values[1] + 2) * (values[2] + 2) // people)


class UnitConversion(Family):
    """A length, a time or a weight in its smaller unit."""

    name = "unit_conversion"
    category = "reasoning"

    UNITS = (
        ("m", "cm", 100),
        ("hours", "minutes", 60),
        ("kg", "g", 1000),
        ("weeks", "days", 7),
        ("years", "months", 12),
    )

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (5, 11, 20), (5, 90, 90), (5, 9000, 9000))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        large, small, factor = self.UNITS[values[0]]
        much, more = self._amounts(level, values)
        prompt = surface.pick(
            (
                f"How many {small} are {much} {large} and {more} {small}?",
                f"Write {much} {large} and {more} {small} in {small}.",
            )
        )
        whole = much * factor
        steps = (
            plan("whole", "sum"),
            multiply(much, factor),
            add(whole, more),
            subtract(whole + more, more, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        much, more = self._amounts(level, values)
        return str(sum([self.UNITS[values[0]][2]] * much) + more)

    @staticmethod
    def _amounts(level: int, values: tuple[int, ...]) -> tuple[int, int]:
        return (2, 13, 1000)[level - 1] + values[1], 1 + values[2]


class AgePuzzle(Family):
    """An age from a difference, some years on."""

    name = "age_puzzle"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (10, 11, 10), (90, 90, 90), (900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        more, age, years = self._numbers(level, values)
        older, younger = surface.pick_two(
            NAMES if level == 1 else ("the oak", "the elm", "the castle", "the bridge", "the inn")
        )
        prompt = surface.pick(
            (
                f"{older} is {more} years older than {younger}. {younger} is {age}. "
                f"How old is {older} in {years} years?",
                f"{younger} is {age} and {older} is {more} years older. "
                f"What is the age of {older} after {years} years?",
            )
        )
        steps = (
            plan("age now", "age then"),
            add(age, more),
            add(age + more, years),
            subtract(age + more + years, years, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return str(sum(self._numbers(level, values)))

    @staticmethod
    def _numbers(level: int, values: tuple[int, ...]) -> tuple[int, int, int]:
        low = (1, 11, 101)[level - 1]
        return low + values[0], low + 1 + values[1], low + values[2]


class RateDistance(Family):
    """A distance at a steady speed, and a bit more."""

    name = "rate_distance"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (11, 8, 12), (90, 90, 90), (900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        speed, hours, more = self._numbers(level, values)
        who = surface.pick(NAMES)
        prompt = surface.pick(
            (
                f"{who} rides {speed} km an hour for {hours} hours, then {more} km more. "
                "How far is that?",
                f"After {hours} hours at {speed} km an hour, {who} goes on for {more} km. "
                "How many km in all?",
            )
        )
        way = speed * hours
        steps = (
            plan("ride", "sum"),
            multiply(speed, hours),
            add(way, more),
            subtract(way + more, more, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        speed, hours, more = self._numbers(level, values)
        return str(sum([speed] * hours) + more)

    @staticmethod
    def _numbers(level: int, values: tuple[int, ...]) -> tuple[int, int, int]:
        speed = number(level, values[0]) + (3 if level == 2 else 0)
        return speed, number(level, values[1]), values[2] + 1


class MeanScore(Family):
    """The mean of three scores; the middle deviation is smaller than the largest."""

    name = "mean_score"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (44, 5, 5), (900, 20, 20), (9000, 200, 200))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        scores = self._scores(level, values)
        turn = surface.below(3)
        a, b, c = scores[turn:] + scores[:turn]
        who = surface.pick(NAMES)
        prompt = surface.pick(
            (
                f"{who} scores {a}, {b} and {c}. What is the mean?",
                f"What is the average of the scores {a}, {b} and {c}?",
            )
        )
        total = a + b + c
        steps = (
            plan("sum", "mean"),
            add(a, b),
            add(a + b, c),
            divide(total, 3),
            multiply(total // 3, 3, "verify"),
        )
        return Question(prompt, steps, steps[3].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return str((20, 100, 1000)[level - 1] + values[0])

    @staticmethod
    def _scores(level: int, values: tuple[int, ...]) -> list[int]:
        mean = (20, 100, 1000)[level - 1] + values[0]
        less, least = values[1], values[1] + 1 + values[2]
        return [mean - least, mean - less, mean + less + least]
