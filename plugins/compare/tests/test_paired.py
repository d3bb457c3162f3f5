"""The paired comparators: their contract, and what they say of a single comparison."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from tunix_compare.binary import score_statistic
from tunix_compare.paired import PairedComparator, higher_is_better, lower_is_better
from tunix_core.contributions import COMPARATOR
from tunix_core.errors import NotComparableError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import Comparator, CompareRequest, Tolerance
from tunix_core.records import Verdict
from tunix_core.testing.comparator import ComparatorConformance

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)
TABLES = st.tuples(*[st.integers(0, 30)] * 4).filter(any)
Pairs = list[tuple[float, float]]


class TestHigherIsBetter(ComparatorConformance):
    direction = "higher"

    def make(self) -> Comparator:
        return higher_is_better()


class TestLowerIsBetter(ComparatorConformance):
    direction = "lower"

    def make(self) -> Comparator:
        return lower_is_better()


def request(pairs: Pairs, **tolerance: float) -> CompareRequest:
    return CompareRequest(
        {f"{n:04}": pair[0] for n, pair in enumerate(pairs)},
        {f"{n:04}": pair[1] for n, pair in enumerate(pairs)},
        Tolerance(**tolerance),
    )


def compare(pairs: Pairs, **tolerance: float) -> Verdict:
    return higher_is_better().compare(request(pairs, **tolerance))


def table(lost: int, gained: int, right: int, wrong: int) -> Pairs:
    counts = {(1.0, 0.0): lost, (0.0, 1.0): gained, (1.0, 1.0): right, (0.0, 0.0): wrong}
    return [pair for pair, count in counts.items() for _ in range(count)]


def test_is_offered_by_the_installed_plugin() -> None:
    plugins = Plugins.discover()
    for name in ("higher-is-better", "lower-is-better"):
        comparator = plugins.find(COMPARATOR, name).create()
        assert isinstance(comparator, PairedComparator)
        assert name.startswith(comparator.direction)


@given(st.one_of(PAIRS, TABLES.map(lambda counts: table(*counts))), st.floats(0, 0.5))
def test_the_directions_mirror_each_other(pairs: Pairs, tolerance: float) -> None:
    higher = compare(pairs, absolute=tolerance)
    turned = [(1 - a, 1 - b) for a, b in pairs]
    lower = lower_is_better().compare(request(turned, absolute=tolerance))
    assert (higher.delta, higher.low) == pytest.approx((-lower.delta, -lower.high), abs=1e-12)
    if higher.p_value is not None and abs(higher.p_value - 0.05) > 1e-6:
        assert higher.regressed == lower.regressed


@given(st.one_of(PAIRS, TABLES.map(lambda counts: table(*counts))), st.floats(0, 1))
def test_verdict_p_value_and_interval_never_contradict_each_other(
    pairs: Pairs, tolerance: float
) -> None:
    verdict = compare(pairs, absolute=tolerance)
    assert -1 <= verdict.low <= verdict.delta <= verdict.high <= 1
    assert verdict.low < verdict.high
    if verdict.p_value is None:
        assert (verdict.outcome, len(pairs) < 6) == ("inconclusive", True)
        return
    if abs(verdict.p_value - 0.05) > 1e-6:
        inside = verdict.low <= -tolerance <= verdict.high
        assert inside == (verdict.p_value >= 0.05)
        assert verdict.regressed == (verdict.high < -tolerance)
    assert verdict.outcome != "pass" or verdict.delta >= -tolerance


@given(TABLES)
def test_without_a_tolerance_it_is_the_test_of_mcnemar(counts: tuple[int, int, int, int]) -> None:
    lost, gained, *_ = counts
    verdict = compare(table(*counts))
    if verdict.p_value is not None:
        z = (lost - gained) / math.sqrt(lost + gained) if lost + gained else 0.0
        assert verdict.p_value == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_the_interval_is_that_of_the_literature() -> None:
    # 21 children before and after a transplantation (Bentur et al., 2009), as worked out by
    # Fagerland, Lydersen and Laake, 2014, "Recommended tests and confidence intervals for
    # paired binomial proportions", Statistics in Medicine 33, 2850-2875.
    verdict = compare(table(lost=7, gained=1, right=1, wrong=12))
    assert (verdict.low, verdict.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(TABLES, st.floats(-0.95, 0.95))
def test_the_score_is_that_of_the_most_likely_table(
    counts: tuple[int, int, int, int], loss: float
) -> None:
    lost, gained, right, wrong = counts
    n = sum(counts)

    def unlikely(rate: float) -> float:
        cells = [(lost, rate + loss), (gained, rate), (right + wrong, 1 - 2 * rate - loss)]
        return -sum(count * math.log(max(cell, 1e-300)) for count, cell in cells if count)

    found = optimize.minimize_scalar(
        unlikely,
        bounds=(max(0.0, -loss), (1 - loss) / 2),
        method="bounded",
        options={"xatol": 1e-9},
    )
    variance = n * (2 * found.x + loss - loss**2)
    expected = (lost - gained - n * loss) / math.sqrt(variance)
    assert float(score_statistic(lost, gained, n, loss)) == pytest.approx(
        expected, rel=1e-3, abs=1e-3
    )


def test_other_values_get_the_paired_t_test() -> None:
    draw = random.Random(5)
    pairs = [(x := draw.random(), x + draw.gauss(-0.1, 0.2)) for _ in range(50)]
    for tolerance in (0.0, 0.05):
        verdict = compare(pairs, absolute=tolerance)
        reference = stats.ttest_1samp([b - a for a, b in pairs], -tolerance)
        interval = reference.confidence_interval(0.95)
        assert verdict.p_value == pytest.approx(reference.pvalue)
        assert (verdict.low, verdict.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("pairs", [1, 2, 5])
@pytest.mark.parametrize("pair", [(1.0, 0.0), (0.0, 1.0), (0.7, 0.2), (0.5, 0.5), (1.0, 1.0)])
def test_hardly_any_pairs_tell_nothing(pairs: int, pair: tuple[float, float]) -> None:
    verdict = compare([pair] * pairs)
    assert (verdict.outcome, verdict.p_value, verdict.smallest_detectable) == (
        "inconclusive",
        None,
        None,
    )
    assert (verdict.low, verdict.high) == (-1, 1)
    assert "cannot tell a difference from chance" in verdict.reason


def test_equal_differences_are_not_certain() -> None:
    tiny = compare([(0.5, 0.5 - 1e-9)] * 200)
    assert tiny.outcome == "inconclusive"
    assert tiny.p_value == pytest.approx(1, abs=1e-5)
    assert "worse by 1e-09" in tiny.reason, "not by 0.0000"
    few, many = (compare([(0.75, 0.5)] * n) for n in (10, 40))
    assert (few.outcome, many.outcome) == ("inconclusive", "fail")
    assert few.low < many.low < -0.25 < many.high < few.high
    same = compare([(0.75, 0.75), (0.5, 0.5)] * 20)
    assert (same.outcome, same.p_value) == ("pass", 1.0)
    assert same.low < 0 < same.high


def test_what_cannot_be_shown_is_not_passed() -> None:
    rarely = compare(table(0, 0, 1, 29))
    assert (rarely.outcome, rarely.smallest_detectable) == ("inconclusive", None)
    assert compare(table(0, 0, 15, 15)).outcome == "pass"
    assert compare(table(0, 12, 0, 18)).outcome == "pass", "better, from nothing"


def test_a_loss_within_the_tolerance_passes_and_one_beyond_it_must_be_beyond_chance() -> None:
    lost = table(lost=30, gained=0, right=170, wrong=0)
    outcomes = [compare(lost, absolute=tolerance).outcome for tolerance in (0.05, 0.14, 0.15, 0.3)]
    assert outcomes == ["fail", "inconclusive", "pass", "pass"]
    assert "within the tolerance of 0.3:" in compare(lost, absolute=0.3).reason
    assert "as observed" in compare(lost, absolute=0.15).reason


def test_what_is_missing_is_the_worst_on_its_side() -> None:
    shown = dict.fromkeys([f"{n}" for n in range(40)], 0.9)
    hidden = {"0": 1.0, "1": 1.0}
    with pytest.raises(NotComparableError, match=r"38 have a score in the baseline alone, 0 in"):
        higher_is_better().compare(CompareRequest(shown, hidden))
    allowed = CompareRequest(shown, hidden, allow_missing=True)
    assert higher_is_better().compare(allowed).outcome == "fail"
    assert lower_is_better().compare(allowed).candidate == pytest.approx(1.0)
    turned = higher_is_better().compare(CompareRequest(hidden, shown, allow_missing=True))
    assert turned.outcome == "pass"
    wide = CompareRequest(shown, hidden, allow_missing=True, bounds=(-4.0, 1.0))
    assert higher_is_better().compare(wide).candidate == pytest.approx((2 - 4 * 38) / 40)


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
