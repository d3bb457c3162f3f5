"""Every family: its space, its answers by two paths, its work, and an honest easy level."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_generators.families import FAMILIES
from tunix_generators.family import LEVELS, Family, Question
from tunix_generators.mix import VERSION
from tunix_generators.permutation import Surface, permute
from tunix_generators.work import OPERATIONS, WorkStep, holds

HERE = Path(__file__).parent
# Spaces up to this size are looked at whole, larger ones in a sample of this size.
WHOLE = 20_000
ANSWERS = {
    "integer": r"-?[0-9]+",
    "boolean": "yes|no|True|False",
    "choice": "[A-Za-z]+",
    "string": r"[a-z]( [a-z])*|[0-9]{1,2}:[0-9]{2}",
    "list": r"[0-9]+( [0-9]+)+",
}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_level = pytest.mark.parametrize("level", LEVELS)


@st.composite
def places(draw: st.DrawFn) -> tuple[Family, int, int]:
    """A family, a level and a point, the ends of the space among them."""
    family = FAMILIES[draw(st.sampled_from(sorted(FAMILIES)))]
    level = draw(st.sampled_from(LEVELS))
    return family, level, draw(st.integers(0, family.cardinality(level) - 1))


def points(family: Family, level: int, most: int = WHOLE) -> Iterator[int]:
    """All points, or ``most`` different ones from all over the space."""
    size = family.cardinality(level)
    for place in range(min(size, most)):
        yield place if size <= most else permute(place, size, "tests")


def ask(family: Family, level: int, point: int, wording: str = "") -> Question:
    return family.question(level, family.values(level, point), Surface(wording or str(point)))


def digests_module() -> ModuleType:
    """``digests.py`` beside this file, which is a program and not part of a package."""
    spec = importlib.util.spec_from_file_location("digests", HERE / "digests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_sixteen_and_eight() -> None:
    categories = Counter(family.category for family in FAMILIES.values())
    assert categories["reasoning"] >= 16
    assert categories["synthetic"] >= 8
    assert list(FAMILIES) == [family.name for family in FAMILIES.values()]


def test_every_family_has_a_golden_digest() -> None:
    stored: dict[str, Any] = json.loads((HERE / "golden_digests.json").read_text(encoding="utf-8"))
    assert stored["version"] == VERSION
    assert sorted(stored["families"]) == sorted(FAMILIES)


@every_family
def test_the_items_are_those_of_this_version(family: Family) -> None:
    stored = json.loads((HERE / "golden_digests.json").read_text(encoding="utf-8"))
    assert digests_module().family(family.name) == stored["families"][family.name]


@every_family
@every_level
def test_the_cardinality_is_declared(family: Family, level: int) -> None:
    sizes = family.sizes(level)
    assert all(size > 0 for size in sizes)
    assert family.cardinality(level) == prod(sizes) >= 1000
    last = family.values(level, family.cardinality(level) - 1)
    assert last == tuple(size - 1 for size in sizes)


@every_family
def test_higher_levels_are_larger(family: Family) -> None:
    sizes = [family.cardinality(level) for level in LEVELS]
    assert sizes == sorted(sizes)


@every_family
def test_points_are_numbered_without_gaps(family: Family) -> None:
    seen = {family.values(1, point) for point in points(family, 1)}
    assert len(seen) == min(WHOLE, family.cardinality(1))


@every_family
def test_the_easy_level_is_honest(family: Family) -> None:
    """A model that always says the same gets little."""
    answers = Counter(family.answer(1, family.values(1, point)) for point in points(family, 1))
    answer, times = answers.most_common(1)[0]
    limit = 0.5 if family.answer_type == "boolean" else 0.2
    assert times / answers.total() <= limit, answer


@every_family
@every_level
def test_no_two_points_ask_the_same(family: Family, level: int) -> None:
    """Under one and the same choice of words, every point still reads differently."""
    drawn = list(points(family, level, 3000))
    assert len({ask(family, level, point, "fixed").prompt for point in drawn}) == len(drawn)


@every_family
def test_levels_do_not_meet(family: Family) -> None:
    prompts = [
        {ask(family, level, point, "fixed").prompt for point in points(family, level, 3000)}
        for level in LEVELS
    ]
    assert len(set().union(*prompts)) == sum(map(len, prompts))


def numbers(prompt: str) -> list[int]:
    return [int(text) for text in re.findall(r"\d+", prompt)]


def _expression(prompt: str) -> object:
    a, b, c = numbers(prompt)
    return re.sub(r"\d+|[^-+* ]", "", prompt).split(), (sorted((a, b)), c)


def _fence(prompt: str) -> object:
    width, length, price = numbers(prompt)
    return sorted((width, length)), price


def _two_purchases(prompt: str) -> object:
    if prompt.startswith("The "):
        first, second, few, many = numbers(prompt)
    else:
        few, first, many, second = numbers(prompt)
    return sorted(((few, first), (many, second)))


def _any_order(prompt: str) -> object:
    return sorted(numbers(prompt))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("chain_arithmetic", _expression),
        ("fence_cost", _fence),
        ("mixed_purchase", _two_purchases),
        ("mean_score", _any_order),
        ("sort_numbers", _any_order),
    ],
)
def test_exchanging_what_commutes_gives_no_new_question(
    name: str, key: Callable[[str], object]
) -> None:
    family = FAMILIES[name]
    for level in LEVELS:
        drawn = list(points(family, level, 3000))
        assert len({repr(key(ask(family, level, p).prompt)) for p in drawn}) == len(drawn)


@given(places())
def test_work_and_closed_form_agree(place: tuple[Family, int, int]) -> None:
    family, level, point = place
    question = ask(family, level, point)
    assert question.answer == family.answer(level, family.values(level, point))
    assert re.fullmatch(ANSWERS[family.answer_type], question.answer)


@given(places())
def test_every_step_holds(place: tuple[Family, int, int]) -> None:
    for step in ask(*place).steps:
        assert holds(step), step
        assert re.fullmatch(OPERATIONS[step.op].result, step.output)


@given(places(), st.text(max_size=5))
def test_wording_changes_neither_answer_nor_amount_of_work(
    place: tuple[Family, int, int], wording: str
) -> None:
    plain, other = ask(*place), ask(*place, wording=wording)
    assert plain.answer == other.answer
    assert [step.op for step in plain.steps] == [step.op for step in other.steps]


@every_family
def test_the_answer_comes_out_of_the_work(family: Family) -> None:
    """It is the last result, or made of results: no leap between work and answer."""
    for level in LEVELS:
        for point in points(family, level, 100):
            question = ask(family, level, point)
            shown = " ".join(part for step in question.steps for part in _texts(step))
            assert all(part in shown.split() for part in question.answer.split())


def _texts(step: WorkStep) -> tuple[str, ...]:
    return (*step.inputs, step.output)


@every_family
def test_work_is_planned_first_and_verified_last(family: Family) -> None:
    order = ["decompose", "compute", "verify"]
    for level in LEVELS:
        for point in points(family, level, 100):
            places = [order.index(step.role) for step in ask(family, level, point).steps]
            assert places == sorted(places)
            assert 1 in places


def test_every_operation_is_used() -> None:
    used = {
        step.op
        for family in FAMILIES.values()
        for level in LEVELS
        for point in points(family, level, 50)
        for step in ask(family, level, point).steps
    }
    assert used == set(OPERATIONS)
