"""What a run's model said to the items of a dataset; written once, judged as often as you like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from tunix_core.base import jsonl
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.datasets import Datasets
from tunix_core.errors import NotFoundError
from tunix_core.evaluation.prediction_files import (
    DATA,
    AnswerBasis,
    check_sampling,
    folder_of,
    read_completions,
    read_meta,
)
from tunix_core.protocols import Executor, GenerationConfig, ProcessRequest
from tunix_core.records import Completion
from tunix_core.runs import Runs
from tunix_core.runs.folder import RunFolder
from tunix_core.runs.processes import run_to_end

Progress = Callable[[int, int], None]


@frozen
class PredictionSet:
    """The completions of one run's model for one dataset.

    Args:
        run_id: The run whose model answered.
        dataset_key: The dataset that was answered.
        sha256: Digest of the predictions file.
        completions: In the order of the dataset, those of one item together.
        basis: What they depend on; None where there was no model.
    """

    run_id: str
    dataset_key: str
    sha256: str
    completions: tuple[Completion, ...]
    basis: AnswerBasis | None = None


class Predictions:
    """Makes and reads predictions.

    Args:
        paths: The workspace.
        datasets: What is answered.
        runs: Whose models answer.
        executor: Gives the executor of the process in which a model runs.
    """

    def __init__(
        self,
        paths: WorkspacePaths,
        datasets: Datasets,
        runs: Runs,
        executor: Callable[[], Executor],
    ) -> None:
        self._paths = paths
        self._datasets = datasets
        self._runs = runs
        self._executor = executor

    def create(
        self,
        run_id: str,
        dataset_key: str,
        generation: GenerationConfig | None = None,
        on_progress: Progress | None = None,
    ) -> PredictionSet:
        """Let a run's model answer a dataset; finished work is kept, interrupted work continued.

        Args:
            run_id: A run that has a model.
            dataset_key: The dataset to answer.
            generation: How to sample; greedy by default.
            on_progress: Called with (answered, total).

        Raises:
            NotFoundError: No such run or dataset, or the run has no model yet.
            ConflictError: Predictions made with another generation config are there already.
        """
        run = self._runs.get(run_id)
        run_folder = RunFolder(self._paths.run(run.id))
        if not run_folder.model.is_dir():
            raise NotFoundError(f"run {run.id} has no model", f"its status is {run.status}")
        generation = generation or GenerationConfig()
        total = self._datasets.manifest(dataset_key).trace_count * generation.samples
        folder = self.folder(run.id, dataset_key)
        wanted = AnswerBasis.of(self._paths, run, dataset_key, generation)
        if _finished(folder, wanted) is None:
            folder.mkdir(parents=True, exist_ok=True)
            # What the process reads instead of the database, which is this host's alone.
            run_folder.describe(run)
            request = ProcessRequest(
                job="predict",
                workspace=self._paths.root,
                arguments=(run.id, dataset_key, json.dumps(unstructure(generation))),
                log=folder / "log.jsonl",
                resources=run.config.resources,
            )
            run_to_end(
                self._executor(), request, lambda: _report(on_progress, folder / DATA, total)
            )
        meta = _finished(folder, wanted)
        if meta is not None:
            check_sampling(folder, meta, wanted)
        return self.read(run.id, dataset_key)

    def read(self, run_id: str, dataset_key: str) -> PredictionSet:
        """Finished predictions, in the order of the dataset.

        Raises:
            NotFoundError: There are none, they are not finished, or they are not of the run's
                weights and the dataset as they are now.
            IntegrityError: The file was changed after it was finished.
        """
        run = self._runs.get(run_id)
        folder = self.folder(run.id, dataset_key)
        meta = read_meta(folder)
        again = f"make them with: tunix-rt eval run {run.id} --dataset {dataset_key}"
        if meta is None:
            raise NotFoundError(
                f"run {run.id} has no finished predictions for {dataset_key}", again
            )
        basis = AnswerBasis.stated(meta)
        why = basis.difference(
            AnswerBasis.of(self._paths, run, dataset_key, basis.generation_config)
        )
        if why is not None:
            raise NotFoundError(
                f"the predictions of run {run.id} for {dataset_key} are those of {why}", again
            )
        asked = self._datasets.manifest(dataset_key).trace_ids
        place = {item_id: place for place, item_id in enumerate(asked)}
        made = [c for c in read_completions(folder, meta) if c.item_id in place]
        made.sort(key=lambda completion: (place[completion.item_id], completion.sample))
        return PredictionSet(run.id, dataset_key, str(meta["sha256"]), tuple(made), basis)

    def folder(self, run_id: str, dataset_key: str) -> Path:
        """Where a run's predictions for a dataset lie."""
        return folder_of(self._paths, run_id, dataset_key)


def _finished(folder: Path, wanted: AnswerBasis) -> dict[str, Any] | None:
    """What finished predictions say of themselves, if they are of these weights and data."""
    meta = read_meta(folder)
    if meta is None or AnswerBasis.stated(meta).difference(wanted) is not None:
        return None
    return meta


def _report(on_progress: Progress | None, data: Path, total: int) -> None:
    if on_progress is not None:
        on_progress(sum(1 for _ in jsonl.whole_lines(data)), total)
