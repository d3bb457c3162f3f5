"""Means with honest intervals; exact where that is cheap, and without dependencies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

from tunix_core.records import SCORE_RANGE, Estimate, Score

CONFIDENCE = 0.95
# Degrees of freedom from which on two terms of a series give Student's t to six digits.
MANY = 1000
# What differs by less of the width of the range differs by rounding.
ROUNDING = 1e-9


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of the standard normal: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a proportion (Wilson, 1927); inside 0..1 and sound for small ``n``."""
    return _score_interval(successes / n, n, normal_quantile(confidence))


def _score_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """The shares that lie at most so many of their own standard errors from an observed one."""
    scale = 1 + quantile * quantile / n
    centre = (share + quantile * quantile / (2 * n)) / scale
    half = quantile / scale * math.sqrt(share * (1 - share) / n + (quantile / (2 * n)) ** 2)
    # At 0 and 1 an end is the share itself, but for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


@lru_cache(maxsize=4096)
def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t: 12.7 for 0.95 and 1 degree of freedom."""
    if freedom > MANY:
        z = normal_quantile(confidence)
        return z + (z**3 + z) / (4 * freedom)
    low, high = 0.0, 1.0
    while _student_within(high, freedom) < confidence:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        inside = _student_within(middle, freedom) < confidence
        low, high = (middle, high) if inside else (low, middle)
    return high


def _student_within(t: float, freedom: int) -> float:
    """Probability of a value within -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd, cosine = freedom % 2, math.cos(angle)
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for power in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (power - 1) / power
        total += term
    series = math.sin(angle) * total
    return 2 / math.pi * (angle + series) if odd else series


def mean_interval(
    values: Sequence[float],
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = SCORE_RANGE,
) -> tuple[float, float, float]:
    """Mean and its interval, within the bounds of a value.

    It is Wilson's for as many proportions as would vary as much as these values do, with the
    quantile of Student (as for clustered samples in surveys: Korn and Graubard, 1998; Franco et
    al., 2019). Plain Student's intervals leave the bounds, and for skewed values that are few
    miss the mean up to three times as often as they say.

    Values that are all alike have an interval too: others may be so rare that none was among
    these, and as far away as the bounds allow (as in the "rule of three").

    Args:
        values: One of each item, so that several samples of an item are its mean.
        confidence: Level of the interval.
        bounds: The lowest and the highest value there can be; values beyond widen them.
    """
    n = len(values)
    mean = math.fsum(values) / n
    low, high = min(*bounds, *values), max(*bounds, *values)
    width = high - low
    if max(values) - min(values) <= ROUNDING * width:
        unseen = 1 - ((1 - confidence) / 2) ** (1 / n)
        return mean, mean - unseen * (mean - low), mean + unseen * (high - mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    alike = (mean - low) * (high - mean) * n / variance
    first, last = _score_interval((mean - low) / width, alike, student_quantile(n - 1, confidence))
    return mean, low + width * first, low + width * last


def estimate(values: Sequence[float]) -> Estimate:
    """Mean with its 95 % interval, within 0..1: Wilson's, for values between them by variance."""
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0)
    if all(value in (0.0, 1.0) for value in values):
        successes = sum(value == 1.0 for value in values)
        low, high = wilson(successes, n)
        return Estimate(successes / n, low, high, n, _stddev(values))
    mean, low, high = mean_interval(values)
    return Estimate(mean, low, high, n, _stddev(values))


def _stddev(values: Sequence[float]) -> float | None:
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n)


def grouped(scores: Iterable[Score]) -> Mapping[str, Mapping[str, Estimate]]:
    """Estimates by every label of the scores: category, family, difficulty, ..."""
    values: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        if score.value is not None:
            for label, group in score.groups.items():
                values.setdefault(label, {}).setdefault(group, []).append(score.value)
    return {
        label: {group: estimate(values[label][group]) for group in sorted(values[label])}
        for label in sorted(values)
    }
