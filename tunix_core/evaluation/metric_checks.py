"""One figure against that of a baseline: by how much it changed, and whether for the worse."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

from attrs import frozen

from tunix_core.evaluation.basis import differences
from tunix_core.records import Baseline, Evaluation, Score, Verdict

TOLERANCE_PERCENT = 5
ITEM_PREFIX = "item_"
ITEM_CHARS = 8

# How a difference between the two is told.
_SAID = {
    "evaluator": "baseline judged by {}, run by {}",
    "version": "baseline judged by version {}, run by version {}",
    "evaluator's distribution": "baseline judged by {}, run by {}",
    "dataset": "baseline judged on {}, run on {}",
    "data": "baseline judged on data of {}, run on {}",
    "sampling": "baseline answered with {}, run with {}",
}
_OF_EVALUATOR = ("version", "evaluator's distribution")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_COSTS = frozenset(
    ("loss", "losses", "latency", "latencies", "time", "times", "error", "errors", "truncated")
)


@frozen
class Change:
    """How a figure changed.

    Args:
        delta: The present value less the baseline.
        percent: ``delta`` in percent of the size of the baseline, to 2 decimal places.
        verdict: ``fail`` when it became worse by more than the tolerance.
    """

    delta: float
    percent: float
    verdict: Literal["pass", "fail"]


def names_a_cost(metric_name: str) -> bool:
    """Whether a figure is better when it is lower, as far as a word of its name tells."""
    return any(word.lower() in _COSTS for word in _WORD.findall(metric_name))


def change(baseline: float, current: float, lower_is_better: bool) -> Change:
    """Compare two finite values, exactly as they are written in decimals.

    The percentage is of the size of the baseline, so that its sign is that of the change. Over
    a baseline of 0 a change counts as 100 %.
    """
    # As fractions 0.8 to 0.76 is a loss of 5 % exactly; as floats it is a little more.
    before, after = Fraction(repr(float(baseline))), Fraction(repr(float(current)))
    delta = after - before
    if before == 0:
        percent = Fraction(100 * ((delta > 0) - (delta < 0)))
    else:
        percent = 100 * delta / abs(before)
    # 40 of 60 to 38 of 60 is 5 % too, but for the last digit of the floats that hold the shares.
    loss = round(percent if lower_is_better else -percent, 9)
    return Change(
        _float(delta),
        _float(round(percent, 2)),
        "fail" if loss > TOLERANCE_PERCENT else "pass",
    )


def metric_value(
    name: str, evaluation: Evaluation, metrics: Mapping[str, float], scores: Sequence[Score]
) -> float | None:
    """A figure of an evaluation by its name; None when it has none of that name.

    Args:
        name: ``primary_score`` (0..1), ``score`` (0..100), a name in ``metrics``, or
            an item's name, see :func:`item_names`.
        evaluation: The evaluation.
        metrics: Its figures by name.
        scores: Its judgement of every item.
    """
    if name in ("primary_score", "score"):
        value = evaluation.score
        if value is not None and name == "score":
            # Rounded to what the multiplication leaves intact: 0.07 is 7, not 7.000000000000001.
            value = round(value * 100, 10)
    elif name in metrics:
        value = metrics[name]
    else:
        names = item_names([score.item_id for score in scores])
        value = next((s.value for s, own in zip(scores, names, strict=True) if own == name), None)
    return value if value is not None and math.isfinite(value) else None


def item_names(item_ids: Sequence[str]) -> list[str]:
    """The names under which the judgements of items are figures.

    Args:
        item_ids: All items of a dataset. An id is shortened unless another begins like it, as
            those of traces do that were stored together.
    """
    heads = Counter(item_id[:ITEM_CHARS] for item_id in item_ids)
    return [
        ITEM_PREFIX + (item_id if heads[item_id[:ITEM_CHARS]] > 1 else item_id[:ITEM_CHARS])
        for item_id in item_ids
    ]


def lower_is_better_for(baseline: Baseline, metric: str, paired: Verdict | None) -> bool:
    """The direction of a figure, as the baseline says it or its name tells."""
    if baseline.lower_is_better is not None:
        return baseline.lower_is_better
    if baseline.metric_name is None and paired is not None:
        # Set to be compared item by item: its comparator knows the direction.
        return paired.direction == "lower"
    return names_a_cost(metric)


def details(
    before: Evaluation,
    after: Evaluation,
    lower: bool,
    changed: Change,
    paired: Verdict | None,
    lacking: int,
) -> str:
    """One line that says what was compared with what.

    Args:
        before: The evaluation of the baseline.
        after: That of the run.
        lower: Whether lower figures are better.
        changed: How the figure changed.
        paired: The comparison item by item, where there is one.
        lacking: How many items only one of the two has a score for.
    """
    parts = [
        f"{changed.percent:+.2f} %, {'lower' if lower else 'higher'} is better, "
        f"up to {TOLERANCE_PERCENT} % worse passes"
    ]
    apart = differences(before, after)
    if before.evaluator != after.evaluator:
        # Another one has other versions, which say nothing more.
        apart = [found for found in apart if found[0] not in _OF_EVALUATOR]
    parts += [_SAID[what].format(one, other) for what, one, other in apart]
    if lacking:
        parts.append(f"not comparable: {lacking} items have a score in one of the two alone")
    if paired is not None:
        parts.append(f"item by item {paired.reason}")
    return "; ".join(parts)


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max
