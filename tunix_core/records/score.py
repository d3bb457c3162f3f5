"""What evaluators say: of a line, of a completion, of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

# Of every score: the worst and the best.
SCORE_RANGE = (0.0, 1.0)


@frozen
class StepVerdict:
    """Whether one line of shown work holds.

    Args:
        line: Line number within the reasoning, from 1.
        text: The line.
        ok: True when it was re-executed and holds.
        reason: Why it does not hold.
    """

    line: int
    text: str
    ok: bool
    reason: str | None = None


@frozen
class Score:
    """The judgement of one completion by one evaluator.

    Args:
        item_id: The item that was judged.
        value: 0.0 to 1.0, or None when this evaluator has nothing to say about the item.
        details: JSON data that explains the value.
        groups: The item's labels, such as ``{"family": "..."}``.
    """

    item_id: str
    value: float | None
    details: Mapping[str, Any] = field(factory=dict)
    groups: Mapping[str, str] = field(factory=dict)


@frozen
class Estimate:
    """A mean with its 95 % interval.

    Args:
        mean: Mean of the scored items, or None when there are none.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of scored items.
        stddev: Population standard deviation of their values; None below 2 items.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    stddev: float | None = None


@frozen
class Scorecard:
    """An evaluator's summary over a dataset.

    Args:
        overall: All scored items.
        n_items: Number of items, scored or not.
        groups: ``{"family": {"fractions": Estimate}, ...}``.
        metrics: Further figures by name.
        estimates: Those of the metrics that have an interval, by the same name.
    """

    overall: Estimate
    n_items: int
    groups: Mapping[str, Mapping[str, Estimate]] = field(factory=dict)
    metrics: Mapping[str, float] = field(factory=dict)
    estimates: Mapping[str, Estimate] = field(factory=dict)
