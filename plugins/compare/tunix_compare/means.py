"""Pairs of any values: Student's paired t-test, and what can be said where nothing varies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from scipy import optimize, stats

from tunix_compare.difference import POWER, Loss

# What differs by less of the width of the range differs by rounding.
ROUNDING = 1e-9


def loss_of_means(
    losses: Sequence[float], width: float, tolerance: float, confidence: float
) -> Loss:
    """What the losses of single items say of their mean.

    Args:
        losses: By how much the candidate is worse in each item; at least 2.
        width: Between the lowest and the highest value that an item can have.
        tolerance: The mean loss that is still fine.
        confidence: Level of the interval.
    """
    n = len(losses)
    mean = math.fsum(losses) / n
    if max(losses) - min(losses) <= ROUNDING * width:
        return _equal_losses(mean, n, width, tolerance, confidence)
    error = math.sqrt(math.fsum((loss - mean) ** 2 for loss in losses) / (n - 1) / n)
    limit = float(stats.t.isf((1 - confidence) / 2, n - 1))
    detectable = tolerance + error * _found_with_power(n, limit)
    return Loss(
        mean=mean,
        low=max(-width, mean - limit * error),
        high=min(width, mean + limit * error),
        p_value=float(2 * stats.t.sf(abs(mean - tolerance) / error, n - 1)),
        detectable=detectable if detectable <= width else None,
    )


@lru_cache(maxsize=64)
def _found_with_power(n: int, limit: float) -> float:
    """How many standard errors a true loss must be for a t-test to find it with 80 %."""
    return float(optimize.brentq(lambda e: stats.nct.sf(limit, n - 1, e) - POWER, 0, limit + 10))


def _equal_losses(mean: float, n: int, width: float, tolerance: float, confidence: float) -> Loss:
    """Losses that do not vary: a t-test would be certain of them, however few they are.

    Other losses may be as rare as to be missed by so many items, and as large as the range
    allows. The largest probability of seeing none of them is the p-value, and what is not
    rejected so is the interval (as in the "rule of three" for an event that was never seen).
    """
    unseen = 1 - ((1 - confidence) / 2) ** (1 / n)
    other = -width if mean > tolerance else width
    seen = (tolerance - other) / (mean - other) if mean != other else 1.0
    detectable = (tolerance + width) / (1 - unseen) - width
    return Loss(
        mean=mean,
        low=mean - unseen * (mean + width),
        high=mean + unseen * (width - mean),
        p_value=min(1.0, 2 * max(0.0, seen) ** n),
        detectable=detectable if detectable <= width else None,
    )
