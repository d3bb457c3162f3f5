"""Runs of trainers: created here, executed by :mod:`tunix_core.worker`."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from sqlite_utils import Database

from tunix_core.clock import new_id, now
from tunix_core.codec import structure, unstructure
from tunix_core.datasets import Datasets
from tunix_core.errors import ConflictError, NotFoundError, UsageError
from tunix_core.paths import WorkspacePaths
from tunix_core.plugins import Plugins
from tunix_core.records import TERMINAL_STATUSES, Run, RunStatus
from tunix_core.rendering import TEMPLATES
from tunix_core.store import runs as store

LEASE_S = 15.0
RESUMABLE: tuple[RunStatus, ...] = ("failed", "cancelled", "timeout")


@frozen
class RunConfig:
    """The resolved configuration that is stored with a run.

    Args:
        trainer: The trainer's own settings, complete with defaults.
        seed: Seed of initialisation and data order.
        template: Name of the rendering template.
        eval_dataset_key: Dataset for the loss during training, or None.
        time_budget_s: Seconds after which training ends with a usable model, or None.
    """

    trainer: dict[str, Any]
    seed: int = 0
    template: str = "show_your_work"
    eval_dataset_key: str | None = None
    time_budget_s: float | None = None


class Runs:
    """Creates, finds and steers runs."""

    def __init__(
        self, database: Database, plugins: Plugins, paths: WorkspacePaths, datasets: Datasets
    ) -> None:
        self._database = database
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

        Raises:
            NotFoundError: No such dataset.
            UsageError: No such trainer or template, or a setting that the trainer refuses.
        """
        provided = self._plugins.find("trainer", trainer)
        config = provided.config(settings)
        if template not in TEMPLATES:
            raise UsageError(f"unknown template {template!r}", f"known: {', '.join(TEMPLATES)}")
        for key in (dataset_key, eval_dataset_key):
            if key is not None:
                self._datasets.manifest(key)
        resolved = RunConfig(
            trainer=unstructure(config),
            seed=seed,
            template=template,
            eval_dataset_key=eval_dataset_key,
            time_budget_s=time_budget_s,
        )
        run_id = new_id()
        run = Run(
            id=run_id,
            status="pending",
            trainer=provided.full_name,
            dataset_key=dataset_key,
            model_id=str(getattr(config, "model_id", provided.full_name)),
            mode="local",
            config=unstructure(resolved),
            output_dir=f"runs/{run_id}",
            plugins=self._plugins.versions(),
            created_at=now(),
        )
        folder = self._paths.run(run_id)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(run.config, indent=2) + "\n", "utf-8")
        # What a further host reads instead of the database, which is the first host's alone.
        (folder / "run.json").write_text(json.dumps(unstructure(run), indent=2) + "\n", "utf-8")
        store.insert(self._database, run)
        return run

    def get(self, run_id: str) -> Run:
        """A run by its id or an unambiguous beginning of it.

        Raises:
            NotFoundError: None or several runs match.
        """
        self._mark_abandoned()
        found = store.find(self._database, run_id) if run_id else []
        if len(found) != 1:
            problem = "is ambiguous" if found else "not found"
            raise NotFoundError(f"run {run_id!r} {problem}", "see: tunix-rt runs list")
        return found[0]

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
        self._mark_abandoned()
        wanted = {"status": status, "dataset_key": dataset_key, "mode": mode}
        filters = {column: value for column, value in wanted.items() if value is not None}
        return store.select(self._database, filters, limit, offset)

    def cancel(self, run_id: str) -> Run:
        """Ask for an end: at once when pending, with a checkpoint when running.

        Raises:
            ConflictError: The run has ended already.
        """
        run = self.get(run_id)
        if not (
            store.transition(
                self._database, run.id, ("pending",), "cancelled", now(), "cancelled while pending"
            )
            or store.transition(
                self._database,
                run.id,
                ("running", "cancel_requested"),
                "cancel_requested",
                None,
                None,
            )
        ):
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
        if not store.transition(self._database, run.id, sources, "pending", None, None):
            raise ConflictError(
                f"run {run.id} is {run.status}",
                f"only {', '.join(RESUMABLE)} runs and those out of time budget are resumed",
            )
        return self.get(run.id)

    def _ran_out_of_time(self, run: Run) -> bool:
        """Whether a run completed by its time budget, with steps left to take."""
        result = run.result or {}
        if run.status != "completed" or result.get("stop_reason") != "time_budget":
            return False
        path = self._paths.run(run.id) / "progress.json"
        return bool(result["steps"] < json.loads(path.read_text("utf-8"))["total_steps"])

    def claim(self, worker: str, run_id: str | None = None) -> Run | None:
        """Take a pending run for a worker, the oldest unless one is named; None without any."""
        self._mark_abandoned()
        return store.claim(self._database, run_id, worker, time.time() + LEASE_S, now())

    def heartbeat(self, run: Run) -> RunStatus | None:
        """Prolong a claim; the status, or None when another worker took the run over."""
        return store.heartbeat(self._database, run.id, run.token, time.time() + LEASE_S)

    def finish(
        self,
        run: Run,
        status: RunStatus,
        *,
        exit_code: int | None = None,
        error: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record the end of a claimed run; False when another worker took it over."""
        changes = {
            "completed_at": now() if status in TERMINAL_STATUSES else None,
            "exit_code": exit_code,
            "error": error,
            "result": None if result is None else json.dumps(result),
        }
        return store.finish(self._database, run.id, run.token, status, changes)

    def metrics(self, run_id: str) -> Iterator[dict[str, Any]]:
        """The recorded steps of a run, in order; a line still being written is left out."""
        path = self._paths.run(self.get(run_id).id) / "metrics.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

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

    def log_path(self, run_id: str) -> Path:
        """The run's log file; it exists once the run has started."""
        return self._paths.run(self.get(run_id).id) / "log.txt"

    def config(self, run: Run) -> RunConfig:
        """The stored configuration of a run."""
        return structure(RunConfig, run.config, "run config")

    def _mark_abandoned(self) -> None:
        """A run whose worker died is never ``running`` for ever."""
        for run_id, token, status in store.abandoned(self._database, time.time()):
            target: RunStatus = "cancelled" if status == "cancel_requested" else "failed"
            changes = {
                "completed_at": now(),
                "exit_code": None,
                "error": f"its worker died; continue with: tunix-rt runs resume {run_id}",
                "result": None,
            }
            store.finish(self._database, run_id, token, target, changes)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """``[{"a": 1}, {"a": 2, "b": 3}]`` to ``{"a": [1, 2], "b": [None, 3]}``."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
