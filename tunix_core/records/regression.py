"""Baselines, and what comparing with them came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen

Outcome = Literal["pass", "fail", "inconclusive"]


@frozen
class Baseline:
    """What later runs must not fall behind.

    Args:
        name: Unique name.
        run_id: The run that set it.
        metric: Full name of the evaluator whose item scores are compared.
        dataset_key: The dataset it was measured on.
        comparator: Full name of the comparator; it fixes the direction.
        evaluation_id: The evaluation that was the newest when the baseline was set.
        created_at: UTC ISO-8601.
        metric_name: The one figure that is compared, such as ``primary_score``; None when the
            baseline was set to be compared item by item.
        lower_is_better: Direction of that figure; None leaves it to the figure's name.
        eval_set: Label of the evaluation set, kept as it was given.
        wanted_dataset_key: The dataset that was asked for by name, or None; only evaluations on
            it are compared then.
    """

    id: str
    name: str
    run_id: str
    metric: str
    dataset_key: str
    comparator: str
    evaluation_id: str
    created_at: str
    metric_name: str | None = None
    lower_is_better: bool | None = None
    eval_set: str | None = None
    wanted_dataset_key: str | None = None


@frozen
class Verdict:
    """The outcome of comparing a candidate with a baseline, item by item.

    Args:
        regressed: True when the candidate is worse beyond the tolerance and beyond chance.
        direction: ``higher`` or ``lower``: which values are better.
        baseline: Mean over the paired items.
        candidate: Mean over the paired items.
        delta: ``candidate - baseline``.
        low: Lower end of the interval of delta, by default that of 95 %.
        high: Upper end of the interval of delta.
        p_value: Two-sided, of a loss of exactly the tolerance; None when it cannot be had.
        smallest_detectable: The smallest loss that this many pairs show to be beyond the
            tolerance with a power of 80 %; None when they can show none.
        n_paired: Items that were compared.
        missing: Items only in the baseline; where they are allowed, they count as worst in the
            candidate.
        new: Items only in the candidate; where they are allowed, they count as worst in the
            baseline.
        regressions: Items that got worse, with both values.
        reason: One line for people.
        outcome: ``fail`` when it has regressed, ``inconclusive`` when the pairs are too few to
            say so or the contrary.
    """

    regressed: bool
    direction: Literal["higher", "lower"]
    baseline: float
    candidate: float
    delta: float
    low: float
    high: float
    p_value: float | None
    smallest_detectable: float | None
    n_paired: int
    missing: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    regressions: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    outcome: Outcome = field(
        default=Factory(lambda self: "fail" if self.regressed else "pass", takes_self=True)
    )


@frozen
class MetricCheck:
    """The outcome of comparing one figure of a run with that of a baseline.

    Args:
        run_id: The run that was checked.
        baseline_name: Name of the baseline.
        baseline_run_id: The run that set it.
        metric_name: The figure, such as ``primary_score``.
        lower_is_better: The direction that was used.
        baseline_value: Its value for the baseline.
        current_value: Its value for the run.
        delta: ``current_value - baseline_value``.
        delta_percent: ``delta`` in percent of the size of the baseline, to 2 decimal places.
        verdict: ``fail`` when the figure became worse beyond the tolerance; ``not comparable``
            when it is the mean of other items.
        details: One line for people.
        paired: The comparison item by item, where both were judged alike on the same dataset.
    """

    run_id: str
    baseline_name: str
    baseline_run_id: str
    metric_name: str
    lower_is_better: bool
    baseline_value: float
    current_value: float
    delta: float
    delta_percent: float
    verdict: Literal["pass", "fail", "not comparable"]
    details: str
    paired: Verdict | None = None
