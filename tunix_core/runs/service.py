"""Runs of trainers: created here, executed by :mod:`tunix_core.runs.worker`."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve

from tunix_core.base.clock import now
from tunix_core.base.lookup import by_beginning
from tunix_core.base.paths import WorkspacePaths
from tunix_core.contributions import DEFAULT, TRAINER
from tunix_core.datasets import Datasets
from tunix_core.errors import ConflictError, TunixError
from tunix_core.plugins import Plugins
from tunix_core.records import (
    TERMINAL_STATUSES,
    Run,
    RunConfig,
    RunMode,
    RunResult,
    RunStatus,
    RunTotal,
    TrainingRequest,
)
from tunix_core.runs import artifacts, output_dirs
from tunix_core.runs.artifacts import Artifact
from tunix_core.runs.config import resolve
from tunix_core.runs.creation import (
    Accepted,
    RunRequest,
    accept,
    own_dir,
    pending_run,
    request_id,
)
from tunix_core.runs.dry_run import dry_run, find_datasets
from tunix_core.runs.folder import RunFolder, RunProgress
from tunix_core.runs.log import RunLog, RunOutput
from tunix_core.runs.processes import POLL_S
from tunix_core.runs.requests import without_effect
from tunix_core.store import Store

LEASE_S = 15.0
CANCELLED_MEANWHILE = "cancelled while its worker stopped"
RESUMABLE: tuple[RunStatus, ...] = ("failed", "cancelled", "timeout")


class Runs:
    """Creates, finds and steers runs."""

    def __init__(
        self, store: Store, plugins: Plugins, paths: WorkspacePaths, datasets: Datasets
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._paths = paths
        self._datasets = datasets

    def create(
        self,
        dataset_key: str,
        trainer: str = DEFAULT,
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        template: str = "show_your_work",
        eval_dataset_key: str | None = None,
        time_budget_s: float | None = None,
        mode: RunMode = "local",
        output_dir: str | None = None,
        resources: Mapping[str, float] | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Enqueue a run; everything that can be wrong with the request is refused here.

        Args:
            dataset_key: The dataset to train on.
            trainer: Name of a trainer.
            settings: The trainer's settings; what is not given has its default.
            seed: Seed of initialisation and data order.
            template: Name of the rendering template.
            eval_dataset_key: Dataset for the loss during training.
            time_budget_s: Seconds after which training ends with a usable model.
            mode: ``local`` trains, ``dry-run`` only validates.
            output_dir: Where the run is found besides ``runs/<id>``: a path below ``outputs/``.
            resources: What its processes need, for an executor that has to find it.
            run_id: A UUID chosen beforehand, for who has to know it before; random by default.

        Raises:
            NotFoundError: No such dataset.
            UsageError: No such trainer or template, a setting that the trainer refuses, or an
                output_dir that is no path below ``outputs/``.
            InvalidRecordError: A seed or a budget that is no number.
            ConflictError: Something that is no run's lies at ``output_dir``, or there is a run
                ``run_id``.
        """
        request = RunRequest(
            dataset_key=dataset_key,
            trainer=trainer,
            settings=settings,
            seed=seed,
            template=template,
            eval_dataset_key=eval_dataset_key,
            time_budget_s=time_budget_s,
            output_dir=output_dir,
            resources=resources,
            mode=mode,
        )
        return self._enqueue_accepted(accept(request, self._plugins, self._datasets), run_id)

    def create_or_resume(
        self,
        dataset_key: str,
        trainer: str = DEFAULT,
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        template: str = "show_your_work",
        eval_dataset_key: str | None = None,
        time_budget_s: float | None = None,
        output_dir: str | None = None,
        resources: Mapping[str, float] | None = None,
    ) -> Run:
        """The run of a request: a new one, or the one that an interrupted attempt left.

        The same data, trainer, settings, template and seed are the same run, so that a script
        that is started again goes on where it was. Settings that its trainer declares to be of
        execution alone may differ; those given now hold. A run that has completed is returned as
        it is, also when it was its time budget that ended it, and so is one that is running.

        Args:
            dataset_key: The dataset to train on.
            trainer: Name of a trainer.
            settings: The trainer's settings; what is not given has its default.
            seed: Seed of initialisation and data order.
            template: Name of the rendering template.
            eval_dataset_key: Dataset for the loss during training.
            time_budget_s: Seconds of training from now, after which it ends with a usable model.
            output_dir: See :meth:`create`; of no effect when the run is there.
            resources: See :meth:`create`.

        Raises:
            NotFoundError: No such dataset.
            UsageError: No such trainer or template, or a setting that the trainer refuses.
            InvalidRecordError: A seed or a budget that is no number.
        """
        request = RunRequest(
            dataset_key=dataset_key,
            trainer=trainer,
            settings=settings,
            seed=seed,
            template=template,
            eval_dataset_key=eval_dataset_key,
            time_budget_s=time_budget_s,
            output_dir=output_dir,
            resources=resources,
        )
        accepted = accept(request, self._plugins, self._datasets)
        run_id = request_id(accepted, self._datasets)
        if not self._store.runs.find(run_id):
            try:
                return self._enqueue_accepted(accepted, run_id)
            except ConflictError:
                # Another process may have made the same request at this moment.
                if not self._store.runs.find(run_id):
                    raise
        return self._go_on(run_id, accepted.config)

    def submit(self, request: TrainingRequest) -> Run:
        """Enqueue what was asked for; what is wrong with it shows when it is executed.

        Args:
            request: The request; it is kept in the run's configuration.

        Raises:
            UsageError: ``output_dir`` is no path below ``outputs/``.
            ConflictError: Something that is no run's lies at ``output_dir``.
        """
        config = RunConfig(
            seed=request.seed,
            eval_dataset_key=request.eval_dataset_key,
            time_budget_s=request.time_budget_s,
            request=request,
        )
        trainer = request.trainer
        # A refusal is the outcome of the run.
        with suppress(TunixError):
            provided = self._plugins.find(TRAINER, trainer)
            trainer = provided.full_name
            config = resolve(provided, config)
        versions = self._plugins.versions()
        return self._enqueue(pending_run(request, trainer, request.model_id, config, versions))

    def prepare(self, run: Run) -> tuple[Run, str | None]:
        """Check a claimed run just before it is executed.

        Returns:
            The run with its trainer's settings, and a line about what of its request has no
            effect.

        Raises:
            TunixError: A dataset is not there or the trainer refuses; the message says which.
        """
        find_datasets(run, self._datasets)
        provided = self._plugins.find(TRAINER, run.trainer)
        config = resolve(provided, run.config)
        if config != run.config:
            run = evolve(run, trainer=provided.full_name, config=config)
            self._store.runs.update_config(run)
        # Also after a stop between the run's being stored and its being described.
        self._folder(run).describe(run)
        return run, None if config.request is None else without_effect(provided)

    def dry_run(self, run: Run) -> Iterator[str]:
        """Lines of a report on a run that is only validated; opens no database.

        Raises:
            TunixError: Something is wrong; the message names the step.
        """
        return dry_run(run, self._plugins, self._datasets)

    def _enqueue_accepted(self, accepted: Accepted, run_id: str | None) -> Run:
        return self._enqueue(
            pending_run(
                accepted.request,
                accepted.trainer.full_name,
                accepted.model_id,
                accepted.config,
                self._plugins.versions(),
                run_id,
            )
        )

    def _enqueue(self, run: Run) -> Run:
        # A dry run leaves nothing behind that should take a name from a trained one.
        named = run.mode == "local" and run.output_dir != own_dir(run.id)
        place = output_dirs.reserve(self._paths.outputs, run.output_dir) if named else None
        folder = self._folder(run)
        # It may be there without a run when the host went down at this point before.
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.describe(run)
        if place is not None:
            output_dirs.link(place, folder.path)
        self._store.runs.insert(run)
        return run

    def _go_on(self, run_id: str, config: RunConfig) -> Run:
        """Let a run that waits or was interrupted be executed with the settings of now."""
        self._wait_for_sign_of_life(run_id)
        held = self.get(run_id).config
        changed = evolve(
            held,
            trainer=config.trainer,
            requested=config.requested,
            time_budget_s=config.time_budget_s,
            resources=config.resources,
        )
        sources = (*RESUMABLE, "pending")
        requeued = self._store.runs.requeue(run_id, sources, {"config": changed})
        run = self.get(run_id)
        if requeued:
            self._folder(run).describe(run)
        return run

    def get(self, run_id: str) -> Run:
        """A run by its id or an unambiguous beginning of it.

        Raises:
            NotFoundError: None or several runs match.
        """
        self.mark_abandoned()
        return by_beginning("run", run_id, self._store.runs.find, "see: tunix-rt runs list")

    def list(
        self,
        *,
        status: str | None = None,
        dataset_key: str | None = None,
        mode: str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> list[Run]:
        """Runs, newest first."""
        self.mark_abandoned()
        wanted = {"status": status, "dataset_key": dataset_key, "mode": mode}
        filters = {column: value for column, value in wanted.items() if value is not None}
        return self._store.runs.select(filters, limit, offset)

    def totals(self, bounds_s: Sequence[float]) -> builtins.list[RunTotal]:
        """All runs, counted by status and mode.

        Args:
            bounds_s: Bounds of the seconds from start to end, ascending, to count within.
        """
        self.mark_abandoned()
        return self._store.runs.totals(bounds_s)

    def cancel(self, run_id: str) -> Run:
        """Ask for an end: at once when pending, with a checkpoint when running.

        Raises:
            ConflictError: The run has ended already.
        """
        run = self.get(run_id)
        if not self._store.runs.cancel(run.id):
            raise ConflictError(f"run {run.id} is {self.get(run.id).status}: nothing to cancel")
        return self.get(run.id)

    def resume(self, run_id: str) -> Run:
        """Enqueue an ended run again; it continues from its newest checkpoint.

        One that completed because its time budget ran out continues as well, with a budget as
        large as before.

        Raises:
            ConflictError: The run is pending or running, or has taken all its steps.
        """
        run = self.get(run_id)
        sources = (*RESUMABLE, "completed") if self._ran_out_of_time(run) else RESUMABLE
        if not self._store.runs.requeue(run.id, sources, {}):
            raise ConflictError(
                f"run {run.id} is {run.status}",
                f"only {', '.join(RESUMABLE)} runs and those out of time budget are resumed",
            )
        return self.get(run.id)

    def _wait_for_sign_of_life(self, run_id: str) -> None:
        """Return once the worker of a run prolongs its lease, or has lost it.

        That takes 15 s at most, or a minute where the clock was set back meanwhile.
        """
        lease = self._store.runs.lease(run_id)
        while lease is not None and self._store.runs.lease(run_id) == lease:
            time.sleep(POLL_S)
            self.mark_abandoned()

    def _ran_out_of_time(self, run: Run) -> bool:
        """Whether a run completed by its time budget, with steps left to take."""
        result = run.result
        if run.status != "completed" or result is None or result.stop_reason != "time_budget":
            return False
        plan = self._folder(run).plan()
        return plan is not None and result.steps < plan.total_steps

    def claim(self, worker: str, run_id: str | None = None) -> Run | None:
        """Take a pending run for a worker, the oldest unless one is named; None without any."""
        self.mark_abandoned()
        return self._store.runs.claim(run_id, worker, LEASE_S)

    def heartbeat(self, run: Run) -> RunStatus | None:
        """Prolong a claim; the status, or None when another worker took the run over.

        A run that was only marked as abandoned is its worker's again.
        """
        status = self._store.runs.heartbeat(run, LEASE_S)
        # A worker that is busy for days notices the end of others all the same.
        self.mark_abandoned()
        return status

    def finish(
        self,
        run: Run,
        status: RunStatus,
        *,
        exit_code: int | None = None,
        error: str | None = None,
        result: RunResult | None = None,
    ) -> bool:
        """Record the end of a claimed run; False when another worker took it over.

        One that is to be ``pending`` again, but whose end was asked for, is ``cancelled``.
        """
        changes = {
            "completed_at": now() if status in TERMINAL_STATUSES else None,
            "exit_code": exit_code,
            "error": error,
            "result": result,
        }
        finish = self._store.runs.finish
        if status != "pending":
            return finish(run, status, changes)
        changes_when_cancelled = {**changes, "completed_at": now(), "error": CANCELLED_MEANWHILE}
        return finish(run, status, changes, ("running",)) or finish(
            run, "cancelled", changes_when_cancelled, ("cancel_requested",)
        )

    def metrics(self, run_id: str) -> Iterator[dict[str, Any]]:
        """The recorded steps of a run, in order; a line still being written is left out."""
        return self._folder_of(run_id).metrics.steps()

    def progress(self, run_id: str) -> RunProgress:
        """How far a run is; everything None before its training begins."""
        return self._folder_of(run_id).progress()

    def artifacts(self, run_id: str) -> builtins.list[Artifact]:
        """The files of a run, sorted by path."""
        return artifacts.artifacts(self._folder_of(run_id).path)

    def artifact(self, run_id: str, path: str) -> Path:
        """A file of a run.

        Args:
            run_id: The run.
            path: As :meth:`artifacts` gives it.

        Raises:
            ConfinementError: The path leaves the run's directory, symbolic links resolved.
            NotFoundError: No such run, or it has no such file.
        """
        return artifacts.artifact(self._folder_of(run_id).path, path)

    def log(self, run_id: str) -> RunLog:
        """What a run printed; empty until it has started."""
        return self._folder_of(run_id).log()

    def output(self, run_id: str, max_bytes: int) -> RunOutput:
        """What a run printed first.

        Args:
            run_id: The run.
            max_bytes: Bytes of each stream after which the rest is left out.
        """
        return self.log(run_id).output(max_bytes)

    def compare(self, run_ids: Sequence[str]) -> dict[str, builtins.list[Any]]:
        """The settings in which runs differ, then their outcomes, each with a value per run."""
        runs = [self.get(run_id) for run_id in run_ids]
        settings = [{**(run.config.trainer or {}), "seed": run.config.seed} for run in runs]
        outcomes = [
            {"status": run.status, **(run.result.metrics if run.result else {})} for run in runs
        ]
        table = _columns([{"dataset": run.dataset_key} for run in runs])
        for name, values in _columns(settings).items():
            if any(value != values[0] for value in values):
                table[name] = values
        return {**table, **_columns(outcomes)}

    def mark_abandoned(self) -> None:
        """End the runs whose worker died, so that none is ``running`` for ever."""
        self._store.runs.end_abandoned()

    def _folder_of(self, run_id: str) -> RunFolder:
        return self._folder(self.get(run_id))

    def _folder(self, run: Run) -> RunFolder:
        return RunFolder(self._paths.run(run.id))


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """``[{"a": 1}, {"a": 2, "b": 3}]`` to ``{"a": [1, 2], "b": [None, 3]}``."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
