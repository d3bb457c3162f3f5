"""Re-executing shown work, and spoiling it on purpose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count, zip_longest
from typing import Literal, get_args

from attrs import evolve, frozen

from tunix_core.records import StepVerdict
from tunix_generators.permutation import Surface
from tunix_generators.work import (
    OPERATIONS,
    WorkStep,
    holds,
    meaning,
    parse_line,
    render_step,
)

Kind = Literal["number", "operator", "word", "dropped", "swapped", "carried"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OPERATORS = (("+", "-", "*"), ("/", "%"), ("<", ">"), ("and", "or"), ("left", "right"))


def check_work(required: Sequence[WorkStep], text: str) -> list[StepVerdict]:
    """Judge every line: it must state an operation, the operation must hold when it is executed
    again, and it must be the one that is needed there, whatever the wording.

    A missing line is judged too, as an empty one.
    """
    lines = text.split("\n") if text else []
    verdicts = []
    for number, (line, step) in enumerate(zip_longest(lines, required), start=1):
        reason = _fault(line, step)
        verdicts.append(StepVerdict(number, line or "", reason is None, reason))
    return verdicts


def _fault(line: str | None, required: WorkStep | None) -> str | None:
    if line is None:
        return "a step is missing"
    stated = parse_line(line)
    if stated is None:
        return "not a step that can be executed"
    if not holds(stated):
        result = OPERATIONS[stated.op].execute(*stated.inputs)
        return f"does not hold: the result is {result}"
    if required is None:
        return "one step too many"
    if meaning(stated) != meaning(required):
        return "not the step that is needed here"
    return None


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
        steps: Work that is right, at least one step.
        key: Chooses what is done and where.
    """
    # Every step can be dropped, so that some attempt succeeds for any work.
    attempts = (_attempt(steps, Surface(f"{key}/{attempt}")) for attempt in count())
    return next(spoilt for spoilt in attempts if spoilt is not None)


def _attempt(steps: Sequence[WorkStep], surface: Surface) -> Corruption | None:
    kind = surface.pick(KINDS)
    lines = [render_step(step, surface.below(2)) for step in steps]
    right = tuple(lines)
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
    line = _first_difference(right, lines)
    return None if line is None else Corruption("\n".join(lines), line, kind)


def _first_difference(right: Sequence[str], lines: Sequence[str]) -> int | None:
    """Number of the first line that does not say the same."""
    for number, (one, other) in enumerate(zip_longest(right, lines), start=1):
        if one is None or other is None or not _same(one, other):
            return number
    return None


def _same(line: str, other: str) -> bool:
    """Whether two lines say the same: operands that commute may have changed places."""
    first, second = parse_line(line), parse_line(other)
    if first is None or second is None:
        return False
    return (meaning(first), first.output) == (meaning(second), second.output)


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
