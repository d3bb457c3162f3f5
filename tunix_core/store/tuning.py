"""Tuning jobs and their trials: every change of state is one guarded statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunix_core.records import TrialStatus, TuningJob, TuningStatus, TuningTrial
from tunix_core.store.connection import Connection
from tunix_core.store.rows import Table, as_it_is, marks

_JOBS = Table(
    "tuning_jobs",
    TuningJob,
    json=dict.fromkeys(("search_space", "settings", "best_params"), as_it_is),
    is_ordered=True,
)
_TRIALS = Table("tuning_trials", TuningTrial, json={"params": as_it_is})


class TuningStore:
    """Jobs, in the order in which they were made, and their trials."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert(self, job: TuningJob) -> None:
        """Store a new job as the newest."""
        with self._connection.transaction():
            _JOBS.insert(self._connection, job)

    def find(self, prefix: str) -> list[TuningJob]:
        """Jobs whose id starts with ``prefix``; at most two, to see that it is ambiguous."""
        return _JOBS.beginning(self._connection, prefix)

    def select(self, limit: int, offset: int) -> list[TuningJob]:
        """Jobs, newest first."""
        return _JOBS.newest(self._connection, {}, limit, offset)

    def open_jobs(self) -> list[str]:
        """Ids of the jobs that are running or have a running trial left, oldest first."""
        rows = self._connection.execute(
            "SELECT id FROM tuning_jobs WHERE status = 'running' OR id IN "
            "(SELECT job_id FROM tuning_trials WHERE status = 'running') ORDER BY sequence"
        )
        return [row[0] for row in rows]

    def start(self, job_id: str, started_at: str) -> bool:
        """Set a created or failed job running; False when it is neither.

        The trials that failed so far no longer count among the samples that were asked for.
        """
        return self._change(
            "UPDATE tuning_jobs SET status = 'running', started_at = ?, completed_at = NULL, "
            "error = NULL, best_run_id = NULL, best_params = NULL, excused = "
            "(SELECT count(*) FROM tuning_trials WHERE job_id = tuning_jobs.id "
            "AND status = 'failed') WHERE id = ? AND status IN ('created', 'failed')",
            started_at,
            job_id,
        )

    def end(
        self,
        job_id: str,
        sources: tuple[TuningStatus, ...],
        status: TuningStatus,
        changes: Mapping[str, Any],
    ) -> bool:
        """Move a job that is in one of ``sources`` to ``status``; False when it is in none.

        Keys of ``changes`` are column names.
        """
        assignments, values = _JOBS.assign({"status": status, **changes})
        return self._change(
            f"UPDATE tuning_jobs SET {assignments} WHERE id = ? "  # noqa: S608 - names, marks
            f"AND status IN ({marks(len(sources))})",
            *values,
            job_id,
            *sources,
        )

    def wanted_trials(self, job_id: str) -> int:
        """How many trials the job is to have in all, those that failed before a restart too."""
        query = "SELECT num_samples + excused FROM tuning_jobs WHERE id = ?"
        return int(self._connection.execute(query, (job_id,)).fetchone()[0])

    def add_trial(self, trial: TuningTrial) -> bool:
        """Store a new trial; False, and nothing stored, when its job does not run any more."""
        with self._connection.transaction():
            return _TRIALS.insert(
                self._connection,
                trial,
                rest="FROM tuning_jobs WHERE id = ? AND status = 'running'",
                values=(trial.job_id,),
            )

    def trials(self, job_id: str) -> list[TuningTrial]:
        """The trials of a job, by number."""
        return _TRIALS.all(self._connection, "WHERE job_id = ? ORDER BY number", (job_id,))

    def end_trial(self, trial_id: str, status: TrialStatus, changes: Mapping[str, Any]) -> bool:
        """End a running trial; False when it has ended already. Keys are column names."""
        assignments, values = _TRIALS.assign({"status": status, **changes})
        return self._change(
            f"UPDATE tuning_trials SET {assignments} "  # noqa: S608 - names and marks
            "WHERE id = ? AND status = 'running'",
            *values,
            trial_id,
        )

    def count_restart(self, trial_id: str, limit: int) -> bool:
        """Note that a trial's run begins again; False when it has done so ``limit`` times."""
        return self._change(
            "UPDATE tuning_trials SET restarts = restarts + 1 WHERE id = ? AND restarts < ?",
            trial_id,
            limit,
        )

    def _change(self, query: str, *values: Any) -> bool:
        """Whether the guard of an UPDATE let it change its row."""
        with self._connection.transaction():
            return self._connection.execute(query, values).rowcount == 1
