"""Two runs over the same items, compared pair by pair.

Pairing removes the difficulty of the items from the noise, which two separate intervals leave in
(Miller, 2024, "Adding Error Bars to Evals", arXiv 2411.00640).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from attrs import frozen
from scipy import stats

from tunix_core.errors import NotComparableError, UsageError
from tunix_core.protocols import CompareRequest, Tolerance
from tunix_core.records import Verdict

POWER = 0.8

Direction = Literal["higher", "lower"]


def higher_is_better() -> PairedComparator:
    """The comparator for scores."""
    return PairedComparator("higher")


def lower_is_better() -> PairedComparator:
    """The comparator for losses, errors and costs."""
    return PairedComparator("lower")


@frozen
class _Difference:
    """The mean of paired differences with what chance allows."""

    mean: float
    low: float
    high: float
    p_value: float | None
    smallest_detectable: float | None


@frozen
class PairedComparator:
    """Compares item by item; a candidate regresses when it is worse beyond tolerance and chance.

    Values that are all 0 or 1 are tested with McNemar's exact test, others with Student's paired
    t-test; the interval of the difference is Student's. The smallest detectable difference is
    the one that this many pairs show with a power of 80 %.

    Args:
        direction: Which values are better.
    """

    direction: Direction

    def compare(self, request: CompareRequest) -> Verdict:
        """Judge the candidate against the baseline.

        Raises:
            NotComparableError: They share no item.
            UsageError: A value is not finite, or the tolerance makes no sense.
        """
        _check(request)
        paired = sorted(request.baseline.keys() & request.candidate.keys())
        if not paired:
            raise NotComparableError(
                "baseline and candidate share no item", "evaluate both on the same dataset"
            )
        before = [float(request.baseline[item]) for item in paired]
        after = [float(request.candidate[item]) for item in paired]
        difference = _difference(before, after, request.tolerance.confidence)
        sign = 1 if self.direction == "higher" else -1
        worse = [
            {"item_id": item, "baseline": a, "candidate": b}
            for item, a, b in zip(paired, before, after, strict=True)
            if sign * (b - a) < 0
        ]
        regressed = (
            -sign * difference.mean > request.tolerance.absolute
            and difference.p_value is not None
            and difference.p_value < 1 - request.tolerance.confidence
        )
        return Verdict(
            regressed=regressed,
            direction=self.direction,
            baseline=math.fsum(before) / len(paired),
            candidate=math.fsum(after) / len(paired),
            delta=difference.mean,
            low=difference.low,
            high=difference.high,
            p_value=difference.p_value,
            smallest_detectable=difference.smallest_detectable,
            n_paired=len(paired),
            missing=tuple(sorted(request.baseline.keys() - request.candidate.keys())),
            new=tuple(sorted(request.candidate.keys() - request.baseline.keys())),
            regressions=tuple(worse),
            reason=_reason(sign, difference, request.tolerance, len(paired)),
        )


def _check(request: CompareRequest) -> None:
    tolerance = request.tolerance
    if not (tolerance.absolute >= 0 and math.isfinite(tolerance.absolute)):
        raise UsageError(f"tolerance {tolerance.absolute} must be 0 or more")
    if not 0 < tolerance.confidence < 1:
        raise UsageError(f"confidence {tolerance.confidence} must lie between 0 and 1")
    for side, values in (("baseline", request.baseline), ("candidate", request.candidate)):
        for item, value in values.items():
            if not math.isfinite(value):
                raise UsageError(f"{side} value of item {item!r} is {value}")


def _difference(before: Sequence[float], after: Sequence[float], confidence: float) -> _Difference:
    n = len(before)
    differences = [b - a for a, b in zip(before, after, strict=True)]
    mean = math.fsum(differences) / n
    binary = all(value in (0.0, 1.0) for value in (*before, *after))
    if n == 1:
        return _Difference(mean, mean, mean, None, None)
    deviation = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * deviation / math.sqrt(n)
    normal = NormalDist()
    detectable = (normal.inv_cdf(0.5 + confidence / 2) + normal.inv_cdf(POWER)) * deviation
    detectable /= math.sqrt(n)
    if binary:
        gained, lost = differences.count(1.0), differences.count(-1.0)
        p_value = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
        # No fewer items than this can be significant, even if all of them change one way.
        detectable = max(detectable, math.ceil(math.log2(2 / (1 - confidence))) / n)
    elif deviation == 0:
        p_value = 1.0 if mean == 0 else 0.0
    else:
        p_value = float(2 * stats.t.sf(abs(mean) / deviation * math.sqrt(n), n - 1))
    return _Difference(mean, mean - half, mean + half, p_value, detectable)


def _reason(sign: int, difference: _Difference, tolerance: Tolerance, n: int) -> str:
    loss = -sign * difference.mean
    if difference.p_value is None:
        return "one pair cannot tell a difference from chance"
    chance = f"p = {difference.p_value:.2g} over {n} pairs"
    beyond_chance = difference.p_value < 1 - tolerance.confidence
    if loss <= 0:
        verb = "better" if loss < 0 and beyond_chance else "not worse"
        return f"{verb}: {difference.mean:+.4f}, {chance}"
    if not beyond_chance:
        return f"worse by {loss:.4f}, but within chance: {chance}"
    if loss <= tolerance.absolute:
        return f"worse by {loss:.4f}, within the tolerance of {tolerance.absolute:g}: {chance}"
    return f"worse by {loss:.4f}, beyond the tolerance of {tolerance.absolute:g}: {chance}"
