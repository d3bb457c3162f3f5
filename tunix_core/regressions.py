"""Regression checks: a run's item scores against those of a baseline."""

from __future__ import annotations

import builtins

from sqlite_utils import Database

from tunix_core.clock import new_id, now
from tunix_core.errors import (
    NotComparableError,
    NotFoundError,
    TunixError,
    UsageError,
    did_you_mean,
)
from tunix_core.evaluations import Evaluations
from tunix_core.plugins import Plugins
from tunix_core.protocols import Comparator, CompareRequest, Tolerance
from tunix_core.records import Baseline, Evaluation, Verdict
from tunix_core.store import evaluations as store

DEFAULT_COMPARATOR = "higher-is-better"


class Regressions:
    """Keeps baselines and compares runs with them.

    Args:
        database: The workspace's database.
        plugins: The active plugins, comparators among them.
        evaluations: Where item scores come from.
    """

    def __init__(self, database: Database, plugins: Plugins, evaluations: Evaluations) -> None:
        self._database = database
        self._plugins = plugins
        self._evaluations = evaluations

    def set_baseline(
        self,
        name: str,
        run_id: str,
        evaluator: str = "answer_correctness",
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
        if not name.strip():
            raise UsageError("a baseline needs a name")
        provided = self._plugins.find("comparator", comparator)
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
        return store.put_baseline(self._database, baseline)

    def baseline(self, name: str) -> Baseline:
        """A baseline by its name.

        Raises:
            NotFoundError: There is none.
        """
        found = store.find_baseline(self._database, name)
        if found is None:
            known = [baseline.name for baseline in self.list()]
            hint = did_you_mean(name, known, "see: tunix-rt regress list")
            raise NotFoundError(f"baseline {name!r} not found", hint)
        return found

    def list(self) -> builtins.list[Baseline]:
        """Every baseline, by name."""
        return store.baselines(self._database)

    def check(
        self, run_id: str, baseline_name: str, tolerance: Tolerance | None = None
    ) -> tuple[Baseline, Verdict]:
        """Compare a run's newest evaluation with a baseline.

        Args:
            run_id: The run to be checked.
            baseline_name: The baseline.
            tolerance: How much worse is still fine; nothing by default.

        Raises:
            NotFoundError: No such baseline, or the run was not evaluated on its dataset.
            NotComparableError: The evaluator's rules changed, or no item has a score in both.
        """
        baseline = self.baseline(baseline_name)
        before = self._evaluations.get(baseline.evaluation_id)
        after = self._evaluations.newest(run_id, baseline.metric, baseline.dataset_key)
        if before.evaluator_version != after.evaluator_version:
            raise NotComparableError(
                f"baseline {baseline.name!r} was judged by version {before.evaluator_version} of "
                f"{baseline.metric}, the run by version {after.evaluator_version}",
                f"judge run {baseline.run_id[:8]} again and set the baseline anew",
            )
        provided = self._plugins.find("comparator", baseline.comparator)
        comparator = provided.create()
        if not isinstance(comparator, Comparator):
            raise TunixError(f"{provided.full_name} is no comparator")
        request = CompareRequest(
            self._values(before), self._values(after), tolerance or Tolerance()
        )
        return baseline, comparator.compare(request)

    def _values(self, evaluation: Evaluation) -> dict[str, float]:
        scores = self._evaluations.scores(evaluation)
        return {score.item_id: score.value for score in scores if score.value is not None}
