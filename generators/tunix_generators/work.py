"""Structured steps: operations that can be rendered to text, parsed back, and re-executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal

from attrs import frozen

from tunix_generators.wording import plain

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
COMPASS = (
    "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
)  # fmt: skip
ALPHABET = "abcdefghijklmnopqrstuvwxyz"

Role = Literal["decompose", "compute", "verify"]
Meaning = tuple[str, tuple[str, ...], Role]

# Words that may stand before a step; each belongs to one role.
LEADS: dict[Role, tuple[str, ...]] = {
    "decompose": ("plan: ", "find: "),
    "compute": ("", "so "),
    "verify": ("check: ", "test: "),
}


@frozen
class WorkStep:
    """One operation of shown work.

    Args:
        op: Name of the operation.
        inputs: Its operands as text.
        output: Its result as text.
        role: Whether it splits the problem up, computes, or verifies.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    role: Role = "compute"


@frozen
class Operation:
    """How an operation reads, and what it does.

    Args:
        form: Text with ``{0}``, ``{1}``, ... for operands and ``{out}`` for the result.
        operands: A regular expression for each operand.
        result: A regular expression for the result.
        execute: The result of the operands, computed from their text alone.
        commutes: Whether the operands may change places.
        given: Whether the operands are always those of the question, never another step's result.
        goes_on: Whether it goes on with what the same operation left.
    """

    form: str
    operands: tuple[str, ...]
    result: str
    execute: Callable[..., str]
    commutes: bool = False
    given: bool = False
    goes_on: bool = False

    def render(self, step: WorkStep) -> str:
        return self.form.format(*step.inputs, out=step.output)

    def pattern(self) -> re.Pattern[str]:
        """What the operation looks like; any of ``=``, ``is`` and ``:`` may lead to the result."""
        shown, *told = self.form.rsplit(" ", 2) if "{out}" in self.form else [self.form]
        text = re.escape(shown) + (rf" (?:=|is|:) ({self.result})" if told else "")
        for place, operand in enumerate(self.operands):
            text = text.replace(rf"\{{{place}\}}", f"({operand})")
        return re.compile(text)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _pick(position: str, chain: str) -> str:
    names = chain.split(" > ")
    place = {"first": 0, "last": len(names) - 1, "second": 1, "third": 2}[position]
    return names[place] if place < len(names) else "nothing"


def _chain(first: str, second: str) -> str:
    left, right = first.split(" > "), second.split(" > ")
    return " > ".join(left + right[1:]) if left[-1] == right[0] else "nothing"


def _smallest(numbers: str) -> str:
    return str(min(int(number) for number in numbers.split()))


def _letter(place: str, letters: str) -> str:
    parts = letters.split()
    number = int(place)
    return parts[number - 1] if 1 <= number <= len(parts) else "nothing"


# Long enough for every item, short enough that no text makes the arithmetic slow.
_DIGITS = r"[0-9]{1,18}"
_INT = rf"-?{_DIGITS}"
_WORD = r"[A-Za-z]+"
_PHRASE = r"[a-z]+(?: [a-z]+)*"
_DAY = "|".join(DAYS)
_DIRECTION = "|".join(sorted(COMPASS, key=len, reverse=True))
_TRUTH = "True|False"
_ANSWER = "yes|no"
_PLACES = "first|last|second|third"
_FIXED = (_TRUTH, _ANSWER, _PLACES)
_ORDER = r"[A-Z][a-z]+(?: > [A-Z][a-z]+)+"
_LETTERS = r"[a-z](?: [a-z])*"
_NUMBERS = rf"{_INT}(?: {_INT})*"
_WHOLE = re.compile(_INT)

