"""dev-reasoning-v1 as a whole: which item lies where, how many there are, and what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.codec import structure, unstructure
from tunix_core.errors import CapacityError, InvalidRecordError, UsageError
from tunix_core.records import Item
from tunix_generators.families import FAMILIES
from tunix_generators.family import LEVELS
from tunix_generators.mix import DevReasoning, MixConfig
from tunix_generators.placement import SPLITS, split_range
from tunix_generators.work import parse_line

DEFAULT = DevReasoning()
CAPACITY = {split: DEFAULT.capacity(split) for split in SPLITS}
# Small enough at level 1 to be walked from end to end.
SMALL = sorted(name for name, family in FAMILIES.items() if family.cardinality(1) < 5000)

splits = st.sampled_from(sorted(SPLITS))
seeds = st.integers(-(2**70), 2**70)
configs = st.builds(
    MixConfig,
    difficulty=st.sampled_from([None, *LEVELS]),
    families=st.none() | st.lists(st.sampled_from(sorted(FAMILIES)), min_size=1).map(tuple),
    reasoning_share=st.integers(0, 100),
)


def label(item: Item, key: str) -> Any:
    return (item.trace.meta or {})[key]


def edited(item: Item, **changes: Any) -> Item:
    meta = {**(item.trace.meta or {}), **changes}
    return evolve(item, trace=evolve(item.trace, meta=meta))


def test_every_size_is_seventy_to_thirty() -> None:
    reasoning = 0
    for size in range(1, 3001):
        reasoning += label(DEFAULT.item("train", 42, size - 1), "category") == "reasoning"
        assert reasoning == size * 70 // 100


@given(splits, seeds, st.data())
def test_seventy_to_thirty_holds_at_every_index(split: str, seed: int, data: st.DataObject) -> None:
    """An item is of reasoning exactly where the share of the first n, rounded down, grows by one;
    so that by induction the first n hold exactly that share, for every n."""
    index = data.draw(st.integers(0, CAPACITY[split] - 1))
    grows = (index + 1) * 70 // 100 - index * 70 // 100
    category = "reasoning" if grows else "synthetic"
    assert label(DEFAULT.item(split, seed, index), "category") == category


@given(st.integers(0, 100), st.integers(0, 400))
def test_any_other_share_is_exact_too(share: int, size: int) -> None:
    generator = DevReasoning(MixConfig(reasoning_share=share))
    categories = Counter(label(generator.item("test", 0, i), "category") for i in range(size))
    assert categories["reasoning"] == size * share // 100


def test_one_category_alone_needs_no_share() -> None:
    for name in ("age_puzzle", "sort_numbers"):
        generator = DevReasoning(MixConfig(families=(name,)))
        assert {label(generator.item("train", 1, i), "family") for i in range(50)} == {name}


def test_the_default_mix_holds_two_billion_items() -> None:
    assert CAPACITY["train"] >= 2_000_000_000
    assert min(CAPACITY.values()) >= 100_000_000
    for split, capacity in CAPACITY.items():
        last = DEFAULT.item(split, 42, capacity - 1)
        assert DEFAULT.verify(last, last.answer)
        with pytest.raises(CapacityError, match=f"split '{split}' of this mix holds {capacity}"):
            DEFAULT.item(split, 42, capacity)


@given(configs, splits, seeds)
def test_every_mix_holds_what_it_says(config: MixConfig, split: str, seed: int) -> None:
    generator = DevReasoning(config)
    capacity = generator.capacity(split)
    if capacity:
        last = generator.item(split, seed, capacity - 1)
        assert generator.verify(last, last.answer)
    with pytest.raises(CapacityError):
        generator.item(split, seed, capacity)


@given(
    st.sets(st.sampled_from(SMALL), min_size=1),
    st.integers(0, 100),
    st.sampled_from(["validation", "test"]),
)
def test_the_capacity_is_the_index_where_a_family_runs_out(
    names: set[str], share: int, split: str
) -> None:
    config = MixConfig(difficulty=1, families=tuple(sorted(names)), reasoning_share=share)
    assert DevReasoning(config).capacity(split) == dealt_out(config, split)


def dealt_out(config: MixConfig, split: str) -> int:
    """How many items there are until a family whose turn it is has none left: by dealing."""
    hands: dict[str, list[str]] = {"reasoning": [], "synthetic": []}
    for name in sorted(config.families or ()):
        hands[FAMILIES[name].category].append(name)
    left = {
        name: split_range(FAMILIES[name].cardinality(1), split)[1] for name in config.families or ()
    }
    share = config.reasoning_share if all(hands.values()) else 100 if hands["reasoning"] else 0
    dealt = {"reasoning": 0, "synthetic": 0}
    for index in count():
        reasoning = (index + 1) * share // 100 > dealt["reasoning"]
        category = "reasoning" if reasoning else "synthetic"
        name = hands[category][dealt[category] % len(hands[category])]
        if left[name] == 0:
            return index
        left[name] -= 1
        dealt[category] += 1
    raise AssertionError("count() does not end")


@pytest.mark.parametrize("name", SMALL)
def test_the_splits_of_a_family_are_all_of_it_once(name: str) -> None:
    generator = DevReasoning(MixConfig(difficulty=1, families=(name,)))
    asked = {
        seed: {
            split: {generator.item(split, seed, i).prompt for i in range(generator.capacity(split))}
            for split in SPLITS
        }
        for seed in (42, 43)
    }
    # The seed orders a split and never moves a question to another.
    assert asked[42] == asked[43]
    prompts = asked[42].values()
    assert len(set().union(*prompts)) == sum(map(len, prompts)) == FAMILIES[name].cardinality(1)


def test_neighbouring_seeds_have_little_in_common() -> None:
    first, second = (
        {DEFAULT.item("train", seed, index).prompt for index in range(200)} for seed in (42, 43)
    )
    assert len(first & second) <= 4


@given(splits, seeds, st.data())
def test_an_item_is_made_again_from_its_meta(split: str, seed: int, data: st.DataObject) -> None:
    item = DEFAULT.item(split, seed, data.draw(st.integers(0, CAPACITY[split] - 1)))
    meta = item.trace.meta or {}
    maker = DevReasoning(MixConfig.parse(meta["mix"]))
    assert maker.item(meta["split"], meta["seed"], meta["index"]) == item
    steps = DEFAULT.work(item).steps
    assert [parse_line(step.content) for step in item.trace.steps] == list(steps)


def test_meta_says_what_an_item_is() -> None:
    item = DEFAULT.item("test", 7, 5)
    meta = dict(item.trace.meta or {})
    assert meta.pop("family") in FAMILIES
    assert meta.pop("difficulty") in LEVELS
    assert meta.pop("category") in ("reasoning", "synthetic")
    assert meta.pop("answer_type") in ("integer", "boolean", "choice", "string", "list")
    assert meta == {
        "source": "dev-reasoning-v1",
        "split": "test",
        "seed": 7,
        "mix": "70/all/all",
        "index": 5,
        "version": "1",
    }
    assert item.id == "dev-reasoning-v1/1/70/all/all/test/7/5"


def test_any_mix_can_judge_the_items_of_another() -> None:
    hard = DevReasoning(MixConfig(difficulty=3, families=("work_pay",)))
    item = hard.item("train", 1, 1000)
    assert DEFAULT.verify(item, item.answer)
    assert DEFAULT.work(item) == hard.work(item)


@pytest.mark.parametrize("level", LEVELS)
def test_a_difficulty_can_be_chosen(level: int) -> None:
    generator = DevReasoning(MixConfig(difficulty=level))
    items = [generator.item("train", 42, index) for index in range(200)]
    assert {label(item, "difficulty") for item in items} == {level}
    assert {label(item, "family") for item in items} == set(FAMILIES)


@given(configs)
def test_a_mix_is_read_back_from_its_label(config: MixConfig) -> None:
    assert MixConfig.parse(config.label()) == config
    assert structure(MixConfig, unstructure(config)) == config


@pytest.mark.parametrize("text", ["", "70/all", "x/all/all", "70/9/all", "70/all/", "101/1/all"])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no mix of dev-reasoning-v1"):
        MixConfig.parse(text)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"families": ["age_puzle"]}, r"\$\.families: no family 'age_puzle'; known: age_puzzle, "),
        ({"families": []}, r"\$\.families: name at least one, or null for all"),
        ({"families": "age_puzzle"}, r"\$\.families: expected a list, got text"),
        ({"dificulty": 1}, r"\$\.dificulty: unknown key, did you mean 'difficulty'\?"),
        ({"difficulty": 4}, r"\$\.difficulty: must be one of \(1, 2, 3\) or null, got 4"),
        ({"difficulty": "1"}, r"\$\.difficulty: expected an integer, got text"),
        ({"difficulty": True}, r"\$\.difficulty: expected an integer, got true or false"),
        ({"reasoning_share": 101}, r"\$\.reasoning_share: must be 0 to 100, got 101"),
        ({"reasoning_share": 0.7}, r"\$\.reasoning_share: expected an integer"),
    ],
)
def test_a_wrong_setting_is_named(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRecordError, match=problem):
        structure(MixConfig, data)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "elsewhere"}, "was not made by dev-reasoning-v1 version 1"),
        ({"version": "2"}, "was not made by dev-reasoning-v1 version 1"),
        ({"mix": None}, r"meta\.mix is wrong"),
        ({"mix": ["70/all/all"]}, r"meta\.mix is wrong"),
        ({"mix": "70/all"}, "'70/all' is no mix"),
        ({"split": 3}, r"meta\.split is wrong"),
        ({"split": "dev"}, "no split 'dev'"),
        ({"seed": "42"}, r"meta\.seed is wrong"),
        ({"seed": True}, r"meta\.seed is wrong"),
        ({"index": 1.0}, r"meta\.index is wrong"),
        ({"index": -1}, "item -1 does not exist"),
        ({"index": 10**12}, "no item 1000000000000"),
    ],
)
def test_an_item_that_was_edited_is_refused_in_one_line(
    changes: dict[str, Any], reason: str
) -> None:
    item = edited(DEFAULT.item("train", 42, 0), **changes)
    for judge in (lambda: DEFAULT.verify(item, "1"), lambda: DEFAULT.check(item, "1 + 1 = 2")):
        with pytest.raises(UsageError, match=reason) as caught:
            judge()
        assert "\n" not in str(caught.value)


def test_an_item_without_meta_is_refused() -> None:
    item = DEFAULT.item("train", 42, 0)
    with pytest.raises(UsageError, match="was not made by"):
        DEFAULT.check(evolve(item, trace=evolve(item.trace, meta=None)), "")
