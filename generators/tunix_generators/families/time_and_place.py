"""Clocks, calendars, directions, orders and rules."""

from __future__ import annotations

from itertools import pairwise

from tunix_generators.families._common import NAMES, by_level, permutation
from tunix_generators.family import Family, Question
from tunix_generators.permutation import Surface
from tunix_generators.work import COMPASS, DAYS, Role, WorkStep, add, multiply, plan, subtract


class ScheduleTime(Family):
    """When something ends."""

    name = "schedule_time"
    category = "reasoning"
    answer_type = "string"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (12, 12, 11), (12, 60, 120), (9, 60, 90, 90, 90))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        hour, minute, parts = self._times(level, values)
        thing = surface.pick(("lesson", "film", "meeting", "match"))
        long = " and ".join(str(part) for part in parts)
        prompt = surface.pick(
            (
                f"A {thing} starts at {hour}:{minute:02} and takes {long} minutes. "
                "When does it end?",
                f"The {thing} begins at {hour}:{minute:02}. After {long} minutes it is over. "
                "What time is it then?",
            )
        )
        steps = [plan("minutes", "time")]
        for part in parts:
            steps.append(add(minute, part))
            minute += part
        over = minute // 60
        if over:
            if over > 1:
                steps.append(multiply(over, 60))
            steps += [subtract(minute, over * 60), add(hour, over)]
            minute, hour = minute - over * 60, hour + over
        end = f"{hour}:{minute:02}"
        steps.append(WorkStep("clock", (str(hour), str(minute)), end))
        return Question(prompt, tuple(steps), end)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        hour, minute, parts = self._times(level, values)
        hours, minutes = divmod(hour * 60 + minute + sum(parts), 60)
        return f"{hours}:{minutes:02}"

    @staticmethod
    def _times(level: int, values: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        if level == 1:
            return 7 + values[0], 5 * values[1], (5 + 5 * values[2],)
        low = 60 if level == 2 else 30
        return 7 + values[0], values[1], tuple(low + value for value in values[2:])


class CalendarDay(Family):
    """The day of the week after some days."""

    name = "calendar_day"
    category = "reasoning"
    answer_type = "choice"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (7, 150), (7, 10_000), (7, 43_000_000))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        day, days = DAYS[values[0]], self._days(level, values)
        prompt = surface.pick(
            (
                f"Today is {day}. Which day is it in {days} days?",
                f"It is {day}. What day comes {days} days later?",
                f"A trip starts on {day} and takes {days} days. On which day does it end?",
            )
        )
        weeks = days // 7
        rest = days - weeks * 7
        end = DAYS[(values[0] + rest) % 7]
        steps = (
            plan("weeks", "rest"),
            multiply(weeks, 7),
            subtract(days, weeks * 7),
            WorkStep("day", (day, str(rest)), end),
        )
        return Question(prompt, steps, end)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return DAYS[(values[0] + self._days(level, values)) % 7]

    @staticmethod
    def _days(level: int, values: tuple[int, ...]) -> int:
        return (8, 158, 100_000)[level - 1] + values[1]


class CompassTurns(Family):
    """The direction after some turns, each an eighth of a circle or more."""

    name = "compass_turns"
    category = "reasoning"
    answer_type = "choice"

    TURNS = (3, 5, 10)

    def sizes(self, level: int) -> tuple[int, ...]:
        return (8, *(6,) * self.TURNS[level - 1])

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        direction = COMPASS[values[0]]
        turns = [("right" if value < 3 else "left", value % 3 + 1) for value in values[1:]]
        told = ", ".join(f"{side} {eighths}" for side, eighths in turns)
        who = surface.pick(NAMES)
        prompt = surface.pick(
            (
                f"{who} faces {direction} and turns by eighths: {told}. Which way does that lead?",
                f"A robot looks {direction}. It turns {told} (in eighths). Where does it look?",
            )
        )
        steps = []
        for side, eighths in turns:
            place = COMPASS.index(direction) + (eighths if side == "right" else -eighths)
            turned = COMPASS[place % 8]
            steps.append(WorkStep(side, (direction, str(eighths)), turned))
            direction = turned
        return Question(prompt, tuple(steps), direction)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        net = sum(value + 1 if value < 3 else 2 - value for value in values[1:])
        return COMPASS[(values[0] + net) % 8]


