"""Evaluations: evaluators read predictions, item by item, and leave a scorecard."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tunix_core.base.clock import new_id, now
from tunix_core.base.locks import FileLock
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.contributions import EVALUATOR, bare_name
from tunix_core.datasets import Datasets
from tunix_core.errors import ConflictError, NotFoundError, TunixError, UsageError
from tunix_core.evaluation.basis import Present, dataset_hash, outdated
from tunix_core.evaluation.judgement_files import (
    check_unchanged,
    digest,
    newest_file,
    read_scores,
)
from tunix_core.evaluation.judges import Judge, make_judge
from tunix_core.evaluation.judging import (
    Checked,
    NothingSaid,
    Progress,
    concurrency_of,
    judge_items,
    voter_of,
)
from tunix_core.evaluation.leaderboard import Leaderboard, Place
from tunix_core.evaluation.predictions import Predictions, PredictionSet
from tunix_core.evaluation.review import Review, review
from tunix_core.evaluation.samples import with_samples
from tunix_core.evaluation.shown_steps import ShownSteps
from tunix_core.evaluation.verdicts import RunVerdict, decide
from tunix_core.evaluators import USUAL_JUDGE, USUAL_JUDGES
from tunix_core.evaluators.statistics import estimate
from tunix_core.plugins import Plugins, ProvidedEvaluator
from tunix_core.plugins.tools import PluginTools
from tunix_core.protocols import GenerationConfig
from tunix_core.records import (
    TERMINAL_STATUSES,
    Estimate,
    Evaluation,
    EvaluationBasis,
    Item,
    Run,
    Score,
)
from tunix_core.runs import Runs
from tunix_core.runs.folder import LOCK, RunFolder
from tunix_core.store import Store
from tunix_core.store.evaluations import LeaderboardFilters

# The end of a run and whoever waits for it may judge it at once: the second takes over the work
# of the first.
WAIT_S = 600.0
NO_ITEMS = ".empty"


class Evaluations:
    """Judges predictions, keeps the judgements, ranks runs."""

    def __init__(
        self,
        store: Store,
        plugins: Plugins,
        paths: WorkspacePaths,
        datasets: Datasets,
        runs: Runs,
        predictions: Predictions,
        shown_steps: ShownSteps,
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._paths = paths
        self._datasets = datasets
        self._runs = runs
        self._predictions = predictions
        self._shown_steps = shown_steps

    def run(
        self,
        run_id: str,
        dataset_key: str,
        evaluators: Sequence[str] = USUAL_JUDGES,
        on_progress: Progress | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
    ) -> list[Evaluation]:
        """Judge a run's predictions for a dataset; what was judged before is not judged again.

        Args:
            run_id: The run.
            dataset_key: The dataset that was answered.
            evaluators: Names of evaluators.
            on_progress: Called with (judged, total) for each evaluator.
            settings: Settings of the evaluators.
            again: Judge anew what was judged before.

        Returns:
            One evaluation per evaluator, in order.

        Raises:
            UsageError: No such evaluator.
            NotFoundError: No such run or dataset, or no predictions.
            IntegrityError: Predictions or judgements were changed since they were made.
        """
        judges = [self._made(self._plugins.find(EVALUATOR, name), settings) for name in evaluators]
        predictions = self._predictions.read(run_id, dataset_key)
        items = list(self._datasets.items(dataset_key))
        return [self._evaluate(one, predictions, items, on_progress, again=again) for one in judges]

    def judge(
        self,
        run_id: str,
        judge: str = USUAL_JUDGE,
        dataset_key: str | None = None,
        generation: GenerationConfig | None = None,
        on_progress: Progress | None = None,
        *,
        again: bool = False,
    ) -> Evaluation:
        """Let an ended run's model answer what it has not answered yet, and judge all of it.

        A run that ended without a model is judged as if every answer was missing: it scores 0.0.

        Args:
            run_id: The run.
            judge: Name of an evaluator.
            dataset_key: What is answered; by default the run's held-out data, else its data.
            generation: How to sample; by default what answers there are, else greedy ones.
            on_progress: Called with (done, total) while items are answered, then judged.
            again: Judge anew what was judged before.

        Raises:
            NotFoundError: No such run or dataset.
            IntegrityError: The weights, predictions or judgements were changed since they were
                made.
            UsageError: No such evaluator.
            ConflictError: A dry run, or one that has not ended; or it has answered the dataset
                with another generation config.
        """
        provided = self._judge_called(judge)
        run = self._runs.get(run_id)
        if run.mode == "dry-run":
            raise ConflictError(f"run {run.id} is a dry run: it makes no model to be judged")
        if run.status not in TERMINAL_STATUSES:
            raise ConflictError(f"run {run.id} is {run.status}", "judge it when it has ended")
        if run.status != "completed" and run.result is None:
            return self._judge_nothing(provided, run, dataset_key)
        key = dataset_key or _own_dataset(run)
        predictions = self._answers(run, key, generation, on_progress)
        items = list(self._datasets.items(key))
        return self._evaluate(self._made(provided), predictions, items, on_progress, again=again)

    def judged_before(self, evaluation: Evaluation) -> Evaluation | None:
        """The evaluation for which an evaluation's judgements were made; None for that itself."""
        first = self._store.evaluations.first_of(evaluation.items_path)
        return first if first is not None and first.id != evaluation.id else None

    def outdated(self, evaluation: Evaluation) -> str | None:
        """Why an evaluation is none of its run and dataset as they are now; None where it is."""
        data = dataset_hash(self._paths, evaluation.dataset_key)
        result = self._runs.get(evaluation.run_id).result
        return outdated(evaluation.basis, Present.of(result, data))

    def estimate_without(self, evaluation: Evaluation, items: Collection[str]) -> Estimate:
        """The mean of an evaluation over its scored items but some.

        Args:
            evaluation: The evaluation.
            items: Ids of those that are left out, such as those that were trained on.
        """
        scores = self.scores(evaluation)
        return estimate([s.value for s in scores if s.value is not None and s.item_id not in items])

    def verdict(self, evaluation: Evaluation) -> RunVerdict:
        """What an evaluation comes to, by the rules of :mod:`tunix_core.evaluation.verdicts`."""
        if evaluation.verdict is not None:
            return evaluation.verdict
        return decide(evaluation.evaluator, evaluation.score, self.scores(evaluation))

    def metrics(self, evaluation: Evaluation) -> dict[str, float]:
        """The score under the evaluator's bare name, when there is one, and its other figures."""
        name = bare_name(evaluation.evaluator)
        score = {} if evaluation.score is None else {name: evaluation.score}
        return {**score, **evaluation.scorecard.metrics}

    def get(self, evaluation_id: str) -> Evaluation:
        """An evaluation by its id.

        Raises:
            NotFoundError: There is none.
        """
        found = self._select({"id": evaluation_id})
        if not found:
            raise NotFoundError(f"evaluation {evaluation_id!r} not found")
        return found[0]

    def newest(self, run_id: str, evaluator: str, dataset_key: str | None = None) -> Evaluation:
        """The newest evaluation of a run by an evaluator that is still one of it.

        Raises:
            NotFoundError: It was not evaluated so, or it was trained on or its dataset built anew
                since.
        """
        run = self._runs.get(run_id)
        filters = {"run_id": run.id, "evaluator": self._full_name(evaluator)}
        if dataset_key is not None:
            filters["dataset_key"] = dataset_key
        on = f" on {dataset_key}" if dataset_key else ""
        return self.standing(
            self._select(filters), f"run {run.id} has no evaluation by {evaluator}{on}"
        )[0]

    def standing(self, evaluations: Sequence[Evaluation], otherwise: str) -> list[Evaluation]:
        """Those of a run's evaluations that are of its model and their dataset as they are now.

        Args:
            evaluations: The evaluations, newest first.
            otherwise: What is wrong when there are none.

        Raises:
            NotFoundError: There are none.
        """
        reasons = [self.outdated(evaluation) for evaluation in evaluations]
        found = [e for e, why in zip(evaluations, reasons, strict=True) if why is None]
        if not found:
            since = f" that still holds: {reasons[0]}" if reasons else ""
            run_id = evaluations[0].run_id[:8] if evaluations else "RUN"
            raise NotFoundError(
                f"{otherwise}{since}", f"make one with: tunix-rt eval run {run_id} --dataset KEY"
            )
        return found

    def latest(self, run_id: str) -> Evaluation:
        """The newest evaluation of a run, by whichever evaluator.

        Raises:
            NotFoundError: No such run, or it was not evaluated.
        """
        run = self._runs.get(run_id)
        found = self._select({"run_id": run.id}, 1)
        if not found:
            hint = f"make one with: tunix-rt eval run {run.id[:8]} --dataset KEY"
            raise NotFoundError(f"run {run.id} has no evaluation", hint)
        return found[0]

    def of_run(self, run_id: str) -> list[Evaluation]:
        """Every evaluation of a run, newest first."""
        return self._select({"run_id": self._runs.get(run_id).id})

    def scores(self, evaluation: Evaluation) -> list[Score]:
        """The judgement of every item, in the order of the dataset."""
        return list(read_scores(self._paths, evaluation))

    def review(self, evaluation: Evaluation, scores: Sequence[Score]) -> Review:
        """The work behind some of an evaluation's judgements.

        Args:
            evaluation: The evaluation.
            scores: Those of its judgements that are of interest.

        Raises:
            NotFoundError: The dataset is gone, or has no such item.
            IntegrityError: The dataset was changed.
        """
        return review(self._paths, self._shown_steps, evaluation, scores)

    def leaderboard(
        self,
        evaluator: str | None = None,
        dataset_key: str | None = None,
        *,
        model_id: str | None = None,
        config_path: str | None = None,
        date_from: datetime | None = None,
        date_to: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Evaluation]:
        """The newest evaluation of every run, evaluator and dataset, best first, in one list.

        Of equal scores the newest comes first; what has no score comes last. What is no longer
        that of its run or dataset is left out.

        Args:
            evaluator: Only by this one; by default by all whose numbers are grades.
            dataset_key: Only on this dataset.
            model_id: Only models whose id contains this; upper and lower case are alike.
            config_path: Only runs whose stored configuration, as JSON text, contains this.
            date_from: Only what was judged then or later; UTC unless it says otherwise.
            date_to: Only what was judged then or earlier.
            limit: At most so many.
            offset: Leave out so many of the first.

        Raises:
            UsageError: No such evaluator.
        """
        filters = self._filters(evaluator, dataset_key, model_id, config_path, date_from, date_to)
        return Leaderboard(self._store, self._paths).best(filters, limit, offset)

    def places(
        self,
        evaluator: str | None = None,
        dataset_key: str | None = None,
        *,
        model_id: str | None = None,
        config_path: str | None = None,
        date_from: datetime | None = None,
        date_to: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
        outdated: bool = False,
    ) -> list[Place]:
        """As :meth:`leaderboard`, ranked within what can be compared, one group after another.

        Args:
            evaluator: As there, and so on.
            outdated: Also what is no longer that of its run or dataset, without a rank.

        Raises:
            UsageError: No such evaluator.
        """
        filters = self._filters(evaluator, dataset_key, model_id, config_path, date_from, date_to)
        board = Leaderboard(self._store, self._paths)
        return board.places(filters, limit, offset, with_outdated=outdated)

    def _filters(
        self,
        evaluator: str | None,
        dataset_key: str | None,
        model_id: str | None,
        config_path: str | None,
        date_from: datetime | None,
        date_to: datetime | None,
    ) -> LeaderboardFilters:
        return LeaderboardFilters(
            evaluator=None if evaluator is None else self._full_name(evaluator),
            dataset_key=dataset_key,
            model_id=model_id,
            config_text=config_path,
            date_from=None if date_from is None else _stored(date_from),
            date_to=None if date_to is None else _stored(date_to),
        )

    def _select(self, filters: Mapping[str, str], limit: int = -1) -> list[Evaluation]:
        return self._store.evaluations.select(filters, limit)

    def _full_name(self, evaluator: str) -> str:
        return self._plugins.find(EVALUATOR, evaluator).full_name

    def _judge_called(self, name: str) -> ProvidedEvaluator:
        try:
            return self._plugins.find(EVALUATOR, name)
        except UsageError as error:
            known = {p.bare_name for p in self._plugins.all(EVALUATOR)}
            hints = [error.hint or "", f"known: {', '.join(sorted(known))}"]
            raise UsageError(error.message, "; ".join(dict.fromkeys(filter(None, hints)))) from None

    def _answers(
        self,
        run: Run,
        dataset_key: str,
        generation: GenerationConfig | None,
        on_progress: Progress | None,
    ) -> PredictionSet:
        self._datasets.manifest(dataset_key)
        folder = RunFolder(self._paths.run(run.id)).evaluations
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, WAIT_S):
            if generation is None:
                with suppress(NotFoundError):
                    return self._predictions.read(run.id, dataset_key)
            return self._predictions.create(run.id, dataset_key, generation, on_progress)

    def _judge_nothing(
        self,
        provided: ProvidedEvaluator,
        run: Run,
        dataset_key: str | None,
    ) -> Evaluation:
        key = dataset_key or _own_dataset(run)
        try:
            items = list(self._datasets.items(key))
        except NotFoundError:
            # A run may have failed for the very reason that there is no such dataset.
            if dataset_key is not None:
                raise
            items = []
        nothing = PredictionSet(run.id, key, hashlib.sha256(b"").hexdigest(), ())
        return self._evaluate(self._made(provided), nothing, items, None, has_model=False)

    def _made(
        self, provided: ProvidedEvaluator, settings: Mapping[str, Any] | None = None
    ) -> Judge:
        return make_judge(provided, PluginTools(self._plugins, self._paths), settings)

    def _evaluate(
        self,
        judge: Judge,
        predictions: PredictionSet,
        items: Sequence[Item],
        on_progress: Progress | None,
        *,
        has_model: bool = True,
        again: bool = False,
    ) -> Evaluation:
        provided = judge.provided
        checked = Checked(judge.evaluator, provided.full_name)
        evaluator = checked if has_model else NothingSaid(checked)
        concurrency, voter = concurrency_of(judge.evaluator), voter_of(judge.evaluator)
        # Without items there may be no dataset, and its key may be any text.
        folder = RunFolder(self._paths.run(predictions.run_id)).evaluations
        folder = folder / (predictions.dataset_key if items else NO_ITEMS)
        folder.mkdir(parents=True, exist_ok=True)
        path = newest_file(folder, judge, predictions, again=again)
        items_path = path.relative_to(self._paths.root).as_posix()
        with FileLock(path, WAIT_S):
            scores = judge_items(
                evaluator, predictions, items, path, on_progress, concurrency, voter
            )
            items_sha256 = digest(path)
        check_unchanged(path, items_sha256, self._store.evaluations.first_of(items_path))
        scorecard = with_samples(evaluator.aggregate(scores), scores, predictions.completions)
        score = scorecard.overall.mean if has_model else 0.0
        evaluation = Evaluation(
            id=new_id(),
            run_id=predictions.run_id,
            dataset_key=predictions.dataset_key,
            evaluator=provided.full_name,
            evaluator_version=judge.version,
            score=score,
            scorecard=scorecard,
            items_path=items_path,
            predictions_sha256=predictions.sha256,
            created_at=now(),
            verdict=decide(provided.full_name, score, scores),
            grade=provided.contribution.grade,
            items_sha256=items_sha256,
            basis=self._basis(provided, predictions, len(items)),
        )
        self._store.evaluations.insert(evaluation)
        return evaluation

    def _basis(
        self, provided: ProvidedEvaluator, predictions: PredictionSet, asked: int
    ) -> EvaluationBasis:
        """What an evaluation depends on whose items were read just now."""
        run = self._runs.get(predictions.run_id)
        data = dataset_hash(self._paths, predictions.dataset_key) if asked else None
        said = predictions.basis
        return EvaluationBasis(
            weights_sha256=None if said is None else said.weights_sha256,
            dataset_sha256=data,
            template=run.config.template,
            generation=None if said is None else unstructure(said.generation_config),
            evaluator=f"{provided.distribution} {provided.distribution_version}",
            training_overlap=self._training_overlap(run, predictions.dataset_key, data, asked),
        )

    def _training_overlap(
        self, run: Run, dataset_key: str, dataset_sha256: str | None, asked: int
    ) -> int | None:
        """How many questions of a dataset a run was trained on; counted once for each."""
        if dataset_key == run.dataset_key:
            return asked
        for held in self._select({"run_id": run.id, "dataset_key": dataset_key}, 1):
            basis = held.basis
            if basis is not None and basis.dataset_sha256 == dataset_sha256:
                return basis.training_overlap
        with suppress(TunixError):
            return self._datasets.overlap(run.dataset_key, dataset_key)
        # The training data is gone or damaged.
        return None


def _own_dataset(run: Run) -> str:
    """The run's held-out data, else the data that it trains on."""
    return run.config.eval_dataset_key or run.dataset_key


def _stored(time: datetime) -> str:
    """A time as the store writes it."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    try:
        utc = aware.astimezone(UTC)
    except OverflowError:
        # A zone away from the first or the last year that can be written.
        utc = aware.replace(tzinfo=UTC)
    return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
