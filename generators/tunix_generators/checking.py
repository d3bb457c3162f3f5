"""Re-executing shown work, and spoiling it on purpose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from typing import Literal, get_args

from attrs import evolve, frozen

from tunix_core.records import StepVerdict
from tunix_generators.permutation import Surface
from tunix_generators.work import (
    LEADS,
    OPERATIONS,
    Meaning,
    WorkStep,
    holds,
    meaning,
    parse_line,
    render_step,
)

Kind = Literal["number", "operator", "word", "dropped", "swapped", "carried"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# The item's own, and one in other words.
MAX_PLANS = 2
_NOT_NEEDED = "not the step that is needed here"
_OPERATORS = (("+", "-", "*"), ("/", "%"), ("<", ">"), ("and", "or"), ("left", "right"))


def check_work(required: Sequence[WorkStep], text: str) -> list[StepVerdict]:
    """Judge every line: it must state an operation, the operation must hold when it is executed
    again, and it must be one that is needed, whatever the wording.

    A step may come as soon as the results that it takes are there. A plan may be left out or come
    with another, as long as it comes before the work. Blank lines say nothing; a missing line is
    judged too, as an empty one.
    """
    lines = text.split("\n") if text else []
    if _is_as_made(required, lines):
        return [StepVerdict(number, line, True) for number, line in enumerate(lines, start=1)]
    stated = [parse_line(line) for line in lines]
    matching = _Matching(required, [step for step in stated if step is not None])
    verdicts = []
    for number, (line, step) in enumerate(zip(lines, stated, strict=True), start=1):
        reason = matching.fault(step) if line.strip() else None
        verdicts.append(StepVerdict(number, line, reason is None, reason))
    for number in range(len(lines) + 1, len(lines) + 1 + matching.missing):
        verdicts.append(StepVerdict(number, "", False, "a step is missing"))
    return verdicts


def _is_as_made(required: Sequence[WorkStep], lines: Sequence[str]) -> bool:
    """Whether work that holds is shown just as it is made: most is, and costs a third then."""
    if len(lines) != len(required):
        return False
    for line, step in zip(lines, required, strict=True):
        shown = OPERATIONS[step.op].render(step)
        if not line.endswith(shown) or line.removesuffix(shown) not in LEADS[step.role]:
            return False
    return all(map(holds, required))


class _Matching:
    """Lines, one after the other, held against the steps that are needed.

    Args:
        required: The steps that are needed.
        stated: What the lines state, those that state something.
    """

    def __init__(self, required: Sequence[WorkStep], stated: Sequence[WorkStep]) -> None:
        self._rests_on = rests_on(required)
        self._open = {n: meaning(step) for n, step in enumerate(required) if step.op != "plan"}
        self._begun = False
        # Faulty lines, each of which may be meant as one of the steps that are open.
        self._faulty = 0
        own = {meaning(step) for step in required if step.op == "plan"}
        said = {meaning(step) for step in stated if step.op == "plan"}
        # A plan in place of the item's own is not right; one beside it is.
        self._replaces_plan = bool(own) and own.isdisjoint(said)
        self._plans: set[Meaning] = set()

    @property
    def missing(self) -> int:
        """How many steps no line stands for, right or wrong."""
        return max(0, len(self._open) - self._faulty)

    def fault(self, stated: WorkStep | None) -> str | None:
        """What is wrong with the next line, or None."""
        if stated is not None and stated.op == "plan":
            return self._fault_of_plan(meaning(stated))
        self._begun = self._begun or stated is not None
        reason = "not a step that can be executed" if stated is None else self._fault_of(stated)
        self._faulty += reason is not None
        return reason

    def _fault_of_plan(self, said: Meaning) -> str | None:
        if self._begun or said in self._plans or len(self._plans) == MAX_PLANS:
            return "one step too many"
        self._plans.add(said)
        return _NOT_NEEDED if self._replaces_plan else None

    def _fault_of(self, stated: WorkStep) -> str | None:
        if not holds(stated):
            result = OPERATIONS[stated.op].execute(*stated.inputs)
            return f"does not hold: the result is {result}"
        if not self._open:
            return "one step too many"
        said = meaning(stated)
        meant = [
            {place, *self._rests_on[place] & self._open.keys()}
            for place, needed in self._open.items()
            if needed == said
        ]
        closed = min(meant, key=len, default=self._open)
        # A result that it takes may have been shown in a faulty line, but not left out.
        if not meant or len(closed) - 1 > self._faulty:
            return _NOT_NEEDED
        self._faulty -= len(closed) - 1
        for place in closed:
            del self._open[place]
        return None


def rests_on(steps: Sequence[WorkStep]) -> list[set[int]]:
    """For each step the places of the earlier ones whose results it takes.

    A value is taken from the step that gave it last; steps that take what the question says
    (:attr:`Operation.given`) take none, those that go on with a rest take what came before them.
    """
    found: list[set[int]] = []
    for place, step in enumerate(steps):
        operation = OPERATIONS[step.op]
        earlier = range(place - 1, -1, -1)
        taken = {p for p in earlier if operation.goes_on and steps[p].op == step.op}
        for value in () if operation.given else step.inputs:
            source = next((p for p in earlier if steps[p].output == value and p not in taken), None)
            taken |= set() if source is None else {source}
        found.append(taken)
    return found


@frozen
class Corruption:
    """Work with a fault in it.

    Args:
        text: The spoilt work.
        line: Line number of the first fault, from 1.
        kind: What was done to it.
    """

    text: str
    line: int
    kind: Kind


def corrupt(steps: Sequence[WorkStep], key: str) -> Corruption:
    """Spoil work in a way that changes its meaning.

    Args:
        steps: Work that is right, at least one step besides a plan.
        key: Chooses what is done and where.
    """
    # Every step but a plan can be dropped, so that some attempt succeeds for any work.
    attempts = (_attempt(steps, Surface(f"{key}/{attempt}")) for attempt in count())
    return next(spoilt for spoilt in attempts if spoilt is not None)


def _attempt(steps: Sequence[WorkStep], surface: Surface) -> Corruption | None:
    """Work with a fault in it, or None where what was done to it left it right."""
    kind = surface.pick(KINDS)
    lines = [render_step(step, surface.below(2)) for step in steps]
    place = surface.below(len(steps))
    if kind == "dropped":
        del lines[place]
    elif kind == "swapped":
        other = (place + 1) % len(steps)
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == "carried":
        carried = _carry(steps, place, surface)
        if carried is None:
            return None
        lines = [render_step(step) for step in carried]
    else:
        lines[place] = _SPOIL[kind](lines[place], surface) or lines[place]
    text = "\n".join(lines)
    line = next((verdict.line for verdict in check_work(steps, text) if not verdict.ok), None)
    return None if line is None else Corruption(text, line, kind)


def _carry(steps: Sequence[WorkStep], place: int, surface: Surface) -> list[WorkStep] | None:
    """A wrong result that later steps go on with, each right in itself."""
    if not re.fullmatch(r"-?\d+", steps[place].output):
        return None
    right = steps[place].output
    wrong = str(int(right) + 1 + surface.below(9))
    carried = list(steps)
    carried[place] = evolve(steps[place], output=wrong)
    for later in range(place + 1, len(steps)):
        inputs = tuple(wrong if text == right else text for text in steps[later].inputs)
        if inputs != steps[later].inputs:
            output = OPERATIONS[steps[later].op].execute(*inputs)
            carried[later] = evolve(steps[later], inputs=inputs, output=output)
    return carried


def _spoil_number(line: str, surface: Surface) -> str | None:
    numbers = list(re.finditer(r"\d+", line))
    if not numbers:
        return None
    match = numbers[surface.below(len(numbers))]
    other = str(int(match.group()) + 1 + surface.below(9))
    return line[: match.start()] + other + line[match.end() :]


def _spoil_operator(line: str, surface: Surface) -> str | None:
    signs = list(re.finditer(r" ([-+*/%<>]|and|or|left|right) ", line))
    if not signs:
        return None
    match = signs[surface.below(len(signs))]
    present = match.group(1)
    group = next(group for group in _OPERATORS if present in group)
    others = tuple(sign for sign in group if sign != present)
    return line[: match.start(1)] + surface.pick(others) + line[match.end(1) :]


def _spoil_word(line: str, surface: Surface) -> str | None:
    """Exchange two different words of the same sort: names, days, letters, truth values."""
    words = list(re.finditer(r"\b(?:[A-Z][a-z]+|[a-z]|north\w*|south\w*|east|west)\b", line))
    if len({match.group() for match in words}) < 2:
        return None
    first = words[surface.below(len(words))]
    others = [m for m in words if m.group() != first.group()]
    second = others[surface.below(len(others))]
    first, second = sorted((first, second), key=lambda m: m.start())
    return (
        line[: first.start()]
        + second.group()
        + line[first.end() : second.start()]
        + first.group()
        + line[second.end() :]
    )


_SPOIL = {"number": _spoil_number, "operator": _spoil_operator, "word": _spoil_word}
