"""golden-v1: what is written by hand is right, and stays as it is."""

from __future__ import annotations

import hashlib
import json
import re
from fractions import Fraction
from operator import add, mul, sub, truediv

import pytest

from tunix_core.codec import trace_to_json
from tunix_core.errors import CapacityError, UsageError
from tunix_core.records import Item
from tunix_generators.golden import Golden

GOLDEN = Golden()
SHA256 = "7e813aaca97b3bdd66c80d888f43b1526bedfb55c1c3e943bcf0bb49bd3821ea"
SUM = re.compile(r"(?:check: )?([-+*/. \d]+) = ([-\d./]+)")


def all_items() -> list[Item]:
    return [
        GOLDEN.item(split, 0, index)
        for split in ("train", "test")
        for index in range(GOLDEN.capacity(split))
    ]


def test_it_never_changes() -> None:
    text = "".join(trace_to_json(item.trace) + "\n" for item in all_items())
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256


def test_four_of_five_are_for_training() -> None:
    assert [GOLDEN.capacity(split) for split in ("train", "validation", "test")] == [16, 0, 4]
    with pytest.raises(CapacityError, match="golden-v1 has 0 items in split 'validation'"):
        GOLDEN.item("validation", 0, 0)
    with pytest.raises(UsageError, match="no split 'dev'"):
        GOLDEN.capacity("dev")


def test_the_seed_makes_no_difference() -> None:
    assert GOLDEN.item("train", 1, 3) == GOLDEN.item("train", 2, 3)


def test_both_categories_are_in_both_splits() -> None:
    found = {(item.label("split"), item.label("category")) for item in all_items()}
    assert len(found) == 4


def test_meta_says_what_an_item_is() -> None:
    for item in all_items():
        assert set(item.trace.meta or {}) == {
            "source", "category", "family", "difficulty", "split", "index", "version", "answer_type"
        }  # fmt: skip
        assert item.label("source") == "golden-v1"


def test_every_sum_in_it_is_right() -> None:
    checked = 0
    for item in all_items():
        for step in item.trace.steps:
            match = SUM.fullmatch(step.content)
            if match:
                checked += 1
                assert value(match.group(1)) == Fraction(match.group(2)), step.content
    assert checked >= 20


def value(text: str) -> Fraction:
    """The value of a sum, taken from left to right; the set mixes no signs of different rank."""
    first, *rest = text.split()
    total = Fraction(first)
    for sign, number in zip(rest[::2], map(Fraction, rest[1::2]), strict=True):
        total = {"+": add, "-": sub, "*": mul, "/": truediv}[sign](total, number)
    return total


def test_work_of_another_item_is_wrong() -> None:
    first, second = all_items()[:2]
    text = "\n".join(step.content for step in second.trace.steps)
    assert not all(verdict.ok for verdict in GOLDEN.check(first, text))


def test_an_extra_line_is_wrong() -> None:
    item = all_items()[0]
    text = "\n".join([*(step.content for step in item.trace.steps), "1 + 1 = 2"])
    assert [verdict.ok for verdict in GOLDEN.check(item, text)][-2:] == [True, False]


def test_the_file_is_canonical() -> None:
    for item in all_items():
        assert json.loads(trace_to_json(item.trace))["prompt"] == item.prompt
