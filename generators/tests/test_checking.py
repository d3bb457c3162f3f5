"""The checker accepts right work in any wording, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.records import Item
from tunix_generators.checking import check_work, corrupt
from tunix_generators.mix import DevReasoning, MixConfig
from tunix_generators.work import (
    LEADS,
    MAX_LINE,
    OPERATIONS,
    WorkStep,
    add,
    divide,
    holds,
    meaning,
    multiply,
    parse_line,
    plan,
    render_step,
    subtract,
)

GENERATOR = DevReasoning()
WORK = (
    plan("cost", "change"),
    multiply(4, 3),
    subtract(20, 12),
    add(12, 8, "verify"),
)
RIGHT = "plan: cost then change\n4 * 3 = 12\n20 - 12 = 8\ncheck: 12 + 8 = 20"

# For each operation lines that hold and lines that do not.
EXAMPLES = {
    "plan": (["find: cost then change"], []),
    "add": (["2 + -3 = -1"], ["2 + 3 = 6"]),
    "subtract": (["2 - 3 = -1"], ["2 - 3 = 1"]),
    "multiply": (["12 * 12 = 144"], ["12 * 12 = 124"]),
    "divide": (["12 / 4 = 3"], ["13 / 4 = 3", "1 / 0 = 0"]),
    "remainder": (["13 % 4 = 1"], ["13 % 4 = 3", "1 % 0 = 1"]),
    "clock": (["9 h 5 min is 9:05"], ["9 h 5 min is 9:50"]),
    "day": (["Sunday + 1 days is Monday"], ["Sunday + 1 days is Sunday"]),
    "right": (["north right 3 is southeast"], ["north right 3 is southwest"]),
    "left": (["north left 3 is southwest"], ["north left 3 is southeast"]),
    "less": (["3 < 4 : yes", "4 < 4 : no"], ["4 < 4 : yes"]),
    "greater": (["5 > 4 : yes", "4 > 4 : no"], ["3 > 4 : yes"]),
    "either": (["no or yes is yes", "no or no is no"], ["no or no is yes"]),
    "chain": (["Ana > Ben and Ben > Jo : Ana > Ben > Jo"], ["Ana > Ben and Jo > Leo : Ana > Leo"]),
    "pick": (["last of Ana > Ben is Ben"], ["last of Ana > Ben is Ana", "third of Jo > Al is Al"]),
    "and": (["True and False = False"], ["True and False = True"]),
    "or": (["True or False = True"], ["False or False = True"]),
    "not": (["not True = False"], ["not True = True"]),
    "reverse": (["a b c backwards is c b a"], ["a b c backwards is c a b"]),
    "smallest": (["smallest of 7 3 11 is 3"], ["smallest of 7 3 11 is 11"]),
    "letter": (["letter 2 of a b c is b"], ["letter 2 of a b c is c", "letter 9 of a b is a"]),
    "shift": (["z + 2 is b"], ["z + 2 is a"]),
}  # fmt: skip


def flagged(text: str, work: tuple[WorkStep, ...] = WORK) -> dict[int, str | None]:
    """Reason by line number, of the lines that are wrong."""
    return {v.line: v.reason for v in check_work(work, text) if not v.ok}


def test_every_operation_has_examples() -> None:
    assert list(EXAMPLES) == list(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_executed_again(name: str) -> None:
    right, wrong = EXAMPLES[name]
    for line in right:
        step = parse_line(line)
        assert step is not None
        assert step.op == name
        assert holds(step)
    for line in wrong:
        step = parse_line(line)
        assert step is not None
        assert step.op == name
        assert not holds(step)


def test_right_work_is_right() -> None:
    assert flagged(RIGHT) == {}
    assert [verdict.text for verdict in check_work(WORK, RIGHT)] == RIGHT.split("\n")


@pytest.mark.parametrize("line", ["so 4 * 3 = 12", "3 * 4 = 12", "so 3 * 4 = 12", "04 * 3 = 12"])
def test_wording_and_commuting_operands_make_no_difference(line: str) -> None:
    assert flagged(RIGHT.replace("4 * 3 = 12", line)) == {}


def test_every_lead_is_accepted() -> None:
    for role, leads in LEADS.items():
        step = plan("a", "b") if role == "decompose" else add(1, 2, role)
        for variant in range(len(leads)):
            assert parse_line(render_step(step, variant)) == step


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", {1: "missing", 2: "missing", 3: "missing"}),
        (RIGHT.replace("= 12", "= 13"), {2: "does not hold: the result is 12"}),
        (RIGHT.replace("20 - 12 = 8", "12 - 20 = -8"), {3: "not the step that is needed"}),
        (RIGHT.replace("20 - 12 = 8", "21 - 13 = 8"), {3: "not the step that is needed"}),
        (RIGHT.replace("4 * 3", "6 * 2"), {2: "not the step that is needed"}),
        (RIGHT.replace("check: ", ""), {4: "not the step that is needed"}),
        (RIGHT.replace("cost", "price"), {1: "not the step that is needed"}),
        (RIGHT.replace("20 - 12", "20 12"), {3: "not a step that can be executed"}),
        (f"so it is\n{RIGHT}", {1: "not a step that can be executed"}),
        (RIGHT.replace("\n4 * 3 = 12\n20 - 12 = 8", "\n20 - 12 = 8\n4 * 3 = 12"), {2: "not the"}),
        (RIGHT.replace("4 * 3 = 12\n", ""), {2: "not the", 3: "not the", 4: "a step is missing"}),
        (f"{RIGHT}\n1 + 1 = 2", {5: "one step too many"}),
        (f"{RIGHT}\nplan: cost then change", {5: "one step too many"}),
        (f"plan: a then b\nplan: a then b\n{RIGHT}", {2: "one step too many"}),
        (f"plan: a then b\nplan: c then d\n{RIGHT}", {3: "one step too many"}),
        (RIGHT.removesuffix("\ncheck: 12 + 8 = 20"), {4: "a step is missing"}),
    ],
)
def test_wrong_work_is_flagged_where_it_is_wrong(text: str, faults: dict[int, str]) -> None:
    found = flagged(text)
    assert list(found) == list(faults)
    assert all(reason in (found[line] or "") for line, reason in faults.items())


def test_a_wrong_carry_that_is_carried_on_is_flagged_from_its_line_on() -> None:
    text = RIGHT.replace("= 12\n20 - 12 = 8", "= 14\n20 - 14 = 6").replace("12 + 8", "14 + 6")
    assert list(flagged(text)) == [2, 3, 4]


def test_division_is_exact() -> None:
    assert flagged("7 / 2 = 3", (divide(7, 2),)) == {1: "does not hold: the result is 7/2"}


@given(st.text() | st.lists(st.sampled_from([*RIGHT.split(), "\n", " "])).map(" ".join))
def test_any_text_gets_a_verdict_for_each_line(text: str) -> None:
    verdicts = check_work(WORK, text)
    lines = text.split("\n") if text else []
    assert [verdict.text for verdict in verdicts[: len(lines)]] == lines
    assert all(verdict.reason == "a step is missing" for verdict in verdicts[len(lines) :])
    right = sum(verdict.ok and parse_line(verdict.text) is not None for verdict in verdicts)
    assert right <= len(WORK) + 1
    assert [verdict.line for verdict in verdicts] == list(range(1, len(verdicts) + 1))


@pytest.mark.parametrize(
    "line",
    [
        "a then " * 140,
        "plan: " + "then " * 190,
        "Ana > " * 160,
        "1 " * 490,
        "smallest of " + "1 " * 480 + "is",
        "9" * MAX_LINE,
        "9" * 18 + " * " + "9" * 18 + " = 1",
        "x" * 1_000_000,
    ],
)
def test_no_line_takes_long(line: str) -> None:
    begin = time.process_time()
    assert 1 in flagged(line)
    assert time.process_time() - begin < 1.0


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_rendered_step_is_read_back(index: int, variant: int) -> None:
    for step in GENERATOR.work(GENERATOR.item("train", 3, index)).steps:
        assert parse_line(render_step(step, variant)) == step


def bumped(line: str) -> Iterator[str]:
    """The line with each of its numbers one more, one less, and with a digit added."""
    for match in re.finditer(r"\d+", line):
        number = int(match.group())
        for other in {str(number + 1), str(abs(number - 1)), f"{number}0", f"1{match.group()}"}:
            if int(other) != number:
                yield line[: match.start()] + other + line[match.end() :]


def parts(line: str) -> tuple[str, str]:
    """What a line takes and what it gives."""
    taken, _, result = re.split(r" (=|is|:) ", line)
    return taken, result


def taken_results(lines: list[str]) -> dict[str, set[str]]:
    """For each line the results of lines before it that it takes, as far as the text shows."""
    given: set[str] = set()
    found = {}
    for line in lines:
        takes_none = re.match(r"(so )?(not |[a-z] \+|smallest|\d+ [<>])", line)
        taken = f" {parts(line)[0]} "
        found[line] = {result for result in given if not takes_none and f" {result} " in taken}
        given.add(parts(line)[1])
    return found


def is_moved_too_far(lines: list[str], swapped: list[str]) -> bool:
    """Whether a line comes before what it takes."""
    right, moved = ([line for line in some if not is_plan(line)] for some in (lines, swapped))
    before, after = taken_results(right), taken_results(moved)
    return any(before[line] - after[line] for line in right)


def is_plan(line: str) -> bool:
    return line.startswith(("plan: ", "find: "))


def faulty(lines: list[str]) -> Iterator[list[str]]:
    """Every way of dropping a line, of swapping two that cannot be, of repeating one, or of
    changing a number; a plan is no fault where it is left out."""
    for place, line in enumerate(lines):
        if not is_plan(line):
            yield lines[:place] + lines[place + 1 :]
        yield [*lines[:place], line, *lines[place:]]
        for other in range(place + 1, len(lines)):
            swapped = list(lines)
            swapped[place], swapped[other] = swapped[other], line
            if sorted(line.removeprefix("so ")) == sorted(lines[other].removeprefix("so ")):
                continue
            if is_plan(line) or is_moved_too_far(lines, swapped):
                yield swapped
        for changed in bumped(line):
            yield [*lines[:place], changed, *lines[place + 1 :]]


def test_every_such_fault_is_caught() -> None:
    """Made from the text alone, without the code that knows what a step means."""
    tried, missed = 0, []
    for index in range(240):
        item = GENERATOR.item("validation", 11, index)
        lines = [step.content for step in item.trace.steps]
        for spoilt in faulty(lines):
            tried += 1
            if all(verdict.ok for verdict in GENERATOR.check(item, "\n".join(spoilt))):
                missed.append((item.id, spoilt))
    assert tried > 5000
    assert missed == []


def faults(item: Item, lines: list[str]) -> list[str | None]:
    return [verdict.reason for verdict in GENERATOR.check(item, "\n".join(lines)) if not verdict.ok]


@given(st.integers(0, 10**6))
def test_independent_steps_may_come_in_another_order(index: int) -> None:
    item = GENERATOR.item("train", 3, index)
    lines = [step.content for step in item.trace.steps]
    for place in range(len(lines) - 1):
        first, second = lines[place : place + 2]
        apart = not is_plan(first) and f" {parts(first)[1]} " not in f" {parts(second)[0]} "
        if apart and not first.startswith(("smallest", "so smallest")):
            assert not faults(item, [*lines[:place], second, first, *lines[place + 2 :]])


def test_many_items_have_steps_that_are_independent() -> None:
    item = DevReasoning(MixConfig(families=("mixed_purchase",))).item("train", 3, 0)
    plan, one, other, *rest = [step.content for step in item.trace.steps]
    assert not faults(item, [plan, other, one, *rest])
    assert faults(item, [plan, other, rest[0], one, *rest[1:]])


@given(st.integers(0, 10**6), st.booleans())
def test_a_plan_may_be_left_out_or_added(index: int, added: bool) -> None:
    item = GENERATOR.item("train", 3, index)
    lines = [step.content for step in item.trace.steps]
    work = ["Plan: this, then that.", *lines] if added else [n for n in lines if not is_plan(n)]
    assert not faults(item, work)
    assert faults(item, [*work[:-1], "plan: this then that", work[-1]]) or not work[:-1]


DRESSES: list[Callable[[str], str]] = [
    lambda line: f"  {line}\t ",
    lambda line: f"{line}\r",
    lambda line: f"{line}\n\n",
    lambda line: re.sub(r" ([-+*/%<>=]) ", r"\1", line),
    lambda line: line.replace(" ", "   "),
    lambda line: line.replace(" * ", " × "),
    lambda line: line.replace(" * ", "x"),
    lambda line: line.replace(" * ", " ⋅ ").replace(" / ", " ÷ ").replace(" - ", " − "),
    lambda line: f"- {line}",
    lambda line: f"3. {line}.",
    lambda line: f"Step 3: **{line}**",
    lambda line: re.sub(r"\b(\d{1,3})(\d{3})\b", r"\1,\2", line),
    lambda line: f"{line[0].upper()}{line[1:]}" if len(line.split()[0]) > 1 else line,
    lambda line: re.sub(r" (=|is|:) (\S+( > \S+)*)$", r" == \2", line),
]


@given(st.integers(0, 10**6), st.lists(st.sampled_from(DRESSES), min_size=1, max_size=3))
def test_what_means_the_same_is_right(index: int, dresses: list[Callable[[str], str]]) -> None:
    item = GENERATOR.item("train", 3, index)
    for dress in dresses:
        assert not faults(item, [dress(step.content) for step in item.trace.steps])


@given(st.integers(0, 10**6), st.text(max_size=6), st.sampled_from(DRESSES))
def test_no_dress_hides_a_corruption(index: int, key: str, dress: Callable[[str], str]) -> None:
    item = GENERATOR.item("train", 5, index)
    assert faults(
        item, [dress(line) for line in GENERATOR.corrupt(item, key).text.split("\n") if line]
    )


@given(st.integers(0, 10**6), st.text(max_size=6))
def test_a_corruption_changes_the_meaning(index: int, key: str) -> None:
    item = GENERATOR.item("train", 5, index)
    corruption = GENERATOR.corrupt(item, key)
    assert corruption == GENERATOR.corrupt(item, key)
    verdicts = GENERATOR.check(item, corruption.text)
    assert next(verdict.line for verdict in verdicts if not verdict.ok) == corruption.line


def test_work_of_one_step_can_be_corrupted() -> None:
    work = (WorkStep("reverse", ("a a a",), "a a a"),)
    corruption = corrupt(work, "key")
    assert (corruption.kind, corruption.text, corruption.line) == ("dropped", "", 1)


def test_meaning_leaves_out_wording_only() -> None:
    assert meaning(add(1, 2)) == meaning(add(2, 1))
    assert meaning(subtract(1, 2)) != meaning(subtract(2, 1))
    assert meaning(add(1, 2)) != meaning(add(1, 2, "verify"))
    assert meaning(add(1, 2)) != meaning(multiply(1, 2))