OPERATIONS: Mapping[str, Operation] = {
    "plan": Operation("{0} then {1}", (rf"{_PHRASE}?", _PHRASE), "", lambda *_: ""),
    "add": Operation(
        "{0} + {1} = {out}", (_INT, _INT), _INT, lambda a, b: str(int(a) + int(b)), True
    ),
    "subtract": Operation(
        "{0} - {1} = {out}", (_INT, _INT), _INT, lambda a, b: str(int(a) - int(b))
    ),
    "multiply": Operation(
        "{0} * {1} = {out}", (_INT, _INT), _INT, lambda a, b: str(int(a) * int(b)), True
    ),
    "divide": Operation(
        "{0} / {1} = {out}",
        (_INT, _INT),
        _INT,
        lambda a, b: str(Fraction(int(a), int(b))) if int(b) else "nothing",
    ),
    "remainder": Operation(
        "{0} % {1} = {out}",
        (_INT, _INT),
        _INT,
        lambda a, b: str(int(a) % int(b)) if int(b) else "nothing",
    ),
    "clock": Operation(
        "{0} h {1} min is {out}",
        (_DIGITS, _DIGITS),
        rf"{_DIGITS}:[0-9][0-9]",
        lambda h, m: f"{int(h)}:{m:0>2}",
    ),
    "day": Operation(
        "{0} + {1} days is {out}",
        (_DAY, _DIGITS),
        _DAY,
        lambda day, n: DAYS[(DAYS.index(day) + int(n)) % 7],
    ),
    "right": Operation(
        "{0} right {1} is {out}",
        (_DIRECTION, _DIGITS),
        _DIRECTION,
        lambda d, n: COMPASS[(COMPASS.index(d) + int(n)) % 8],
    ),
    "left": Operation(
        "{0} left {1} is {out}",
        (_DIRECTION, _DIGITS),
        _DIRECTION,
        lambda d, n: COMPASS[(COMPASS.index(d) - int(n)) % 8],
    ),
    "less": Operation(
        "{0} < {1} : {out}",
        (_INT, _INT),
        _ANSWER,
        lambda a, b: _yes(int(a) < int(b)),
        given=True,
    ),
    "greater": Operation(
        "{0} > {1} : {out}",
        (_INT, _INT),
        _ANSWER,
        lambda a, b: _yes(int(a) > int(b)),
        given=True,
    ),
    "either": Operation(
        "{0} or {1} is {out}", (_ANSWER, _ANSWER), _ANSWER, lambda a, b: _yes("yes" in (a, b)), True
    ),
    "chain": Operation("{0} and {1} : {out}", (_ORDER, _ORDER), _ORDER, _chain),
    "pick": Operation("{0} of {1} is {out}", (_PLACES, _ORDER), _WORD, _pick),
    "and": Operation(
        "{0} and {1} = {out}",
        (_TRUTH, _TRUTH),
        _TRUTH,
        lambda a, b: str(a == "True" and b == "True"),
        True,
    ),
    "or": Operation(
        "{0} or {1} = {out}",
        (_TRUTH, _TRUTH),
        _TRUTH,
        lambda a, b: str(a == "True" or b == "True"),
        True,
    ),
    "not": Operation("not {0} = {out}", (_TRUTH,), _TRUTH, lambda a: str(a != "True"), given=True),
    "reverse": Operation(
        "{0} backwards is {out}", (_LETTERS,), _LETTERS, lambda s: " ".join(s.split()[::-1])
    ),
    "smallest": Operation("smallest of {0} is {out}", (_NUMBERS,), _INT, _smallest, goes_on=True),
    "letter": Operation("letter {0} of {1} is {out}", (_DIGITS, _LETTERS), "[a-z]", _letter),
    "shift": Operation(
        "{0} + {1} is {out}",
        ("[a-z]", _DIGITS),
        "[a-z]",
        lambda a, n: ALPHABET[(ALPHABET.index(a) + int(n)) % 26],
        given=True,
    ),
}

# Characters; no item needs a fifth of it.
MAX_LINE = 1000

_PATTERNS = {name: operation.pattern() for name, operation in OPERATIONS.items()}
_ROLES: dict[str, Role] = {
    lead.strip(" :"): role for role, leads in LEADS.items() for lead in leads if lead
}
_WORDS = {
    word.casefold(): word
    for text in (*(op.form for op in OPERATIONS.values()), *_ROLES, *DAYS, *COMPASS, *_FIXED)
    for word in re.findall(r"[A-Za-z]+", text.replace("{out}", ""))
}


def render_step(step: WorkStep, variant: int = 0) -> str:
    """A step as a line of text; ``variant`` chooses among the wordings of its role."""
    leads = LEADS[step.role]
    return leads[variant % len(leads)] + OPERATIONS[step.op].render(step)


def parse_line(line: str) -> WorkStep | None:
    """The step that a line states, whether it holds or not; None when it states none.

    Spacing, the sign that is written for an operation, list marks, emphasis and the case of words
    that are no names make no difference.
    """
    if len(line) > MAX_LINE:
        return None
    # Most lines are spelt as work is made, and cost a fifth then.
    return _parse(line) or _parse(plain(line, _WORDS))


def _parse(text: str) -> WorkStep | None:
    lead, _, rest = text.partition(" ")
    role = _ROLES.get(lead.removesuffix(":"))
    if role is None:
        return _parse_operation(text, "compute")
    return _parse_operation(rest.removeprefix(": "), role)


def _parse_operation(text: str, role: Role) -> WorkStep | None:
    if role == "decompose":
        match = _PATTERNS["plan"].fullmatch(text.casefold())
        return None if match is None else WorkStep("plan", match.groups(), "", role)
    for name, pattern in _PATTERNS.items():
        match = None if name == "plan" else pattern.fullmatch(text)
        if match is not None:
            *operands, output = match.groups()
            return WorkStep(name, tuple(operands), output, role)
    return None


def meaning(step: WorkStep) -> Meaning:
    """What a step does, apart from its wording and the order of operands that commute."""
    inputs = tuple(_number(text) for text in step.inputs)
    if OPERATIONS[step.op].commutes:
        inputs = tuple(sorted(inputs))
    return step.op, inputs, step.role


def holds(step: WorkStep) -> bool:
    """Whether the operation, executed again, gives the stated result."""
    return OPERATIONS[step.op].execute(*step.inputs) == _number(step.output)


def _number(text: str) -> str:
    return str(int(text)) if _WHOLE.fullmatch(text) else text


def add(a: int, b: int, role: Role = "compute") -> WorkStep:
    return WorkStep("add", (str(a), str(b)), str(a + b), role)


def subtract(a: int, b: int, role: Role = "compute") -> WorkStep:
    return WorkStep("subtract", (str(a), str(b)), str(a - b), role)


def multiply(a: int, b: int, role: Role = "compute") -> WorkStep:
    return WorkStep("multiply", (str(a), str(b)), str(a * b), role)


def divide(a: int, b: int, role: Role = "compute") -> WorkStep:
    return WorkStep("divide", (str(a), str(b)), str(a // b), role)


def plan(first: str, second: str) -> WorkStep:
    return WorkStep("plan", (first, second), "", "decompose")
