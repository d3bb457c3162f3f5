"""Runs of trainers: created here, executed by :mod:`tunix_core.runs.worker`."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid5

from attrs import evolve

from tunix_core.base.clock import new_id, now
from tunix_core.base.lookup import by_beginning
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import canonical_json, structure, unstructure
from tunix_core.contributions import TRAINER
from tunix_core.datasets import Datasets
from tunix_core.errors import ConflictError, TunixError, UsageError
from tunix_core.plugins import Plugins, ProvidedTrainer
from tunix_core.records import TERMINAL_STATUSES, Run, RunStatus, RunTotal, located
from tunix_core.rendering import TEMPLATES
from tunix_core.runs import folder as run_files
from tunix_core.runs import output_dirs
from tunix_core.runs.config import RunConfig, trainer_config
from tunix_core.runs.dry_run import dry_run, find_datasets
from tunix_core.runs.folder import Artifact, RunProgress
from tunix_core.runs.log import RunLog, RunOutput, run_log
from tunix_core.runs.processes import POLL_S
from tunix_core.runs.requests import Mode, TrainingRequest
from tunix_core.store import Store

__all__ = ["RunConfig", "Runs"]

LEASE_S = 15.0
CANCELLED_MEANWHILE = "cancelled while its worker stopped"
# Names the run of a request, see :meth:`Runs.create_or_resume`.
REQUESTS = UUID("6f0d3a5e-6a0b-4f7c-9f43-3a1d7d1f6f52")
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
        trainer: str = "jax",
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        template: str = "show_your_work",
        eval_dataset_key: str | None = None,
        time_budget_s: float | None = None,
        mode: Mode = "local",
        output_dir: str | None = None,
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
            run_id: A UUID chosen beforehand, for who has to know it before; random by default.

        Raises:
            NotFoundError: No such dataset.
            UsageError: No such trainer or template, a setting that the trainer refuses, or an
                output_dir that is no path below ``outputs/``.
            InvalidRecordError: A seed or a budget that is no number.
            ConflictError: Something that is no run's lies at ``output_dir``, or there is a run
                ``run_id``.
        """
        provided = self._plugins.find(TRAINER, trainer)
        config = provided.config(settings)
        if template not in TEMPLATES:
            raise UsageError(f"unknown template {template!r}", f"known: {', '.join(TEMPLATES)}")
        if mode not in get_args(Mode):
            raise UsageError(f"unknown mode {mode!r}", f"known: {', '.join(get_args(Mode))}")
        self._check_data(provided, {"train": dataset_key, "eval": eval_dataset_key})
        fields = {
            "trainer": unstructure(config) or {},
            "seed": seed,
            "template": template,
            "eval_dataset_key": eval_dataset_key,
            "time_budget_s": time_budget_s,
        }
        resolved = structure(RunConfig, fields, "run")
        model_id = str(getattr(config, "model_id", provided.full_name))
        return self._enqueue(
            provided.full_name, dataset_key, model_id, mode, resolved, output_dir, run_id
        )

    def create_or_resume(
        self,
        dataset_key: str,
        trainer: str = "jax",
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        template: str = "show_your_work",
        eval_dataset_key: str | None = None,
        time_budget_s: float | None = None,
        output_dir: str | None = None,
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

        Raises:
            NotFoundError: No such dataset.
            UsageError: No such trainer or template, or a setting that the trainer refuses.
            InvalidRecordError: A seed or a budget that is no number.
        """
        provided = self._plugins.find(TRAINER, trainer)
        chosen = unstructure(provided.config(settings)) or {}
        execution = provided.contribution.execution_settings
        request = {
            "data": self._datasets.manifest(dataset_key).sha256,
            "held_out": eval_dataset_key and self._datasets.manifest(eval_dataset_key).sha256,
            "trainer": provided.full_name,
            "settings": {k: v for k, v in chosen.items() if k not in execution},
            "seed": seed,
            "template": template,
        }
        run_id = str(uuid5(REQUESTS, canonical_json(request)))
        if not self._store.runs.find(run_id):
            try:
                return self.create(
                    dataset_key,
                    trainer,
                    settings,
                    seed=seed,
                    template=template,
                    eval_dataset_key=eval_dataset_key,
                    time_budget_s=time_budget_s,
                    output_dir=output_dir,
                    run_id=run_id,
                )
            except ConflictError:
                # Another process may have made the same request at this moment.
                if not self._store.runs.find(run_id):
                    raise
        self._wait_for_sign_of_life(run_id)
        run = self.get(run_id)
        config = evolve(self.config(run), trainer=chosen, time_budget_s=time_budget_s)
        sources = (*RESUMABLE, "pending")
        requeued = self._store.runs.requeue(run_id, sources, {"config": unstructure(config)})
        run = self.get(run_id)
        if requeued:
            self._describe(run)
        return run

    def submit(self, request: TrainingRequest) -> Run:
        """Enqueue what was asked for; what is wrong with it shows when it is executed.

        Args:
            request: The request; it is kept in ``config["request"]``.

        Raises:
            UsageError: ``output_dir`` is no path below ``outputs/``.
            ConflictError: Something that is no run's lies at ``output_dir``.
        """
        config = RunConfig(
            trainer={},
            seed=request.seed,
            eval_dataset_key=request.eval_dataset_key,
            time_budget_s=request.time_budget_s,
            request=unstructure(request),
        )
        name = request.trainer
        # A refusal is the outcome of the run.
        with suppress(TunixError):
            name, config, _ = self._resolved(name, config)
        return self._enqueue(
            name, request.dataset_key, request.model_id, request.mode, config, request.output_dir
        )

    def prepare(self, run: Run) -> tuple[Run, str | None]:
        """Check a claimed run just before it is executed.

        Returns:
            The run with its trainer's settings, and a line about what of its request has no
            effect.

        Raises:
            TunixError: A dataset is not there or the trainer refuses; the message says which.
        """
        config = self.config(run)
        find_datasets(run, config, self._datasets)
        name, resolved, note = self._resolved(run.trainer, config)
        if resolved != config:
            run = evolve(run, trainer=name, config=unstructure(resolved))
            self._store.runs.update_config(run)
        # Also after a stop between the run's being stored and its being described.
        self._describe(run)
        return run, note

    def dry_run(self, run: Run) -> Iterator[str]:
        """Lines of a report on a run that is only validated; opens no database.

        Raises:
            TunixError: Something is wrong; the message names the step.
        """
        return dry_run(run, self.config(run), self._plugins, self._datasets)

    def _check_data(self, trainer: ProvidedTrainer, keys: Mapping[str, str | None]) -> None:
        """Refuse data that is not there, or that the trainer does not read."""
        reads = trainer.contribution.reads
        for use, key in keys.items():
            if key is None:
                continue
            record = self._datasets.manifest(key).record
            if use not in reads:
                raise UsageError(
                    f"{trainer.full_name} reads no {use} data, so {key} has no use",
                    f"it reads: {', '.join(reads)}",
                )
            if record != reads[use]:
                raise UsageError(
                    f"{trainer.full_name} reads a {reads[use]} in every line of its {use} data, "
                    f"{key} holds a {record}",
                    "choose another dataset or trainer",
                )

    def _resolved(self, trainer: str, config: RunConfig) -> tuple[str, RunConfig, str | None]:
        provided, settings, note = trainer_config(self._plugins, trainer, config)
        return provided.full_name, evolve(config, trainer=unstructure(settings) or {}), note

    def _enqueue(
        self,
        trainer: str,
        dataset_key: str,
        model_id: str,
        mode: Mode,
        config: RunConfig,
        output_dir: str | None,
        run_id: str | None = None,
    ) -> Run:
        wanted = None if output_dir is None else output_dirs.normalise(output_dir)
        # A dry run leaves nothing behind that should take a name from a trained one.
        named = wanted if mode == "local" else None
        place = None if named is None else output_dirs.reserve(self._paths.outputs, named)
        run_id = run_id or new_id()
        run = Run(
            id=run_id,
            status="pending",
            trainer=trainer,
            dataset_key=dataset_key,
            model_id=model_id,
            mode=mode,
            config=unstructure(config),
            output_dir=wanted or f"runs/{run_id}",
            plugins=self._plugins.versions(),
            created_at=now(),
        )
        folder = self._paths.run(run_id)
        # It may be there without a run when the host went down at this point before.
        folder.mkdir(parents=True, exist_ok=True)
        self._describe(run)
        if place is not None:
            output_dirs.link(place, folder)
        self._store.runs.insert(run)
        return located(run, self._paths.root)

    def _describe(self, run: Run) -> None:
        folder = self._paths.run(run.id)
        (folder / "config.json").write_text(json.dumps(run.config, indent=2) + "\n", "utf-8")
        # What a further host reads instead of the database, which is the first host's alone.
        (folder / "run.json").write_text(json.dumps(unstructure(run), indent=2) + "\n", "utf-8")

    def get(self, run_id: str) -> Run:
        """A run by its id or an unambiguous beginning of it.

        Raises:
            NotFoundError: None or several runs match.
        """
        self.mark_abandoned()
        found = by_beginning("run", run_id, self._store.runs.find, "see: tunix-rt runs list")
        return located(found, self._paths.root)

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
        found = self._store.runs.select(filters, limit, offset)
        return [located(run, self._paths.root) for run in found]

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
        result = run.result or {}
        if run.status != "completed" or result.get("stop_reason") != "time_budget":
            return False
        path = self._paths.run(run.id) / "progress.json"
        return bool(result["steps"] < json.loads(path.read_text("utf-8"))["total_steps"])

    def claim(self, worker: str, run_id: str | None = None) -> Run | None:
        """Take a pending run for a worker, the oldest unless one is named; None without any."""
        self.mark_abandoned()
        run = self._store.runs.claim(run_id, worker, LEASE_S)
        return run and located(run, self._paths.root)

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
        result: Mapping[str, Any] | None = None,
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
        return run_files.metrics(self._folder(run_id))

    def progress(self, run_id: str) -> RunProgress:
        """How far a run is; everything None before its training begins."""
        return run_files.progress(self._folder(run_id))

    def artifacts(self, run_id: str) -> builtins.list[Artifact]:
        """The files of a run, sorted by path."""
        return run_files.artifacts(self._folder(run_id))

    def artifact(self, run_id: str, path: str) -> Path:
        """A file of a run.

        Args:
            run_id: The run.
            path: As :meth:`artifacts` gives it.

        Raises:
            ConfinementError: The path leaves the run's directory, symbolic links resolved.
            NotFoundError: No such run, or it has no such file.
        """
        return run_files.artifact(self._folder(run_id), path)

    def log(self, run_id: str) -> RunLog:
        """What a run printed; empty until it has started."""
        return run_log(self._folder(run_id))

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
        settings = [{**run.config["trainer"], "seed": run.config["seed"]} for run in runs]
        outcomes = [
            {"status": run.status, **((run.result or {}).get("metrics") or {})} for run in runs
        ]
        table = _columns([{"dataset": run.dataset_key} for run in runs])
        for name, values in _columns(settings).items():
            if any(value != values[0] for value in values):
                table[name] = values
        return {**table, **_columns(outcomes)}

    def config(self, run: Run) -> RunConfig:
        """The stored configuration of a run."""
        return structure(RunConfig, run.config, "run config")

    def mark_abandoned(self) -> None:
        """End the runs whose worker died, so that none is ``running`` for ever."""
        self._store.runs.end_abandoned()

    def _folder(self, run_id: str) -> Path:
        return self._paths.run(self.get(run_id).id)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """``[{"a": 1}, {"a": 2, "b": 3}]`` to ``{"a": [1, 2], "b": [None, 3]}``."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
