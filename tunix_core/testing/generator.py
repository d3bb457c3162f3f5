"""What every generator must do; subclass :class:`GeneratorConformance` in your tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tunix_core.codec import loads, trace_from_data, trace_to_json
from tunix_core.errors import CapacityError, UsageError
from tunix_core.evaluators.answer_spec import answer_spec
from tunix_core.evaluators.answers import match_spec
from tunix_core.protocols import Generator
from tunix_core.records import Item, StepVerdict

HASH_SEEDS = ("0", "1", "4242")

# Whatever a model may write: it is judged, and never an error.
ODDITIES = (
    "",
    "\n\n\n",
    " ",
    "yes",
    "(" * 5000,
    "9" * 5000 + " * " + "9" * 5000 + " = 1",
    "1 / 0 = 0",
    "9 ** 9 ** 9 ** 9 = 1",
    "\x00\ufffe\u202e😀\r\n",
)

# Run by another Python: prints [split, index, id, canonical trace] as one JSON line per item.
_CHILD = """
import importlib, json, sys
from tunix_core.codec import trace_to_json
module, _, name = sys.argv[1].partition(":")
generator = getattr(importlib.import_module(module), name)()
for split, seed, index in json.loads(sys.argv[2]):
    item = generator.item(split, seed, index)
    print(json.dumps([split, index, item.id, trace_to_json(item.trace)]))
