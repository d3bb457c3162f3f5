"""A generator that breaks one guarantee is caught by the test of that guarantee."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from tunix_core.errors import CapacityError, UsageError
from tunix_core.records import Item, StepVerdict
from tunix_core.testing.generator import GeneratorConformance
from tunix_generators.golden import Golden


class Forgetful(Golden):
    """An item depends on how many were asked for before it."""

    def __init__(self) -> None:
        self.calls = 0

    def item(self, split: str, seed: int, index: int) -> Item:
        self.calls += 1
        item = super().item(split, seed, index)
        meta = {**(item.trace.meta or {}), "call": self.calls}
        return evolve(item, trace=evolve(item.trace, meta=meta))


class OneId(Golden):
    def item(self, split: str, seed: int, index: int) -> Item:
        return evolve(super().item(split, seed, index), id="item")


class Repeating(Golden):
    def item(self, split: str, seed: int, index: int) -> Item:
        return super().item(split, seed, min(index, 2))


class Leaking(Golden):
    """With another seed, training sees what is held out."""

    def item(self, split: str, seed: int, index: int) -> Item:
        if seed % 2 and index == 0:
            return super().item("test", seed, 0)
        return super().item(split, seed, index)


class Severe(Golden):
    def verify(self, item: Item, answer: str) -> bool:
        return len(answer) > 1 and super().verify(item, answer)


class Lenient(Golden):
    def verify(self, item: Item, answer: str) -> bool:
        return item.answer in answer


class Literal(Golden):
    """It compares texts."""

    def verify(self, item: Item, answer: str) -> bool:
        return answer == item.answer

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        due = [step.content for step in item.trace.steps]
        return [
            StepVerdict(n, line, line in due, None if line in due else "it is not due")
            for n, line in enumerate(text.split("\n"), 1)
        ]


class Trusting(Golden):
    """It judges the lines that are there, and misses those that are not."""

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        return super().check(item, text)[: len(text.split("\n"))] if text else []


class Blind(Golden):
    def check(self, item: Item, text: str) -> list[StepVerdict]:
        return [StepVerdict(n, line, True) for n, line in enumerate(text.split("\n"), 1)]


class Fragile(Golden):
    def check(self, item: Item, text: str) -> list[StepVerdict]:
        return super().check(item, text.encode("ascii").decode())


class Tupled(Golden):
    """Its meta holds a tuple, which is a list once it was stored."""

    def item(self, split: str, seed: int, index: int) -> Item:
        item = super().item(split, seed, index)
        meta = {**(item.trace.meta or {}), "pair": (1, 2)}
        return evolve(item, trace=evolve(item.trace, meta=meta))


class Boastful(Golden):
    def capacity(self, split: str) -> int:
        return super().capacity(split) + 1


class Generous(Golden):
    """It gives more than it has, by starting over."""

    def item(self, split: str, seed: int, index: int) -> Item:
        if index < 0:
            raise UsageError("no such item")
        return super().item(split, seed, index % self.capacity(split))


class Python(Golden):
    """It counts from the end, as lists do."""

    def item(self, split: str, seed: int, index: int) -> Item:
        return super().item(split, seed, index % self.capacity(split) if index < 0 else index)


class AnySplit(Golden):
    def item(self, split: str, seed: int, index: int) -> Item:
        return super().item(split if split == "test" else "train", seed, index)


class Sound(GeneratorConformance):
    factory: str | None = "tunix_generators.golden:Golden"

    def make(self) -> Golden:
        return Golden()


@pytest.mark.parametrize(
    ("broken", "guarantee"),
    [
        (Forgetful, "test_the_same_address_gives_the_same_bytes"),
        (Forgetful, "test_any_order_gives_the_same_items"),
        (OneId, "test_ids_are_unique"),
        (Repeating, "test_prompts_do_not_repeat"),
        (Leaking, "test_splits_share_no_prompt_under_any_seed"),
        (Severe, "test_the_reference_answer_is_right"),
        (Lenient, "test_another_answer_is_wrong"),
        (Literal, "test_verify_and_the_answers_of_evaluators_agree"),
        (Literal, "test_line_ends_and_blanks_make_no_difference"),
        (Trusting, "test_a_dropped_line_is_flagged"),
        (Trusting, "test_any_text_can_be_judged"),
        (Blind, "test_a_changed_line_is_flagged"),
        (Fragile, "test_any_text_can_be_judged"),
        (Tupled, "test_items_are_valid_traces_with_strict_json"),
        (Boastful, "test_the_capacity_is_positive_and_reached"),
        (Generous, "test_more_than_the_capacity_is_refused"),
        (Python, "test_a_negative_index_is_refused"),
        (AnySplit, "test_an_unknown_split_is_refused"),
    ],
)
def test_it_is_caught(broken: Callable[[], Golden], guarantee: str) -> None:
    class Suite(Sound):
        def make(self) -> Golden:
            return broken()

    # A test fails by an assertion, by an error that was expected and did not come, or by one
    # that came from the generator.
    with pytest.raises((AssertionError, pytest.fail.Exception, CapacityError, UnicodeError)):
        getattr(Suite(), guarantee)()
    getattr(Sound(), guarantee)()


HASHING = """
from attrs import evolve
from tunix_generators.golden import Golden

class Hashing(Golden):
    def item(self, split, seed, index):
        item = super().item(split, seed, index)
        meta = {**item.trace.meta, "key": hash(item.prompt)}
        return evolve(item, trace=evolve(item.trace, meta=meta))
"""


def test_text_hashes_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They differ from one process to the next, and only there."""
    (tmp_path / "hashing_generator.py").write_text(HASHING)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("hashing_generator")
    monkeypatch.delitem(sys.modules, "hashing_generator")

    class Suite(GeneratorConformance):
        factory = "hashing_generator:Hashing"

        def make(self) -> Golden:
            made: Golden = module.Hashing()
            return made

    Suite().test_the_same_address_gives_the_same_bytes()
    with pytest.raises(AssertionError):
        Suite().test_other_processes_give_the_same_bytes()


def test_without_a_factory_other_processes_are_left_out() -> None:
    class Suite(Sound):
        factory = None

    with pytest.raises(pytest.skip.Exception, match="'module:attr'"):
        Suite().test_other_processes_give_the_same_bytes()


def test_a_factory_that_does_not_load_says_why() -> None:
    class Suite(Sound):
        factory = "tunix_generators.golden:Nothing"

    with pytest.raises(AssertionError, match="has no attribute 'Nothing'"):
        Suite().test_other_processes_give_the_same_bytes()
