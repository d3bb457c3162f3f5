"""What the comparators promise of chance: false alarms, power and coverage.

Pairs of right and wrong are not drawn but summed over: every table of an experiment with its
probability, so that there is no noise in the figures. Runs of equal accuracy ``p`` and correlation
``rho`` agree on an item with probability ``rho`` and else are right independently; a loss falls on
right answers at random. Other values are drawn.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tunix_compare.binary import (
    alarm_rate,
    fewest_lost,
    loss_of_right_answers,
    p_value,
    smallest_detectable,
)
from tunix_compare.means import loss_of_means

Floats = NDArray[np.float64]

# On either side of an interval of 95 %.
CHANCE = 0.025
SIZES = (10, 25, 50, 100)
LARGE = (250, 500, 1000)
ACCURACIES = (0.05, 0.2, 0.5, 0.8, 0.95)
CORRELATIONS = (0.0, 0.5, 0.9)
TOLERANCES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
SIZES_AND_LARGE = [
    *SIZES,
    *(pytest.param(n, marks=pytest.mark.full) for n in LARGE),
]


def rates(accuracy: float, correlation: float, loss: float) -> tuple[float, float]:
    """Probabilities that an item is lost and that it is gained."""
    gained = (1 - correlation) * (1 - accuracy) * (accuracy - loss)
    return gained + loss, gained


@cache
def stated(apart: int, right: int, n: int, tolerance: float) -> float | None:
    """The loss that is stated for runs of which each has half of ``apart`` right alone."""
    return loss_of_right_answers(apart, 0, right, n, tolerance, 0.95).detectable


def coverage(n: int, lost: float, gained: float) -> float:
    """The probability that the interval, of what the test does not reject, holds the true loss."""
    counts = stats.binom.pmf(np.arange(n + 1), n, lost)
    b = np.flatnonzero(counts > 1e-7)
    c = np.arange(n + 1)
    given_lost = stats.binom.pmf(c, (n - b)[:, None], gained / (1 - lost))
    more = p_value(b[:, None], c, n, lost - gained)
    less = p_value(c, b[:, None], n, gained - lost)
    held = np.minimum(more, less) >= CHANCE
    return float(np.sum(counts[b][:, None] * given_lost * held))


@pytest.mark.parametrize("n", [6, 8, *SIZES, *LARGE])
def test_a_loss_of_the_tolerance_is_an_alarm_once_in_twenty_at_most(n: int) -> None:
    for tolerance in TOLERANCES:
        alarms = fewest_lost(n, tolerance, CHANCE)
        # Whatever the accuracies and the correlation are, negative ones too.
        worst = max(
            alarm_rate(alarms, gained + tolerance, gained)
            for gained in np.linspace(0, (1 - tolerance) / 2, 50)
        )
        assert worst <= 0.05, (n, tolerance)
        if n >= 50:
            usual = alarm_rate(alarms, *rates(0.5 + tolerance, 0.0, tolerance))
            assert usual == pytest.approx(0.025, abs=0.008), (n, tolerance)


@pytest.mark.full
def test_no_number_of_pairs_and_no_tolerance_alarms_more_often() -> None:
    sizes = [*range(10, 60), 75, 150, 200, 300, 400, 600, 800]
    for n, tolerance in product(sizes, np.arange(0, 0.31, 0.01)):
        alarms = fewest_lost(n, tolerance, CHANCE)
        grid = np.linspace(0, (1 - tolerance) / 2, 40)
        assert max(alarm_rate(alarms, g + tolerance, g) for g in grid) <= 0.05, (n, tolerance)


@pytest.mark.parametrize("n", SIZES_AND_LARGE)
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_the_stated_loss_is_found_four_times_in_five(n: int, p: float) -> None:
    for rho, tolerance in product(CORRELATIONS, (0.0, 0.05)):
        lost, gained = rates(p, rho, 0.0)
        cells = [lost, gained, p - lost, 1 - p - gained]
        tables = np.random.default_rng(n).multinomial(n, cells, 60)
        found = [stated(int(b + c), int(a), n, tolerance) for b, c, a, _ in tables]
        losses = [loss for loss in found if loss is not None]
        if len(losses) < 0.9 * len(found):
            assert n <= 25, "only of so few pairs can half be lost without being found"
            continue
        alarms = fewest_lost(n, tolerance, CHANCE)
        power = alarm_rate(alarms, *rates(p, rho, min(p, float(np.mean(losses)))))
        assert power == pytest.approx(0.8, abs=0.03), (rho, tolerance)


@pytest.mark.parametrize("n", SIZES_AND_LARGE)
def test_the_power_at_the_stated_loss_is_exact_where_the_disagreement_is_known(n: int) -> None:
    for apart, right, tolerance in product((0, n // 10, n // 4), (n // 2, 7 * n // 10), (0, 0.05)):
        stated = smallest_detectable(apart, right, n, tolerance, CHANCE)
        if stated is None:
            assert n == 10, "only of so few pairs can half be lost without being found"
            continue
        gained = apart / n / 2 * (1 - stated / ((right + apart / 2) / n))
        cells = [gained + stated, gained, 1 - 2 * gained - stated]
        tables = np.random.default_rng(3).multinomial(n, cells, 20_000)
        found = p_value(tables[:, 0], tables[:, 1], n, tolerance) < CHANCE
        assert np.mean(found) == pytest.approx(0.8, abs=0.01), (apart, right, tolerance)


@pytest.mark.parametrize("n", [*SIZES, *LARGE])
def test_the_interval_of_the_difference_covers_as_it_says(n: int) -> None:
    covered = {}
    for p, rho, loss in product(ACCURACIES, CORRELATIONS, (0.0, 0.02, 0.1)):
        if loss < p:
            lost, gained = rates(p, rho, loss)
            covered[p, rho, loss] = (coverage(n, lost, gained), n * (lost + gained))
    assert min(share for share, _ in covered.values()) >= 0.93
    # Where hardly an item differs there are too few tables for 95 %: it is more then.
    for case, (share, differing) in covered.items():
        if differing >= 10:
            assert share == pytest.approx(0.95, abs=0.015), (n, case)


def losses_of_means(
    draw: np.random.Generator, n: int, p: float, rho: float, loss: float, samples: int = 4
) -> Floats:
    """Losses of items that are each answered several times, one row an experiment."""
    # How hard an item is makes its samples, and both runs, alike.
    share = rho if rho > 0 else 1e-6
    ease = draw.beta(
        p * (1 - share) / share, (1 - p) * (1 - share) / share, (1000 if n <= 100 else 200, n)
    )
    before = draw.binomial(samples, ease) / samples
    after = draw.binomial(samples, ease * (1 - loss / p)) / samples
    return np.asarray(before - after, np.float64)


@pytest.mark.parametrize("n", SIZES_AND_LARGE)
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_means_of_several_samples_are_compared_as_well(n: int, rho: float) -> None:
    draw = np.random.default_rng(7)
    for p, loss in product((0.2, 0.5, 0.95), (0.0, 0.05)):
        rows = losses_of_means(draw, n, p, rho, loss)
        results = [loss_of_means(row.tolist(), 1.0, loss, 0.95) for row in rows]
        rejected = [r.p_value is not None and r.p_value < 0.05 for r in results]
        alarms = [r.mean > loss and is_ for r, is_ in zip(results, rejected, strict=True)]
        held = [r.low <= loss + 1e-12 and loss - 1e-12 <= r.high for r in results]
        differing = np.mean(np.count_nonzero(rows, axis=1))
        noise = 3 * (0.05 * 0.95 / len(rows)) ** 0.5
        assert np.mean(alarms) <= 0.05 + noise, (p, loss)
        # Where few items differ, and all one way, a t-test is too sure of the other end.
        least = 0.935 if differing >= 10 else 0.85
        assert np.mean(held) >= least - noise, (p, loss)
        assert [not r for r in rejected] == held


@pytest.mark.parametrize("n", [10, 40, 1000])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_the_t_test_finds_the_stated_loss_four_times_in_five(n: int, tolerance: float) -> None:
    draw = np.random.default_rng(11)
    # A sample whose deviation is 0.1 exactly, so that what is stated holds for such values.
    unit = stats.zscore(draw.normal(size=n), ddof=1)
    stated = loss_of_means((unit * 0.1).tolist(), 1.0, tolerance, 0.95).detectable
    assert stated is not None
    drawn = draw.normal(stated, 0.1, (20_000, n))
    t = (drawn.mean(1) - tolerance) / (drawn.std(1, ddof=1) / np.sqrt(n))
    assert np.mean(t > stats.t.isf(0.025, n - 1)) == pytest.approx(0.8, abs=0.015)
