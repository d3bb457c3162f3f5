"""Two runs over the same items, compared pair by pair.

Pairing removes the difficulty of the items from the noise, which two separate intervals leave in
(Miller, 2024, "Adding Error Bars to Evals", arXiv 2411.00640).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from tunix_compare.binary import loss_of_right_answers
from tunix_compare.difference import Loss, fewest_pairs
from tunix_compare.means import loss_of_means
from tunix_core.errors import NotComparableError, UsageError
from tunix_core.protocols import CompareRequest, Tolerance
from tunix_core.records import Outcome, Verdict

Direction = Literal["higher", "lower"]


def higher_is_better() -> PairedComparator:
    """The comparator for scores."""
    return PairedComparator("higher")


def lower_is_better() -> PairedComparator:
    """The comparator for losses, errors and costs."""
    return PairedComparator("lower")


@frozen
class PairedComparator:
    """Compares item by item; a candidate fails when its loss is beyond tolerance and chance.

    Values that are all 0 or 1 are tested with the score test of Tango, others with Student's
    paired t-test. Both test a loss of the tolerance, and the interval holds what they do not
    reject: the candidate fails when all of it lies beyond the tolerance. It passes when the
    observed loss lies within, if so many pairs can show any loss at all, and is inconclusive
    otherwise. At a confidence of 95 % one of 40 candidates whose true loss is the tolerance fails,
    up to one of 20 where pairs are few.

    Args:
        direction: Which values are better.
    """

    direction: Direction

    def compare(self, request: CompareRequest) -> Verdict:
        """Judge the candidate against the baseline.

        Raises:
            NotComparableError: One has items that the other lacks, and missing ones are not
                allowed; or neither has any.
            UsageError: A value is not finite, or the tolerance makes no sense.
        """
        _check(request)
        missing = tuple(sorted(request.baseline.keys() - request.candidate.keys()))
        new = tuple(sorted(request.candidate.keys() - request.baseline.keys()))
        items = _items(request, missing, new)
        everything = (*request.bounds, *request.baseline.values(), *request.candidate.values())
        lowest, highest = min(everything), max(everything)
        worst = lowest if self.direction == "higher" else highest
        before = [float(request.baseline.get(item, worst)) for item in items]
        after = [float(request.candidate.get(item, worst)) for item in items]
        sign = 1 if self.direction == "higher" else -1
        losses = [sign * (a - b) for a, b in zip(before, after, strict=True)]
        if {*before, *after} <= {0.0, 1.0} and request.tolerance.absolute < 1:
            best = 1.0 if self.direction == "higher" else 0.0
            right = sum(pair == (best, best) for pair in zip(before, after, strict=True))
            loss = _loss(losses, highest - lowest, request.tolerance, right)
        else:
            loss = _loss(losses, highest - lowest, request.tolerance)
        outcome = _outcome(loss, request.tolerance)
        low, high = sorted((-sign * loss.low, -sign * loss.high))
        return Verdict(
            regressed=outcome == "fail",
            direction=self.direction,
            baseline=math.fsum(before) / len(items),
            candidate=math.fsum(after) / len(items),
            delta=0.0 - sign * loss.mean,
            low=low,
            high=high,
            p_value=loss.p_value,
            smallest_detectable=loss.detectable,
            n_paired=len(items),
            missing=missing,
            new=new,
            regressions=tuple(
                {"item_id": item, "baseline": a, "candidate": b}
                for item, a, b in zip(items, before, after, strict=True)
                if sign * (b - a) < 0
            ),
            reason=_reason(outcome, loss, request.tolerance, len(items)),
            outcome=outcome,
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


def _items(request: CompareRequest, missing: Sequence[str], new: Sequence[str]) -> list[str]:
    """The items that are compared, in order."""
    items = sorted(request.baseline.keys() | request.candidate.keys())
    if len(missing) + len(new) == len(items):
        raise NotComparableError(
            "baseline and candidate share no item", "evaluate both on the same dataset"
        )
    if (missing or new) and not request.allow_missing:
        raise NotComparableError(
            f"of {len(items)} items {len(missing)} have a score in the baseline alone, "
            f"{len(new)} in the candidate alone",
            "judge both on the same items, or let what is missing count as worst: --allow-missing",
        )
    return items


def _loss(
    losses: Sequence[float], width: float, tolerance: Tolerance, right: int | None = None
) -> Loss:
    """What the losses of single items say; ``right`` in both, where they are right or wrong."""
    n, limits = len(losses), (tolerance.absolute, tolerance.confidence)
    if n < fewest_pairs(tolerance.confidence):
        return Loss(math.fsum(losses) / n, -width, width, None, None)
    if right is None:
        return loss_of_means(losses, width, *limits)
    return loss_of_right_answers(losses.count(1.0), losses.count(-1.0), right, n, *limits)


def _outcome(loss: Loss, tolerance: Tolerance) -> Outcome:
    within = loss.mean <= tolerance.absolute
    if loss.p_value is None:
        return "inconclusive"
    if loss.p_value < 1 - tolerance.confidence:
        return "pass" if within else "fail"
    return "pass" if within and loss.detectable is not None else "inconclusive"


def _reason(outcome: Outcome, loss: Loss, tolerance: Tolerance, n: int) -> str:
    if loss.p_value is None:
        pairs = "one pair" if n == 1 else f"{n} pairs"
        return f"{pairs} cannot tell a difference from chance"
    chance = f"p = {loss.p_value:.2g} over {n} pairs"
    beyond_chance = loss.p_value < 1 - tolerance.confidence
    if outcome == "inconclusive" and loss.mean <= tolerance.absolute:
        return f"no loss seen beyond the tolerance, but these pairs could show none: {chance}"
    if loss.mean <= 0:
        better = loss.mean < 0 and loss.high < 0
        return f"{'better' if better else 'not worse'}: {_figure(-loss.mean, '+')}, {chance}"
    worse = f"worse by {_figure(loss.mean)}"
    if outcome == "fail":
        return f"{worse}, beyond the tolerance of {tolerance.absolute:g}: {chance}"
    if outcome == "inconclusive":
        return f"{worse}, but within chance: {chance}"
    shown = "" if beyond_chance else " as observed"
    return f"{worse}, within the tolerance of {tolerance.absolute:g}{shown}: {chance}"


def _figure(value: float, sign: str = "") -> str:
    """Four decimal places, or what a smaller value needs so as not to read as none."""
    digits = ".4f" if value == 0 or abs(value) >= 1e-4 else ".2g"
    return format(value, sign + digits)
