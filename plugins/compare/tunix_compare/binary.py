"""Pairs of right and wrong: the score test of a loss (Tango, 1998).

The test, its interval and its power are one thing: the interval holds the losses that the test
does not reject, and the power is a sum over all tables that it does. Without a tolerance it is
McNemar's test. It is not exact, but its false alarms have been counted: enumerated for every
number of pairs and every rate of disagreement, they stay below twice their nominal share.

Tango, 1998, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Statistics in Medicine 17, 891-908.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from tunix_compare.difference import POWER, Loss

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# Halvings that bring a loss between -1 and 1 to the last digit of a float.
HALVINGS = 54
EXACT = 1e-12
# The stated loss bends with the disagreement that was seen: without a little more of it the power,
# as a mean over samples, is up to five points short where few items differ.
UNSEEN = 0.25


def loss_of_right_answers(
    lost: int, gained: int, right: int, n: int, tolerance: float, confidence: float
) -> Loss:
    """What so many lost and gained answers say.

    Args:
        lost: Items right in the baseline alone.
        gained: Items right in the candidate alone.
        right: Items right in both.
        n: All items.
        tolerance: The loss that is still fine.
        confidence: Level of the interval.
    """
    z_limit = float(stats.norm.isf((1 - confidence) / 2))
    low, high = score_interval(lost, gained, n, z_limit)
    z = float(score_statistic(lost, gained, n, tolerance))
    apart = lost + gained + (UNSEEN if lost + gained else 0)
    return Loss(
        mean=(lost - gained) / n,
        low=float(low),
        high=float(high),
        p_value=float(2 * stats.norm.sf(abs(z))),
        detectable=smallest_detectable(apart, right, n, tolerance, z_limit),
    )


def score_statistic(lost: ArrayLike, gained: ArrayLike, n: int, loss: ArrayLike) -> Floats:
    """How many standard errors the observed loss lies above a true one.

    Args:
        lost: Items right in the baseline alone; arrays give arrays.
        gained: Items right in the candidate alone.
        n: All items.
        loss: The true loss, from -1 to 1.
    """
    b, c, d = (np.asarray(x, np.float64) for x in (lost, gained, loss))
    above = b - c - n * d
    # The most likely rate of gains under this loss: a root of 2n x^2 + k x - c d (1 - d).
    k = (2 * n - b + c) * d - b - c
    rate = (np.sqrt(np.maximum(k * k + 8 * n * c * d * (1 - d), 0)) - k) / (4 * n)
    variance = n * (2 * rate + d * (1 - d))
    certain = np.where(np.abs(above) < EXACT * n, 0.0, np.copysign(np.inf, above))
    spread = np.sqrt(np.maximum(variance, EXACT))
    return np.asarray(np.where(variance > EXACT, above / spread, certain))


def score_interval(
    lost: ArrayLike, gained: ArrayLike, n: int, z_limit: float
) -> tuple[Floats, Floats]:
    """The losses that the score test does not reject; arrays give arrays."""
    observed = (np.asarray(lost, np.float64) - np.asarray(gained, np.float64)) / n
    ends = []
    for outermost in (-1.0, 1.0):
        rejected, kept = np.full_like(observed, outermost), observed
        for _ in range(HALVINGS):
            middle = (rejected + kept) / 2
            is_kept = np.abs(score_statistic(lost, gained, n, middle)) <= z_limit
            rejected, kept = np.where(is_kept, rejected, middle), np.where(is_kept, middle, kept)
        ends.append(kept)
    return ends[0], ends[1]


@lru_cache(maxsize=16)
def fewest_lost(n: int, tolerance: float, z_limit: float) -> Counts:
    """For every number of gained items, from 0 to n, the lost items from which on it is an alarm.

    Where no number is one, it is ``n + 1``.
    """
    gained = np.arange(n + 1)
    below, alarm = gained - 1, np.full(n + 1, n + 1)
    while np.any(alarm - below > 1):
        middle = (below + alarm) // 2
        rejects = score_statistic(np.maximum(middle, 0), gained, n, tolerance) > z_limit
        open_ = alarm - below > 1
        alarm = np.where(open_ & rejects, middle, alarm)
        below = np.where(open_ & ~rejects, middle, below)
    alarm.setflags(write=False)
    return alarm


def alarm_rate(alarms: Counts, lost: float, gained: float) -> float:
    """The share of all tables that are alarms, exactly.

    Args:
        alarms: What :func:`fewest_lost` says.
        lost: Probability that an item is right in the baseline alone.
        gained: Probability that an item is right in the candidate alone.
    """
    n = len(alarms) - 1
    gains = np.arange(n + 1)
    share = min(1.0, lost / (1 - gained)) if gained < 1 else 0.0
    beyond: Any = stats.binom.sf(alarms - 1, n - gains, share)
    return float(np.sum(stats.binom.pmf(gains, n, gained) * beyond))


def smallest_detectable(
    apart: float, right: int, n: int, tolerance: float, z_limit: float
) -> float | None:
    """The loss whose alarm rate is 80 %, for two runs that disagree as often as these do.

    Args:
        apart: Items of ``n`` that only one of two equally good runs has right.
        right: Items right in both.
        n: All items.
        tolerance: The loss that is still fine.
        z_limit: Standard errors from which on the test rejects.

    Returns:
        None where not even the loss of every right answer is found so often.
    """
    # As if both were equally good, and the loss fell on right answers at random.
    accuracy = min(1.0, (right + apart / 2) / n)
    alarms = fewest_lost(n, tolerance, z_limit)

    def lacking(loss: float) -> float:
        gained = apart / (2 * n) * (1 - loss / accuracy)
        return alarm_rate(alarms, gained + loss, gained) - POWER

    if accuracy <= tolerance or lacking(accuracy) < 0:
        return None
    return float(optimize.brentq(lacking, tolerance, accuracy, xtol=1e-6))
