"""The interval of a win rate."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.evaluation.pairwise import win_rate_interval

VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=30)


@given(VALUES)
def test_it_has_a_width_holds_the_mean_and_is_the_same_from_both_sides(values: list[float]) -> None:
    low, high = win_rate_interval(values)
    assert 0 <= low < high <= 1
    assert low <= sum(values) / len(values) <= high
    turned = win_rate_interval([1 - value for value in values])
    assert turned == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("n", [10, 30, 100, 400])
@pytest.mark.parametrize(
    ("win", "tie"), [(0.5, 0.0), (0.3, 0.4), (0.6, 0.2), (0.8, 0.1), (0.1, 0.85), (0.95, 0.0)]
)
def test_it_holds_the_truth_as_often_as_it_says(n: int, win: float, tie: float) -> None:
    draw = random.Random(f"{n} {win} {tie}")
    truth, held, times = win + tie / 2, 0, 2000
    for _ in range(times):
        values = draw.choices((1.0, 0.5, 0.0), (win, tie, max(0.0, 1 - win - tie)), k=n)
        low, high = win_rate_interval(values)
        held += low <= truth <= high
    assert held / times >= 0.91
