"""Pairs of right and wrong: the score test of a loss (Tango, 1998).

The test, its interval and its power are one thing: the interval holds the losses that the test
does not reject, and the power is a sum over all tables that it does. Without a tolerance it is
McNemar's test. It is not exact, but its false alarms have been counted, summed over all tables
for many numbers of pairs, tolerances and rates of disagreement: they stay below twice their
nominal share, one in 20 at 95 %. Alone the score test exceeds that a little where items are lost
and hardly one is gained; there the binomial test of the net loss is asked as well.

Tango, 1998, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Statistics in Medicine 17, 891-908.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

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
    chance = (1 - confidence) / 2
    low, high = interval(lost, gained, n, chance)
    apart = lost + gained + (UNSEEN if lost + gained else 0)
    tails = p_value(lost, gained, n, tolerance), p_value(gained, lost, n, -tolerance)
    return Loss(
        mean=(lost - gained) / n,
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2 * float(min(tails))),
        detectable=smallest_detectable(apart, right, n, tolerance, chance),
    )


def p_value(lost: ArrayLike, gained: ArrayLike, n: int, loss: ArrayLike) -> Floats:
    """The probability of a loss like the observed one or larger, if the true one is ``loss``.

    Args:
        lost: Items right in the baseline alone; arrays give arrays.
        gained: Items right in the candidate alone.
        n: All items.
        loss: The true loss, from -1 to 1.
    """
    net, true = np.subtract(lost, gained), np.asarray(loss, np.float64)
    score: Floats = special.ndtr(-score_statistic(lost, gained, n, loss))
    # If nothing is gained, losses are binomial; half of what is observed (mid-p, Lancaster, 1961).
    rate, count = np.maximum(true, 0.0), np.clip(net, 0, n)
    lost_alone = (special.bdtrc(count, n, rate) + special.bdtrc(count - 1, n, rate)) / 2
    is_rare = (true > 0) & (net > n * true)
    return np.asarray(np.where(is_rare, np.maximum(score, lost_alone), score))


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


def interval(lost: ArrayLike, gained: ArrayLike, n: int, chance: float) -> tuple[Floats, Floats]:
    """The losses that are not rejected, at this probability on either side; arrays give arrays."""
    return _lowest(lost, gained, n, chance), -_lowest(gained, lost, n, chance)


def _lowest(lost: ArrayLike, gained: ArrayLike, n: int, chance: float) -> Floats:
    kept = (np.asarray(lost, np.float64) - np.asarray(gained, np.float64)) / n
    rejected = np.full_like(kept, -1.0)
    for _ in range(HALVINGS):
        middle = (rejected + kept) / 2
        is_kept = p_value(lost, gained, n, middle) >= chance
        rejected, kept = np.where(is_kept, rejected, middle), np.where(is_kept, middle, kept)
    return kept


@lru_cache(maxsize=16)
def fewest_lost(n: int, tolerance: float, chance: float) -> Counts:
    """For every number of gained items, from 0 to n, the lost items from which on it is an alarm.

    Where no number is one, it is ``n + 1``.
    """
    gained = np.arange(n + 1)
    below, alarm = gained - 1, np.full(n + 1, n + 1)
    while np.any(alarm - below > 1):
        middle = (below + alarm) // 2
        rejects = p_value(np.maximum(middle, 0), gained, n, tolerance) < chance
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
    # No number that is left over is an alarm where even all of them would be none.
    beyond = np.where(alarms > n - gains, 0.0, special.bdtrc(alarms - 1.0, n - gains, share))
    return float(np.sum(stats.binom.pmf(gains, n, gained) * beyond))


def smallest_detectable(
    apart: float, right: int, n: int, tolerance: float, chance: float
) -> float | None:
    """The loss whose alarm rate is 80 %, for two runs that disagree as often as these do.

    Args:
        apart: Items of ``n`` that only one of two equally good runs has right.
        right: Items right in both.
        n: All items.
        tolerance: The loss that is still fine.
        chance: P-value below which the test rejects.

    Returns:
        None where not even the loss of every right answer is found so often.
    """
    # As if both were equally good, and the loss fell on right answers at random.
    accuracy = min(1.0, (right + apart / 2) / n)
    alarms = fewest_lost(n, tolerance, chance)

    def lacking(loss: float) -> float:
        gained = apart / (2 * n) * (1 - loss / accuracy)
        return alarm_rate(alarms, gained + loss, gained) - POWER

    if accuracy <= tolerance or lacking(accuracy) < 0:
        return None
    return float(optimize.brentq(lacking, tolerance, accuracy, xtol=1e-6))
