"""Buying, paying, earning."""

from __future__ import annotations

from tunix_generators.families._common import GOODS, NAMES, by_level, count_of, number
from tunix_generators.family import Family, Question
from tunix_generators.permutation import Surface
from tunix_generators.work import add, divide, multiply, plan, subtract


class ShoppingChange(Family):
    """Change after buying several of one thing."""

    name = "shopping_change"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return (count_of(level), count_of(level), by_level(level, (20,), (90,), (900,))[0])

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        count, price, change = number(level, values[0]), number(level, values[1]), values[2] + 1
        paid = count * price + change
        who, goods = surface.pick(NAMES), surface.pick(GOODS)
        prompt = surface.pick(
            (
                f"{who} buys {count} {goods} at {price} each and pays {paid}. "
                "How much change is due?",
                f"{who} pays {paid} for {count} {goods} that cost {price} each. "
                "What is the change?",
                f"At {price} each, {who} takes {count} {goods} and gives {paid}. "
                "How much comes back?",
            )
        )
        cost = count * price
        steps = (
            plan("cost", "change"),
            multiply(count, price),
            subtract(paid, cost),
            add(cost, change, "verify"),
        )
        return Question(prompt, steps, steps[2].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return str(values[2] + 1)


class MixedPurchase(Family):
    """The total of two purchases; the smaller count is the first parameter."""

    name = "mixed_purchase"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (6, 3, 8, 8), (90, 20, 90, 90), (900, 20, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        few = number(level, values[0])
        many = few + 1 + values[1]
        first, second = number(level, values[2]), number(level, values[3])
        who = surface.pick(NAMES)
        one, other = surface.pick_two(GOODS)
        prompt = surface.pick(
            (
                f"{who} buys {few} {one} at {first} each and {many} {other} at {second} each. "
                "What is the total?",
                f"The {one} cost {first} each, the {other} {second}. "
                f"{who} takes {few} {one} and {many} {other}. What does it cost?",
            )
        )
        total = few * first + many * second
        steps = (
            plan("each cost", "total"),
            multiply(few, first),
            multiply(many, second),
            add(few * first, many * second),
            subtract(total, many * second, "verify"),
        )
        return Question(prompt, steps, steps[3].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        few, first, second = (number(level, values[k]) for k in (0, 2, 3))
        return str(few * (first + second) + (1 + values[1]) * second)


class FenceCost(Family):
    """The cost of a fence around a rectangle; the shorter side is the first parameter."""

    name = "fence_cost"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (11, 24, 4), (90, 90, 90), (900, 900, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        width = number(level, values[0]) + (3 if level == 2 else 0)
        length, price = width + values[1], number(level, values[2])
        who = surface.pick(NAMES)
        prompt = surface.pick(
            (
                f"{who} fences a garden {width} m by {length} m. A metre costs {price}. "
                "What does the fence cost?",
                f"A field is {length} m long and {width} m wide. Fence costs {price} a metre. "
                f"How much does {who} pay to fence it?",
            )
        )
        half = width + length
        steps = (
            plan("border", "cost"),
            add(width, length),
            multiply(half, 2),
            multiply(half * 2, price),
            divide(half * 2 * price, price, "verify"),
        )
        return Question(prompt, steps, steps[3].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        width = number(level, values[0]) + (3 if level == 2 else 0)
        return str(number(level, values[2]) * (4 * width + 2 * values[1]))


class WorkPay(Family):
    """Pay for some days of work from one hour to another."""

    name = "work_pay"
    category = "reasoning"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (7, 7, 8, 3), (7, 7, 90, 90), (7, 7, 2500, 2500))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        begin, hours = 6 + values[0], 3 + values[1]
        rate, days = self._rate_and_days(level, values)
        who = surface.pick(NAMES)
        prompt = surface.pick(
            (
                f"{who} works from {begin} to {begin + hours} for {days} days at {rate} an hour. "
                "What is the pay?",
                f"At {rate} an hour, what does {who} earn in {days} days "
                f"from {begin} to {begin + hours}?",
            )
        )
        daily = hours * rate
        steps = (
            plan("hours", "pay"),
            subtract(begin + hours, begin),
            multiply(hours, rate),
            multiply(daily, days),
            divide(daily * days, days, "verify"),
        )
        return Question(prompt, steps, steps[3].output)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        rate, days = self._rate_and_days(level, values)
        return str((3 + values[1]) * days * rate)

    @staticmethod
    def _rate_and_days(level: int, values: tuple[int, ...]) -> tuple[int, int]:
        days = (2, 5, 100)[level - 1] + values[3]
        return number(level, values[2]), days