class OrderingPeople(Family):
    """Who stands where in an order that is told in pairs."""

    name = "ordering_people"
    category = "reasoning"
    answer_type = "choice"

    PEOPLE = (3, 4, 7)
    POSITIONS = ("first", "last", "second", "third")
    POSITIONS_AT = (0, -1, 1, 2)
    SCALES = (
        ("taller", "tallest", "shortest"),
        ("older", "oldest", "youngest"),
        ("faster", "fastest", "slowest"),
    )

    def sizes(self, level: int) -> tuple[int, ...]:
        pool, people = (24 if level == 3 else 12), self.PEOPLE[level - 1]
        return (*(pool - k for k in range(people)), 3 if level == 1 else 4)

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        people = self._people(level, values)
        position = self.POSITIONS[values[-1]]
        more, most, least = self.SCALES[surface.below(3)]
        pairs = [f"{a} is {more} than {b}." for a, b in pairwise(people)]
        if surface.below(2):
            pairs.reverse()
        asked = {"first": most, "last": least}.get(position, f"{position} {most}")
        prompt = f"{' '.join(pairs)} Who is the {asked}?"
        order = f"{people[0]} > {people[1]}"
        steps = [plan("order", position)]
        for a, b in pairwise(people[1:]):
            longer = f"{order} > {b}"
            steps.append(WorkStep("chain", (order, f"{a} > {b}"), longer))
            order = longer
        answer = order.split(" > ")[self.POSITIONS_AT[values[-1]]]
        steps.append(WorkStep("pick", (position, order), answer))
        return Question(prompt, tuple(steps), answer)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return self._people(level, values)[self.POSITIONS_AT[values[-1]]]

    @staticmethod
    def _people(level: int, values: tuple[int, ...]) -> list[str]:
        pool = 24 if level == 3 else 12
        return [NAMES[k] for k in permutation(values[:-1], pool)]


class EntryRule(Family):
    """Whether a rule with two bounds lets somebody in free."""

    name = "entry_rule"
    category = "reasoning"
    answer_type = "boolean"

    def sizes(self, level: int) -> tuple[int, ...]:
        return by_level(level, (10, 6, 2, 10), (90, 90, 2, 90), (900, 900, 2, 900))

    def question(self, level: int, values: tuple[int, ...], surface: Surface) -> Question:
        low, high, value = self._numbers(level, values)
        who = surface.pick(NAMES)
        prompt = surface.pick(
            (
                f"Entry is free under {low} or over {high}. {who} is {value}. Is it free?",
                f"A parcel goes by hand if it weighs less than {low} or more than {high}. "
                f"This one weighs {value}. Does it go by hand?",
                f"An alarm rings below {low} or above {high} degrees. It is {value}. Does it ring?",
            )
        )
        below, above = ("yes" if test else "no" for test in (value < low, value > high))
        answer = "yes" if "yes" in (below, above) else "no"
        role: Role = "verify"
        steps = (
            plan("each bound", "rule"),
            WorkStep("less", (str(value), str(low)), below),
            WorkStep("greater", (str(value), str(high)), above),
            WorkStep("either", (below, above), answer, role),
        )
        return Question(prompt, steps, answer)

    def answer(self, level: int, values: tuple[int, ...]) -> str:
        return "no" if values[2] else "yes"

    def _numbers(self, level: int, values: tuple[int, ...]) -> tuple[int, int, int]:
        offsets = self.sizes(level)[3]
        low = offsets // 2 + values[0]
        gap = 2 * offsets + values[1]
        if values[2]:
            return low, low + gap, low + values[3] * (gap // offsets)
        if values[3] < offsets // 2:
            return low, low + gap, low - 1 - values[3]
        return low, low + gap, low + gap + 1 + values[3] - offsets // 2
