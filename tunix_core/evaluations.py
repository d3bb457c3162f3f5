"""Evaluations: evaluators read predictions, item by item, and leave a scorecard."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from attrs import evolve
from sqlite_utils import Database

from tunix_core.clock import new_id, now
from tunix_core.codec import structure, unstructure
from tunix_core.datasets import Datasets
from tunix_core.errors import NotFoundError, TunixError
from tunix_core.paths import WorkspacePaths
from tunix_core.plugins import Plugins, Provided
from tunix_core.predictions import Predictions, PredictionSet
from tunix_core.processes import FileLock
from tunix_core.protocols import Evaluator
from tunix_core.records import Completion, Evaluation, Item, Score
from tunix_core.runs import Runs
from tunix_core.store import evaluations as store

DEFAULT_EVALUATORS = ("answer_correctness", "show_your_work", "step_validity")
NO_PREDICTION = "no prediction"

Progress = Callable[[int, int], None]


class Evaluations:
    """Judges predictions, keeps the judgements, ranks runs."""

    def __init__(
        self,
        database: Database,
        plugins: Plugins,
        paths: WorkspacePaths,
        datasets: Datasets,
        runs: Runs,
        predictions: Predictions,
    ) -> None:
        self._database = database
        self._plugins = plugins
        self._paths = paths
        self._datasets = datasets
        self._runs = runs
        self._predictions = predictions

    def run(
        self,
        run_id: str,
        dataset_key: str,
        evaluators: Sequence[str] = DEFAULT_EVALUATORS,
        on_progress: Progress | None = None,
    ) -> list[Evaluation]:
        """Judge a run's predictions for a dataset; interrupted work is continued.

        Args:
            run_id: The run.
            dataset_key: The dataset that was answered.
            evaluators: Names of evaluators.
            on_progress: Called with (judged, total) for each evaluator.

        Returns:
            One evaluation per evaluator, in order.

        Raises:
            UsageError: No such evaluator.
            NotFoundError: No such run or dataset, or no predictions.
        """
        provided = [self._plugins.find("evaluator", name) for name in evaluators]
        predictions = self._predictions.read(run_id, dataset_key)
        items = list(self._datasets.items(dataset_key))
        return [self._evaluate(one, predictions, items, on_progress) for one in provided]

    def get(self, evaluation_id: str) -> Evaluation:
        """An evaluation by its id.

        Raises:
            NotFoundError: There is none.
        """
        found = store.select(self._database, {"id": evaluation_id})
        if not found:
            raise NotFoundError(f"evaluation {evaluation_id!r} not found")
        return found[0]

    def newest(self, run_id: str, evaluator: str, dataset_key: str | None = None) -> Evaluation:
        """The newest evaluation of a run by an evaluator.

        Raises:
            NotFoundError: It was not evaluated so.
        """
        run = self._runs.get(run_id)
        filters = {"run_id": run.id, "evaluator": self._full_name(evaluator)}
        if dataset_key is not None:
            filters["dataset_key"] = dataset_key
        found = store.select(self._database, filters, 1)
        if not found:
            on = f" on {dataset_key}" if dataset_key else ""
            raise NotFoundError(
                f"run {run.id} has no evaluation by {evaluator}{on}",
                f"make one with: tunix-rt eval run {run.id[:8]} --dataset KEY",
            )
        return found[0]

    def of_run(self, run_id: str) -> list[Evaluation]:
        """Every evaluation of a run, newest first."""
        return store.select(self._database, {"run_id": self._runs.get(run_id).id})

    def scores(self, evaluation: Evaluation) -> list[Score]:
        """The judgement of every item, in the order of the dataset."""
        path = self._paths.root / evaluation.items_path
        if not path.is_file():
            raise NotFoundError(f"evaluation {evaluation.id}: {evaluation.items_path} is missing")
        with path.open(encoding="utf-8") as file:
            return [structure(Score, json.loads(line), "score") for line in file]

    def leaderboard(
        self,
        evaluator: str = "answer_correctness",
        dataset_key: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Evaluation]:
        """The newest evaluation of every run, best first."""
        filters = {"evaluator": self._full_name(evaluator)}
        if dataset_key is not None:
            filters["dataset_key"] = dataset_key
        return store.leaderboard(self._database, filters, limit, offset)

    def _full_name(self, evaluator: str) -> str:
        return self._plugins.find("evaluator", evaluator).full_name

    def _evaluate(
        self,
        provided: Provided,
        predictions: PredictionSet,
        items: Sequence[Item],
        on_progress: Progress | None,
    ) -> Evaluation:
        evaluator = provided.create()
        if not isinstance(evaluator, Evaluator):
            raise TunixError(f"{provided.full_name} is no evaluator")
        version = provided.contribution.version
        path = self._items_path(provided, predictions)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            scores = _judge(evaluator, predictions, items, path, on_progress)
        scorecard = evaluator.aggregate(scores)
        evaluation = Evaluation(
            id=new_id(),
            run_id=predictions.run_id,
            dataset_key=predictions.dataset_key,
            evaluator=provided.full_name,
            evaluator_version=version,
            score=scorecard.overall.mean,
            scorecard=scorecard,
            items_path=path.relative_to(self._paths.root).as_posix(),
            predictions_sha256=predictions.sha256,
            created_at=now(),
        )
        store.insert(self._database, evaluation)
        return evaluation

    def _items_path(self, provided: Provided, predictions: PredictionSet) -> Path:
        """The same judge of the same predictions writes the same file."""
        name = provided.full_name.replace("/", ".")
        version = provided.contribution.version
        file = f"{name}-{version}-{predictions.sha256[:16]}.jsonl"
        folder = self._paths.run(predictions.run_id) / "evaluations" / predictions.dataset_key
        return folder / file


def _judge(
    evaluator: Evaluator,
    predictions: PredictionSet,
    items: Sequence[Item],
    path: Path,
    on_progress: Progress | None,
) -> list[Score]:
    """Append the judgements that are missing; returns all of them."""
    said: dict[str, list[Completion]] = {}
    for completion in predictions.completions:
        said.setdefault(completion.item_id, []).append(completion)
    scores = _recover(path, items)
    with path.open("a", encoding="utf-8") as out:
        for item in items[len(scores) :]:
            score = _score(evaluator, item, said.get(item.id, []))
            out.write(json.dumps(unstructure(score), ensure_ascii=False) + "\n")
            scores.append(score)
            if on_progress is not None and len(scores) % 100 == 0:
                on_progress(len(scores), len(items))
    return scores


def _score(evaluator: Evaluator, item: Item, completions: Sequence[Completion]) -> Score:
    """The judgement of an item: of several samples the mean, explained by the first."""
    if not completions:
        # A missing answer is judged as an empty one that was cut off, and counts against the run.
        judged = evaluator.score(item, Completion(item.id, "", stop="length"))
        return evolve(judged, details={**judged.details, "fault": NO_PREDICTION})
    first, *others = (evaluator.score(item, completion) for completion in completions)
    if not others:
        return first
    values = [first.value, *(score.value for score in others)]
    known = [value for value in values if value is not None]
    mean = fmean(known) if known else None
    return evolve(first, value=mean, details={**first.details, "samples": values})


def _recover(path: Path, items: Sequence[Item]) -> list[Score]:
    """Judgements from before an interruption; a torn last line is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    scores = [structure(Score, json.loads(line), "score") for line in whole.splitlines()]
    wanted = [item.id for item in items[: len(scores)]]
    if [score.item_id for score in scores] != wanted:
        raise TunixError(f"{path} belongs to another dataset", "remove it to judge again")
    if len(whole) != len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return scores