"""


class GeneratorConformance:
    """The contract of a generator: pure, random access, splits apart, every answer and step sure.

    Example::

        class TestSums(GeneratorConformance):
            factory = "my_plugin.sums:Sums"

            def make(self):
                return Sums()

    Attributes:
        splits: Splits that hold items; the first is the one that most tests look at.
        seed: Seed of the items looked at.
        count: How many items of each split are looked at, where there are so many.
        judged: How many of them the slower tests look at.
        factory: ``"module:attr"``, importable in another process, which called without arguments
            makes what :meth:`make` makes; None leaves out the test that needs it.
    """

    splits: tuple[str, ...] = ("train", "test")
    seed: int = 42
    count: int = 200
    judged: int = 25
    factory: str | None = None

    def make(self) -> Generator:
        """A new generator."""
        raise NotImplementedError

    def wrong(self, item: Item) -> str:
        """An answer that is wrong; by default one that contains the right one."""
        return f"not {item.answer}"

    def spoil(self, line: str) -> str:
        """A line changed so that it is wrong; by default its last digit, if it has one."""
        for place in reversed(range(len(line))):
            if line[place] in "0123456789":
                return f"{line[:place]}{(int(line[place]) + 1) % 10}{line[place + 1 :]}"
        return f"{line} spoilt"

    def addresses(self, generator: Generator) -> list[tuple[str, int]]:
        """Split and index of the items looked at, in order."""
        return [
            (split, index)
            for split in self.splits
            for index in range(min(self.count, generator.capacity(split)))
        ]

    def items(self, generator: Generator, split: str, seed: int | None = None) -> list[Item]:
        """The items of a split that are looked at."""
        wanted = min(self.count, generator.capacity(split))
        seed = self.seed if seed is None else seed
        return [generator.item(split, seed, index) for index in range(wanted)]

    def worked(self, generator: Generator) -> Iterator[tuple[Item, list[str]]]:
        """Some items, each with the lines of its reference work."""
        for split in self.splits:
            for item in self.items(generator, split)[: self.judged]:
                yield item, work_of(item).split("\n")

    def test_is_a_generator(self) -> None:
        assert isinstance(self.make(), Generator)

    def test_the_same_address_gives_the_same_bytes(self) -> None:
        generator, other = self.make(), self.make()
        for split, index in self.addresses(generator):
            first, again, elsewhere = (
                maker.item(split, self.seed, index) for maker in (generator, generator, other)
            )
            assert first.id == again.id == elsewhere.id
            text = trace_to_json(first.trace)
            assert text == trace_to_json(again.trace) == trace_to_json(elsewhere.trace)

    def test_other_processes_give_the_same_bytes(self) -> None:
        if self.factory is None:
            pytest.skip("`factory` is not set: give it as 'module:attr'")
        generator = self.make()
        wanted = self.addresses(generator)
        expected = []
        for split, index in wanted:
            item = generator.item(split, self.seed, index)
            expected.append([split, index, item.id, trace_to_json(item.trace)])
        for hash_seed in HASH_SEEDS:
            assert self._in_another_process(self.factory, wanted, hash_seed) == expected

    def _in_another_process(
        self, factory: str, wanted: list[tuple[str, int]], hash_seed: str
    ) -> list[object]:
        places = [(split, self.seed, index) for split, index in wanted]
        path = os.pathsep.join(entry for entry in sys.path if entry)
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, factory, json.dumps(places)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_any_order_gives_the_same_items(self) -> None:
        generator = self.make()
        wanted = self.addresses(generator)
        in_order = {place: generator.item(place[0], self.seed, place[1]) for place in wanted}
        # Backwards, and in strides that mix the splits, each with an instance that saw nothing.
        for order in (wanted[::-1], [place for k in range(7) for place in wanted[k::7]]):
            fresh = self.make()
            for split, index in order:
                assert fresh.item(split, self.seed, index) == in_order[split, index]
        split, index = wanted[-1]
        assert self.make().item(split, self.seed, index) == in_order[split, index]

    def test_ids_are_unique(self) -> None:
        generator = self.make()
        ids = [item.id for split in self.splits for item in self.items(generator, split)]
        assert all(ids)
        assert len(set(ids)) == len(ids)

    def test_prompts_do_not_repeat(self) -> None:
        generator = self.make()
        for split in self.splits:
            prompts = [item.prompt for item in self.items(generator, split)]
            assert len(set(prompts)) == len(prompts)

    def test_splits_share_no_prompt_under_any_seed(self) -> None:
        generator = self.make()
        home: dict[str, str] = {}
        for split in self.splits:
            for seed in (self.seed, self.seed + 1):
                for item in self.items(generator, split, seed):
                    assert home.setdefault(item.prompt, split) == split, item.prompt

    def test_the_reference_answer_is_right(self) -> None:
        generator = self.make()
        for split in self.splits:
            for item in self.items(generator, split):
                assert generator.verify(item, item.answer) is True, item.id

    def test_another_answer_is_wrong(self) -> None:
        generator = self.make()
        for split in self.splits:
            for item in self.items(generator, split):
                assert generator.verify(item, self.wrong(item)) is False, item.id
                assert generator.verify(item, "") is False, item.id

    def test_verify_and_the_answers_of_evaluators_agree(self) -> None:
        generator = self.make()
        for split in self.splits:
            for item in self.items(generator, split)[: self.judged]:
                answer, spec = item.answer, answer_spec(item.trace.meta)
                dressed = (f" {answer}\n", f"{answer}.", answer.upper(), answer.lower())
                for said in (answer, *dressed, self.wrong(item), ""):
                    agreed = match_spec(said, answer, spec)
                    assert generator.verify(item, said) is agreed, (item.id, said)

    def test_the_reference_work_holds_line_by_line(self) -> None:
        generator = self.make()
        for split in self.splits:
            for item in self.items(generator, split):
                text = work_of(item)
                verdicts = generator.check(item, text)
                assert all(isinstance(verdict, StepVerdict) for verdict in verdicts)
                assert [verdict.text for verdict in verdicts] == text.split("\n")
                assert [verdict.line for verdict in verdicts] == list(range(1, len(verdicts) + 1))
                bad = [verdict for verdict in verdicts if not verdict.ok or verdict.reason]
                assert not bad, (item.id, bad)

    def test_line_ends_and_blanks_make_no_difference(self) -> None:
        generator = self.make()
        for item, lines in self.worked(generator):
            for dress in ("{}\r", "{}  ", " {}"):
                verdicts = generator.check(item, "\n".join(dress.format(line) for line in lines))
                bad = [verdict for verdict in verdicts if not verdict.ok]
                assert not bad, (item.id, bad)

    def test_a_dropped_line_is_flagged(self) -> None:
        generator = self.make()
        for item, lines in self.worked(generator):
            for place, step in enumerate(item.trace.steps):
                if step.type == "decompose":
                    # A plan says how the work goes, and is no part of it.
                    continue
                text = "\n".join(lines[:place] + lines[place + 1 :])
                assert_flagged(generator.check(item, text), item, text)

    def test_a_changed_line_is_flagged(self) -> None:
        generator = self.make()
        for item, lines in self.worked(generator):
            for place, line in enumerate(lines):
                text = "\n".join([*lines[:place], self.spoil(line), *lines[place + 1 :]])
                verdicts = generator.check(item, text)
                assert_flagged(verdicts, item, text)
                # What stands before the fault is still right.
                assert all(verdict.ok for verdict in verdicts[:place]), (item.id, verdicts)

    def test_any_text_can_be_judged(self) -> None:
        generator = self.make()
        item = generator.item(self.splits[0], self.seed, 0)
        for text in ODDITIES:
            assert_flagged(generator.check(item, text), item, text)
            assert type(generator.verify(item, text)) is bool

    def test_a_stored_item_can_be_judged(self) -> None:
        generator = self.make()
        for split in self.splits:
            for item in self.items(generator, split)[: self.judged]:
                stored = Item(item.id, trace_from_data(loads(trace_to_json(item.trace))))
                # Another instance, as when an evaluation is made much later.
                judge = self.make()
                assert judge.verify(stored, item.answer)
                assert not judge.verify(stored, self.wrong(item))
                assert all(verdict.ok for verdict in judge.check(stored, work_of(item)))

    def test_items_are_valid_traces_with_strict_json(self) -> None:
        generator = self.make()
        for split in self.splits:
            for item in self.items(generator, split):
                assert isinstance(item, Item)
                text = trace_to_json(item.trace)
                assert "\n" not in text
                read = trace_from_data(loads(text))
                # Equal to itself once read: no tuple, float or object that JSON turns into another.
                assert read == item.trace
                assert json.dumps(read.meta) == json.dumps(item.trace.meta, sort_keys=True)
                assert item.trace.meta, f"{item.id}: meta must say where the item comes from"

    def test_the_capacity_is_positive_and_reached(self) -> None:
        generator = self.make()
        for split in self.splits:
            capacity = generator.capacity(split)
            assert type(capacity) is int
            assert capacity > 0
            last = generator.item(split, self.seed, capacity - 1)
            assert generator.verify(last, last.answer)

    def test_more_than_the_capacity_is_refused(self) -> None:
        generator = self.make()
        for split in self.splits:
            for beyond in (0, 1, 10**30):
                with pytest.raises(CapacityError):
                    generator.item(split, self.seed, generator.capacity(split) + beyond)

    def test_an_unknown_split_is_refused(self) -> None:
        generator = self.make()
        for split in ("no-such-split", ""):
            with pytest.raises(UsageError):
                generator.item(split, self.seed, 0)
            with pytest.raises(UsageError):
                generator.capacity(split)

    def test_a_negative_index_is_refused(self) -> None:
        generator = self.make()
        for split in self.splits:
            with pytest.raises(UsageError):
                generator.item(split, self.seed, -1)


def work_of(item: Item) -> str:
    """The reference work as a model would write it."""
    return "\n".join(step.content for step in item.trace.steps)


def assert_flagged(verdicts: list[StepVerdict], item: Item, text: str) -> None:
    """At least one line is wrong, and each that is says why."""
    wrong = [verdict for verdict in verdicts if not verdict.ok]
    assert wrong, f"{item.id}: nothing is wrong with {text[:200]!r}"
    assert all(verdict.reason for verdict in wrong)
