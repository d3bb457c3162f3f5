"""Means with their intervals: exact quantiles, honest widths, and the coverage that is claimed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunix_core.evaluators.statistics import estimate, mean_interval, student_quantile, wilson

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_the_quantiles_of_student_are_those_of_scipy(confidence: float) -> None:
    freedoms = [*range(1, 40), 100, 101, 999, 1000, 1001, 10_000]
    found = [student_quantile(freedom, confidence) for freedom in freedoms]
    assert found == pytest.approx(stats.t.isf((1 - confidence) / 2, freedoms), rel=1e-5)


@given(SCORES)
def test_an_interval_holds_its_mean_lies_in_the_range_and_is_never_a_point(
    values: list[float],
) -> None:
    made = estimate(values)
    assert made.mean is not None
    assert made.low is not None
    assert made.high is not None
    assert 0 <= made.low <= made.mean + 1e-12
    assert made.mean - 1e-12 <= made.high <= 1
    assert made.low < made.high
    assert made.n == len(values)


def test_alike_values_are_the_less_certain_the_fewer_they_are() -> None:
    widths = []
    for n in (1, 2, 5, 40, 1000):
        made = estimate([0.75] * n)
        assert made.low is not None
        assert made.high is not None
        assert made.low < 0.75 < made.high
        widths.append(made.high - made.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.9
    assert widths[-1] < 0.005


def test_values_beyond_the_range_widen_it() -> None:
    mean, low, high = mean_interval([50, 60, 70])
    assert (mean, 0 < low < 60 < high < 70) == (60, True)


def test_of_many_values_it_is_the_interval_of_student() -> None:
    values = np.random.default_rng(1).uniform(0, 1, 2_000)
    reference = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert mean_interval(values.tolist())[1:] == pytest.approx(reference, abs=1e-4)


def test_of_right_and_wrong_it_is_nearly_the_interval_of_wilson() -> None:
    right = [1.0] * 120 + [0.0] * 80
    assert mean_interval(right)[1:] == pytest.approx(wilson(120, 200), abs=1e-3)


def covered(rows: np.ndarray[Any, np.dtype[np.float64]], truth: float) -> float:
    """How often the interval of a row holds the true mean."""
    made = [mean_interval(row) for row in rows.tolist()]
    return float(np.mean([low <= truth <= high for _, low, high in made]))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100, 1000])
def test_means_are_covered(n: int) -> None:
    draw = np.random.default_rng(n)
    trials = 4_000 if n <= 100 else 600
    noise = 3 * math.sqrt(0.95 * 0.05 / trials)
    for a, b in ((1, 1), (8, 2), (2, 8)):
        share = covered(draw.beta(a, b, (trials, n)), a / (a + b))
        assert share == pytest.approx(0.95, abs=0.01 + noise), (a, b)


@pytest.mark.parametrize("n", [10, 25, 50, 100, 250, 1000])
def test_shares_of_right_answers_are_covered(n: int) -> None:
    counts = np.arange(n + 1)
    ends = np.array([wilson(int(count), n) for count in counts])
    shares = np.linspace(0.05, 0.95, 181)
    held = np.array([(ends[:, 0] <= p) & (p <= ends[:, 1]) for p in shares])
    covered = np.sum(held * stats.binom.pmf(counts, n, shares[:, None]), axis=1)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
    # A count jumps, so that no interval covers every single share alike; few counts jump far.
    middle = covered[(n * shares >= 10) & (n * (1 - shares) >= 10)]
    assert np.all(np.abs(middle - 0.95) <= (0.03 if n <= 50 else 0.025))
    assert covered.min() >= (0.83 if n < 50 else 0.9)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("n", [10, 50, 250])
def test_items_of_several_samples_are_covered(n: int, rho: float) -> None:
    draw = np.random.default_rng(5)
    for p in (0.2, 0.5, 0.8, 0.95):
        share = max(rho, 1e-6)
        ease = draw.beta(p * (1 - share) / share, (1 - p) * (1 - share) / share, (600, n))
        made = [estimate(row.tolist()) for row in draw.binomial(4, ease) / 4]
        held = [e.low is not None and e.high is not None and e.low <= p <= e.high for e in made]
        # Never much less than is said; more where nearly all samples are alike.
        assert np.mean(held) >= 0.95 - 0.02 - 3 * math.sqrt(0.95 * 0.05 / 600), p
