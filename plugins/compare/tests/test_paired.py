"""The paired comparators: their contract, and that their statistics are what they claim."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunix_compare.paired import PairedComparator, higher_is_better, lower_is_better
from tunix_core.contributions import COMPARATOR
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import Comparator, CompareRequest, Tolerance
from tunix_core.testing.comparator import ComparatorConformance

# Never 0 and 1, which are tested in another way and are no more so when mirrored.
VALUES = st.lists(st.tuples(st.floats(1.5, 10), st.floats(1.5, 10)), min_size=2, max_size=40)


class TestHigherIsBetter(ComparatorConformance):
    direction = "higher"

    def make(self) -> Comparator:
        return higher_is_better()


class TestLowerIsBetter(ComparatorConformance):
    direction = "lower"

    def make(self) -> Comparator:
        return lower_is_better()


def request(pairs: list[tuple[float, float]], **tolerance: float) -> CompareRequest:
    return CompareRequest(
        {f"{n:04}": pair[0] for n, pair in enumerate(pairs)},
        {f"{n:04}": pair[1] for n, pair in enumerate(pairs)},
        Tolerance(**tolerance),
    )


def test_is_offered_by_the_installed_plugin() -> None:
    plugins = Plugins.discover()
    for name in ("higher-is-better", "lower-is-better"):
        comparator = plugins.find(COMPARATOR, name).create()
        assert isinstance(comparator, PairedComparator)
        assert name.startswith(comparator.direction)


@given(VALUES)
def test_the_directions_mirror_each_other(pairs: list[tuple[float, float]]) -> None:
    higher = higher_is_better().compare(request(pairs))
    mirrored = lower_is_better().compare(request([(-a, -b) for a, b in pairs]))
    assert higher.regressed == mirrored.regressed
    assert higher.p_value == mirrored.p_value
    assert higher.delta == -mirrored.delta
    assert [r["item_id"] for r in higher.regressions] == [
        r["item_id"] for r in mirrored.regressions
    ]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 30))
def test_zero_and_one_are_tested_exactly(gained: int, lost: int, same: int) -> None:
    pairs = [(0.0, 1.0)] * gained + [(1.0, 0.0)] * lost + [(1.0, 1.0)] * same
    verdict = higher_is_better().compare(request(pairs))
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
    assert verdict.p_value == pytest.approx(min(1.0, 2 * tail / 2**n))
    assert verdict.regressed == (lost > gained and min(1.0, 2 * tail / 2**n) < 0.05)


def test_other_values_get_the_paired_t_test() -> None:
    draw = random.Random(5)
    pairs = [(x := draw.random(), x + draw.gauss(-0.1, 0.2)) for _ in range(50)]
    verdict = higher_is_better().compare(request(pairs))
    reference = stats.ttest_rel([b for _, b in pairs], [a for a, _ in pairs])
    interval = reference.confidence_interval(0.95)
    assert verdict.p_value == pytest.approx(reference.pvalue)
    assert (verdict.low, verdict.high) == pytest.approx((interval.low, interval.high))


def test_false_alarms_are_as_rare_as_the_confidence_says() -> None:
    draw = random.Random(11)
    alarms = 0
    for _ in range(400):
        pairs = [(float(draw.random() < 0.6), float(draw.random() < 0.6)) for _ in range(60)]
        alarms += higher_is_better().compare(request(pairs)).regressed
    assert alarms / 400 <= 0.04, "one-sided alarms at 95 % two-sided confidence: at most 2.5 %"


def test_the_smallest_detectable_difference_is_detected_four_times_in_five() -> None:
    draw = random.Random(3)
    detected = 0
    effect = (1.959964 + 0.841621) * 0.2 / math.sqrt(40)
    for _ in range(400):
        pairs = [(0.0, -effect + draw.gauss(0, 0.2)) for _ in range(40)]
        detected += higher_is_better().compare(request(pairs)).regressed
    assert 0.72 < detected / 400 < 0.86


def test_one_pair_cannot_tell() -> None:
    verdict = higher_is_better().compare(request([(1.0, 0.0)]))
    assert (verdict.regressed, verdict.p_value, verdict.smallest_detectable) == (False, None, None)
    assert "one pair" in verdict.reason


@pytest.mark.parametrize(
    ("baseline", "tolerance", "message"),
    [
        (math.nan, Tolerance(), "baseline value of item 'a' is nan"),
        (math.inf, Tolerance(), "is inf"),
        (0.0, Tolerance(absolute=-1), "tolerance -1"),
        (0.0, Tolerance(confidence=1.0), "confidence 1.0"),
    ],
)
def test_nonsense_is_refused(baseline: float, tolerance: Tolerance, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        higher_is_better().compare(CompareRequest({"a": baseline}, {"a": 0.0}, tolerance))
