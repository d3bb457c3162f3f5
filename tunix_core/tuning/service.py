"""Tuning: searches for the settings with which training does best, one run per trial."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import evolve

from tunix_core.base.clock import new_id, now
from tunix_core.base.lookup import by_beginning
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import check_json, unstructure
from tunix_core.contributions import DEFAULT, TRAINER, TUNER, Kind
from tunix_core.errors import ConflictError, InvalidRecordError, UsageError
from tunix_core.evaluation import Evaluations
from tunix_core.plugins import Plugins
from tunix_core.records import TERMINAL_STATUSES, TuningJob, TuningTrial
from tunix_core.runs import Runs
from tunix_core.runs.worker import Worker
from tunix_core.search_space import SearchSpace
from tunix_core.store import Store
from tunix_core.tuning.steps import StoppedError, TuningSteps, best_trial, go_on
from tunix_core.tuning.tunables import check_metric, setting_names

MAX_NAME_CHARS = 256
MAX_SAMPLES = 100
MAX_CONCURRENT_TRIALS = 10
# What the database holds exactly.
MAX_SEED = 2**63 - 1
WAIT_S = 0.5

Progress = Callable[[int, int], None]


class Tuning:
    """Creates, finds and steers tuning jobs."""

    def __init__(
        self,
        store: Store,
        plugins: Plugins,
        paths: WorkspacePaths,
        runs: Runs,
        evaluations: Evaluations,
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._steps = TuningSteps(store, plugins, paths, runs, evaluations)

    def create(
        self,
        name: str,
        dataset_key: str,
        base_model_id: str,
        *,
        search_space: Mapping[str, Any],
        metric_name: str = "score",
        metric_mode: Literal["max", "min"] = "max",
        num_samples: int = 1,
        max_concurrent_trials: int = 1,
        tuner: str = DEFAULT,
        trainer: str = DEFAULT,
        settings: Mapping[str, Any] | None = None,
        eval_dataset_key: str | None = None,
        seed: int = 0,
    ) -> TuningJob:
        """Store a job; tuner, trainer, metric and parameters are looked up when it is started.

        Datasets and models are looked up by its trials.

        Args:
            name: What people call it, 1 to 256 characters.
            dataset_key: The dataset that every trial trains on.
            base_model_id: Preset or model that every trial starts from.
            search_space: What is varied, see :meth:`~tunix_core.search_space.SearchSpace.parse`.
            metric_name: What is compared: ``score`` (0 to 100), ``primary_score``, the name of
                an evaluator, or a final figure of the trainer such as ``eval_loss``.
            metric_mode: Whether the largest or the smallest value is the best.
            num_samples: Number of trials, 1 to 100.
            max_concurrent_trials: How many may run at once, 1 to 10.
            tuner: Name of a tuner.
            trainer: Name of a trainer.
            settings: The trainer's settings that all trials share.
            eval_dataset_key: Dataset that the models are judged on, by default the training data.
            seed: Seed of the suggestions and of every run.

        Raises:
            InvalidRecordError: Every problem with the request, each with its path.
        """
        job = TuningJob(
            id=new_id(),
            name=name,
            status="created",
            dataset_key=dataset_key,
            base_model_id=base_model_id,
            metric_name=metric_name,
            metric_mode=metric_mode,
            num_samples=num_samples,
            max_concurrent_trials=max_concurrent_trials,
            search_space=search_space,
            tuner=self._named(TUNER, tuner),
            trainer=self._named(TRAINER, trainer),
            settings=dict(settings or {}),
            seed=seed,
            created_at=now(),
            eval_dataset_key=eval_dataset_key,
        )
        return self._stored(job)

    def _named(self, kind: Kind[Any, Any], name: str) -> str:
        """The full name of what is the default now, so that it stays the same for all trials."""
        if name != DEFAULT:
            return name
        try:
            return self._plugins.find(kind, name).full_name
        except UsageError:
            # There may be one when the job is started, which says what is missing otherwise.
            return name

    def _stored(self, job: TuningJob) -> TuningJob:
        """A job that is now stored, if nothing is wrong with it."""
        problems = _problems(job)
        if problems:
            raise InvalidRecordError(problems, "tuning job")
        self._store.tuning.insert(job)
        return self.get(job.id)

    def list(self, limit: int = 20, offset: int = 0) -> builtins.list[TuningJob]:
        """Jobs, newest first."""
        return self._store.tuning.select(limit, offset)

    def get(self, job_id: str) -> TuningJob:
        """A job by its id or an unambiguous beginning of it.

        Raises:
            NotFoundError: None or several jobs match.
        """
        return by_beginning(
            "tuning job", job_id, self._store.tuning.find, "see: tunix-rt tune list"
        )

    def trials(self, job_id: str) -> builtins.list[TuningTrial]:
        """The trials of a job, by number.

        Raises:
            NotFoundError: No such job.
        """
        return self._store.tuning.trials(self.get(job_id).id)

    def wanted(self, job_id: str) -> int:
        """How many trials a job is to have in all: those asked for, and those made up for.

        Raises:
            NotFoundError: No such job.
        """
        return self._store.tuning.wanted_trials(self.get(job_id).id)

    def best(self, job_id: str) -> TuningTrial | None:
        """The best trial so far, the earliest of several; None before one has completed.

        Raises:
            NotFoundError: No such job.
        """
        job = self.get(job_id)
        return best_trial(job, self._store.tuning.trials(job.id))

    def start(self, job_id: str) -> TuningJob:
        """Set a job running; workers do the rest.

        A failed job keeps its good trials; those that failed are made up for by further ones.

        Raises:
            NotFoundError: No such job.
            UsageError: The tuner, the trainer, the metric or a parameter is not known.
            ConflictError: The job is neither created nor failed.
        """
        job = self.get(job_id)
        self._plugins.find(TUNER, job.tuner)
        refusal = ConflictError(
            f"tuning job {job.id} is {job.status}", "only created and failed jobs are started"
        )
        if job.status not in ("created", "failed"):
            raise refusal
        trainer = self._plugins.find(TRAINER, job.trainer)
        check_metric(self._plugins, job.metric_name, trainer.contribution.figure)
        setting_names(trainer, job.search_space)
        if not self._store.tuning.start(job.id, now()):
            raise refusal
        return self.get(job.id)

    def cancel(self, job_id: str) -> TuningJob:
        """End a job and its running trials; what has completed is kept.

        Raises:
            NotFoundError: No such job.
            ConflictError: The job has ended already.
        """
        job = self.get(job_id)
        if not self._steps.end(job, "cancelled", sources=("created", "running")):
            raise ConflictError(f"tuning job {job.id} is {job.status}: nothing to cancel")
        for trial in self._steps.running(job.id):
            run = self._steps.run(trial)
            # One without a run is about to get it; whoever makes it sees that the job has ended.
            if run is not None:
                self._steps.abandon(trial, run, "the job is cancelled")
        return self.get(job.id)

    def advance(self, job_id: str | None = None, stopping: Callable[[], bool] = go_on) -> bool:
        """Take the steps that are due; what idle workers call.

        Ended runs are judged, new trials are suggested and enqueued, and a job that has nothing
        left to do is ended. A process that is killed meanwhile loses no trial and doubles none.

        Args:
            job_id: Only this job; by default all.
            stopping: Asked a few times a second whether to leave the rest to others.

        Returns:
            Whether anything was done.
        """
        advanced = False
        failure: Exception | None = None
        for due in self._store.tuning.open_jobs():
            if job_id not in (None, due):
                continue
            try:
                advanced |= self._steps.advance(due, stopping)
            except StoppedError:
                return advanced
            except Exception as error:
                # The other jobs do not suffer for it.
                failure = failure or error
        if failure is not None:
            raise failure
        return advanced

    def execute(
        self, job_id: str, worker: Worker, on_progress: Progress | None = None
    ) -> TuningJob:
        """Work on a started job until it has ended, or until the worker is stopped.

        Args:
            job_id: The job.
            worker: What executes its runs; other workers may help.
            on_progress: Called with (ended, wanted) trials.

        Raises:
            NotFoundError: No such job.
        """
        job = self.get(job_id)
        while job.status == "running" and not worker.stopping:
            advanced = self.advance(job.id, lambda: worker.stopping)
            job = self.get(job.id)
            running = self._steps.running(job.id)
            if on_progress is not None:
                ended = len(self._store.tuning.trials(job.id)) - len(running)
                on_progress(ended, self._store.tuning.wanted_trials(job.id))
            runs = [run for run in map(self._steps.run, running) if run is not None]
            due = [run for run in runs if run.status not in TERMINAL_STATUSES]
            # Other workers see to what is not pending.
            due.sort(key=lambda run: run.status != "pending")
            if due:
                worker.execute(due[0].id)
            elif not advanced:
                time.sleep(WAIT_S)
        return job


def _problems(job: TuningJob) -> builtins.list[str]:
    """What is wrong with a job that is about to be stored."""
    problems = []
    if not isinstance(job.name, str) or not 1 <= len(job.name) <= MAX_NAME_CHARS:
        problems.append(f"$.name: must be text of 1 to {MAX_NAME_CHARS} characters")
    if job.metric_mode not in ("max", "min"):
        problems.append(f"$.metric_mode: must be 'max' or 'min', got {job.metric_mode!r}")
    for field, limit in (
        ("num_samples", MAX_SAMPLES),
        ("max_concurrent_trials", MAX_CONCURRENT_TRIALS),
    ):
        value = getattr(job, field)
        if type(value) is not int or not 1 <= value <= limit:
            problems.append(f"$.{field}: must be an integer from 1 to {limit}, got {value!r}")
    if type(job.seed) is not int or not -MAX_SEED <= job.seed <= MAX_SEED:
        problems.append(f"$.seed: must be an integer of at most 63 bits, got {job.seed!r}")
    rest = job
    try:
        SearchSpace.parse(job.search_space)
    except InvalidRecordError as error:
        problems += error.problems
        rest = evolve(job, search_space={})
    try:
        check_json(unstructure(rest))
    except InvalidRecordError as error:
        problems += error.problems
    return problems
