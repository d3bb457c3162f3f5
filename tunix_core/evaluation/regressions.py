"""Regression checks: a run against a baseline, item by item or by one figure."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from tunix_core.base.clock import new_id, now
from tunix_core.contributions import COMPARATOR, EVALUATOR, bare_name
from tunix_core.errors import (
    NotComparableError,
    NotFoundError,
    UsageError,
    did_you_mean,
)
from tunix_core.evaluation.basis import differences
from tunix_core.evaluation.metric_checks import (
    ITEM_PREFIX,
    change,
    details,
    lower_is_better_for,
    metric_value,
    names_a_cost,
)
from tunix_core.evaluation.service import Evaluations
from tunix_core.evaluators import USUAL_JUDGE
from tunix_core.plugins import Plugins
from tunix_core.protocols import CompareRequest, Tolerance
from tunix_core.records import SCORE_RANGE, Baseline, Evaluation, MetricCheck, Verdict
from tunix_core.store import Store

DEFAULT_COMPARATOR = "higher-is-better"
LOWER_COMPARATOR = "lower-is-better"
PRIMARY_SCORE = "primary_score"


class Regressions:
    """Keeps baselines and compares runs with them.

    Args:
        store: What the workspace holds.
        plugins: The active plugins, comparators among them.
        evaluations: Where item scores come from.
    """

    def __init__(self, store: Store, plugins: Plugins, evaluations: Evaluations) -> None:
        self._store = store
        self._plugins = plugins
        self._evaluations = evaluations

    def set_baseline(
        self,
        name: str,
        run_id: str,
        evaluator: str = USUAL_JUDGE,
        dataset_key: str | None = None,
        comparator: str = DEFAULT_COMPARATOR,
    ) -> Baseline:
        """Let a run's newest evaluation be what later runs are compared with.

        Args:
            name: Name of the baseline; one of the same name is replaced.
            run_id: The run.
            evaluator: Whose item scores count.
            dataset_key: On which dataset; by default that of the newest evaluation.
            comparator: How to compare; it fixes the direction, and is stored.

        Raises:
            UsageError: An empty name, or no such evaluator or comparator.
            NotFoundError: The run was not evaluated so.
        """
        _check_name(name)
        provided = self._plugins.find(COMPARATOR, comparator)
        evaluation = self._evaluations.newest(run_id, evaluator, dataset_key)
        baseline = Baseline(
            id=new_id(),
            name=name,
            run_id=evaluation.run_id,
            metric=evaluation.evaluator,
            dataset_key=evaluation.dataset_key,
            comparator=provided.full_name,
            evaluation_id=evaluation.id,
            created_at=now(),
        )
        return self._store.evaluations.put_baseline(baseline)

    def set_metric_baseline(
        self,
        name: str,
        run_id: str,
        metric: str = PRIMARY_SCORE,
        lower_is_better: bool | None = None,
        eval_set: str | None = None,
        dataset_key: str | None = None,
    ) -> Baseline:
        """Let one figure of a run's evaluations be what later runs are compared with.

        Of several that have the figure, those by ``answer_correctness`` go before other grades,
        grades before what is no grade, and newer before older.

        Args:
            name: Name of the baseline; one of the same name is replaced.
            run_id: The run.
            metric: ``primary_score`` (0..1), ``score`` (0..100), another figure of an
                evaluation, or the name of an item in it.
            lower_is_better: The direction; None leaves it to the figure's name.
            eval_set: A label, kept as it is.
            dataset_key: Only evaluations on this dataset count, now and in checks.

        Raises:
            UsageError: An empty name; the run is not known or not evaluated; no evaluation of
                it has the figure.
        """
        _check_name(name)
        found = self._evaluated(run_id, dataset_key)
        evaluation = next((e for e in found if self._value(e, metric) is not None), None)
        if evaluation is None:
            known = [PRIMARY_SCORE, "score", *self._evaluations.metrics(found[0])]
            raise UsageError(
                f"metric {metric!r} is in no evaluation of run {found[0].run_id}",
                f"known: {', '.join(dict.fromkeys(known))}",
            )
        lower = names_a_cost(metric) if lower_is_better is None else lower_is_better
        baseline = Baseline(
            id=new_id(),
            name=name,
            run_id=evaluation.run_id,
            metric=evaluation.evaluator,
            dataset_key=evaluation.dataset_key,
            comparator=self._comparator_for(metric, evaluation, lower),
            evaluation_id=evaluation.id,
            created_at=now(),
            metric_name=metric,
            lower_is_better=lower_is_better,
            eval_set=eval_set,
            wanted_dataset_key=dataset_key,
        )
        return self._store.evaluations.put_baseline(baseline)

    def baseline(self, name: str) -> Baseline:
        """A baseline by its name.

        Raises:
            NotFoundError: There is none.
        """
        found = self._store.evaluations.find_baseline(name)
        if found is None:
            known = [baseline.name for baseline in self.list()]
            hint = did_you_mean(name, known, "see: tunix-rt regress list")
            raise NotFoundError(f"baseline {name!r} not found", hint)
        return found

    def list(self) -> builtins.list[Baseline]:
        """Every baseline, by name."""
        return self._store.evaluations.baselines()

    def check(
        self,
        run_id: str,
        baseline_name: str,
        tolerance: Tolerance | None = None,
        allow_missing: bool = False,
    ) -> tuple[Baseline, Verdict]:
        """Compare a run's newest evaluation with a baseline.

        Args:
            run_id: The run to be checked.
            baseline_name: The baseline.
            tolerance: How much worse is still fine; nothing by default.
            allow_missing: Let an item without a score on one side count as the worst there.

        Raises:
            NotFoundError: No such baseline, or the run was not evaluated on its dataset.
            NotComparableError: Data, sampling or evaluator are not the same, no item has a score
                in both, or one side has scores of items that the other lacks and that is not
                allowed.
        """
        baseline = self.baseline(baseline_name)
        before = self._evaluations.get(baseline.evaluation_id)
        after = self._evaluations.newest(run_id, baseline.metric, baseline.dataset_key)
        apart = differences(before, after)
        if apart:
            raise NotComparableError(
                f"baseline {baseline.name!r} cannot be compared with run {after.run_id[:8]}: "
                + "; ".join(f"{what} {one}, the run's {other}" for what, one, other in apart),
                f"judge both alike, run {baseline.run_id[:8]} too, and set the baseline anew",
            )
        found = self._compare(baseline, before, after, tolerance or Tolerance(), allow_missing)
        return baseline, found

    def check_metric(self, run_id: str, baseline_name: str) -> MetricCheck:
        """Compare one figure of a run with that of a baseline; up to 5 % worse passes.

        The run's newest evaluation by the baseline's evaluator on its dataset is taken; without
        one, the newest by that evaluator, then that which a baseline would be set by. A baseline
        that was set to be compared item by item is checked by its ``primary_score``.

        Args:
            run_id: The run to be checked.
            baseline_name: The baseline.

        Raises:
            NotFoundError: No such baseline, or the run's evaluation has no such figure.
            UsageError: The run is not known or not evaluated.
        """
        baseline = self.baseline(baseline_name)
        before = self._evaluations.get(baseline.evaluation_id)
        after = _most_like(before, self._evaluated(run_id, baseline.wanted_dataset_key))
        metric = baseline.metric_name or PRIMARY_SCORE
        values = [self._value(evaluation, metric) for evaluation in (before, after)]
        if values[0] is None or values[1] is None:
            which = f"baseline {baseline.name!r}" if values[0] is None else f"run {after.run_id}"
            raise NotFoundError(f"metric {metric!r} not found in the evaluation of {which}")
        paired = self._paired(baseline, before, after)
        lower = lower_is_better_for(baseline, metric, paired)
        changed = change(values[0], values[1], lower)
        apart = self._apart(metric, before, after)
        return MetricCheck(
            run_id=after.run_id,
            baseline_name=baseline.name,
            baseline_run_id=baseline.run_id,
            metric_name=metric,
            lower_is_better=lower,
            baseline_value=values[0],
            current_value=values[1],
            delta=changed.delta,
            delta_percent=changed.percent,
            verdict="not comparable" if apart else changed.verdict,
            details=details(before, after, lower, changed, paired, apart),
            paired=paired,
        )

    def _evaluated(self, run_id: str, dataset_key: str | None) -> builtins.list[Evaluation]:
        """The evaluations of a run, at least one.

        Those of the usual judge come first, then other grades, then what is no grade; of each
        the newest first.
        """
        on = f" on {dataset_key}" if dataset_key else ""
        try:
            found = self._evaluations.of_run(run_id)
            found = [e for e in found if dataset_key in (None, e.dataset_key)]
            found = self._evaluations.standing(found, f"run {run_id} has no evaluation{on}")
        except NotFoundError as error:
            # Not the thing that was asked for, but a part of the request.
            raise UsageError(error.message, error.hint) from None
        usual = self._plugins.find(EVALUATOR, USUAL_JUDGE).full_name
        return sorted(found, key=lambda e: (e.evaluator != usual, not e.grade))

    def _value(self, evaluation: Evaluation, metric: str) -> float | None:
        scores = self._evaluations.scores(evaluation) if metric.startswith(ITEM_PREFIX) else ()
        return metric_value(metric, evaluation, self._evaluations.metrics(evaluation), scores)

    def _comparator_for(self, metric: str, evaluation: Evaluation, lower: bool) -> str:
        """The comparator of the item scores behind a figure."""
        about_items = _is_mean(metric, evaluation) or metric.startswith(ITEM_PREFIX)
        name = LOWER_COMPARATOR if lower and about_items else DEFAULT_COMPARATOR
        try:
            return self._plugins.find(COMPARATOR, name).full_name
        except UsageError:
            # One figure can be compared without any; the name is found once there is one.
            return name

    def _apart(self, metric: str, before: Evaluation, after: Evaluation) -> int:
        """How many items only one of two means is of, where both were judged alike."""
        if not _is_mean(metric, before) or differences(before, after):
            return 0
        return len(self._values(before).keys() ^ self._values(after).keys())

    def _paired(self, baseline: Baseline, before: Evaluation, after: Evaluation) -> Verdict | None:
        if differences(before, after):
            return None
        try:
            return self._compare(baseline, before, after, Tolerance())
        except (UsageError, NotComparableError):
            return None

    def _compare(
        self,
        baseline: Baseline,
        before: Evaluation,
        after: Evaluation,
        tolerance: Tolerance,
        allow_missing: bool = False,
    ) -> Verdict:
        provided = self._plugins.find(COMPARATOR, baseline.comparator)
        values = self._values(before), self._values(after)
        return provided.create().compare(
            CompareRequest(*values, tolerance, allow_missing, SCORE_RANGE)
        )

    def _values(self, evaluation: Evaluation) -> dict[str, float]:
        scores = self._evaluations.scores(evaluation)
        return {score.item_id: score.value for score in scores if score.value is not None}


def _check_name(name: str) -> None:
    if not name.strip():
        raise UsageError("a baseline needs a name")


def _is_mean(metric: str, evaluation: Evaluation) -> bool:
    """Whether a figure is the mean of an evaluation's item scores."""
    return metric in (PRIMARY_SCORE, "score", bare_name(evaluation.evaluator))


def _most_like(before: Evaluation, found: Sequence[Evaluation]) -> Evaluation:
    """Of evaluations, the best first, the one to be compared with another."""
    return min(
        found,
        key=lambda e: (e.evaluator != before.evaluator, e.dataset_key != before.dataset_key),
    )
