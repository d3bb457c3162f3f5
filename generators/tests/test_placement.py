"""Shuffles are bijections, splits part a space, and layouts use everything once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.errors import UsageError
from tunix_generators.families import FAMILIES
from tunix_generators.family import LEVELS
from tunix_generators.permutation import Surface, digest, permute
from tunix_generators.placement import SPLITS, lay_out, split_range

sizes = st.integers(1, 600)
huge = st.integers(1, 10**15)


@given(sizes, st.text(max_size=8))
def test_a_shuffle_gives_every_place_once(size: int, key: str) -> None:
    assert sorted(permute(index, size, key) for index in range(size)) == list(range(size))


@given(huge, st.data())
def test_a_shuffle_stays_within_a_large_range(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, size - 1))
    second = data.draw(st.integers(0, size - 1))
    places = permute(first, size, "key"), permute(second, size, "key")
    assert all(0 <= place < size for place in places)
    assert (places[0] == places[1]) == (first == second)


def test_keys_choose_different_shuffles() -> None:
    shuffles = {tuple(permute(i, 100, f"key {number}") for i in range(100)) for number in range(50)}
    assert len(shuffles) == 50


def test_a_shuffle_leaves_few_places_as_they_were() -> None:
    kept = sum(
        permute(index, 1000, f"{key}") == index for key in range(20) for index in range(1000)
    )
    # One in a thousand is expected: 20 of these 20,000.
    assert kept < 60


def test_shuffles_never_change() -> None:
    assert [permute(index, 10, "golden") for index in range(10)] == [9, 7, 1, 5, 8, 4, 2, 6, 0, 3]
    assert digest("golden") == 0xE400C30BC0C57B7DE30C6B3CB756C382


@given(huge)
def test_splits_part_a_space(size: int) -> None:
    ranges = [split_range(size, split) for split in SPLITS]
    begin = 0
    for first, count in ranges:
        assert first == begin
        assert count >= 0
        begin += count
    assert begin == size


def test_splits_have_their_shares() -> None:
    assert SPLITS == {"train": 90, "validation": 5, "test": 5}
    assert [split_range(1000, split)[1] for split in SPLITS] == [900, 50, 50]


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(UsageError, match=r"no split 'dev' \(known: train, validation, test\)"):
        split_range(10, "dev")


@pytest.mark.parametrize("levels", [(1,), (3, 1), (1, 2)])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_layout_uses_every_place_once(levels: tuple[int, ...], split: str) -> None:
    layout = lay_out(FAMILIES["ordering_people"], split, levels, "tests")
    count = min(layout.capacity, 6000)
    found = [layout.find(running) for running in range(count)]
    places = Counter((shelf.level, place) for shelf, place in found)
    assert set(places.values()) == {1}
    for shelf, place in found:
        assert place < shelf.count
    if count == layout.capacity:
        with pytest.raises(IndexError):
            layout.find(layout.capacity)


def test_levels_take_turns_until_the_easy_ones_are_used_up() -> None:
    layout = lay_out(FAMILIES["calendar_day"], "test", LEVELS, "tests")
    counts = [split_range(FAMILIES["calendar_day"].cardinality(k), "test")[1] for k in LEVELS]
    assert layout.capacity == sum(counts)
    levels = [layout.find(running)[0].level for running in range(3 * counts[0] + 10)]
    assert levels == [1, 2, 3] * counts[0] + [2, 3] * 5
    assert layout.find(layout.capacity - 1)[0].level == 3


def test_a_seed_orders_a_split_without_leaving_it() -> None:
    layout = lay_out(FAMILIES["calendar_day"], "test", (1,), "tests")
    shelf, _ = layout.find(0)
    orders = [[shelf.point(seed, place) for place in range(shelf.count)] for seed in (1, 2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == shelf.count


@given(st.text(max_size=8), st.lists(st.integers(1, 30), max_size=12))
def test_draws_are_below_their_bound(key: str, bounds: list[int]) -> None:
    surface, again = Surface(key), Surface(key)
    for bound in bounds:
        value = surface.below(bound)
        assert 0 <= value < bound
        assert again.below(bound) == value


@given(st.text(max_size=8))
def test_two_are_never_the_same(key: str) -> None:
    one, other = Surface(key).pick_two(("a", "b", "c"))
    assert one != other
