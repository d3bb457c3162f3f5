"""Means with honest intervals; exact where that is cheap, and without dependencies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist

from tunix_core.records import Estimate, Score

CONFIDENCE = 0.95


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of the standard normal: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a proportion (Wilson, 1927); inside 0..1 and sound for small ``n``."""
    z = normal_quantile(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and 1 an end is the share itself, but for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mean_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Mean and its interval by the central limit theorem (Miller, 2024, arXiv 2411.00640)."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, mean, mean
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = normal_quantile(confidence) * math.sqrt(variance / n)
    return mean, mean - half, mean + half


def estimate(values: Sequence[float]) -> Estimate:
    """Mean with its 95 % interval: Wilson's where all values are 0 or 1."""
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0)
    if all(value in (0.0, 1.0) for value in values):
        successes = sum(value == 1.0 for value in values)
        low, high = wilson(successes, n)
        return Estimate(successes / n, low, high, n, _stddev(values))
    mean, low, high = mean_interval(values)
    return Estimate(mean, max(0.0, low), min(1.0, high), n, _stddev(values))


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
