"""Tuning jobs and their trials: every change of state is one guarded statement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from tunix_core.codec import unstructure
from tunix_core.records import TrialStatus, TuningJob, TuningStatus, TuningTrial
from tunix_core.store.connection import write_transaction

_JOB_COLUMNS = (
    "id, name, status, dataset_key, base_model_id, metric_name, metric_mode, num_samples, "
    "max_concurrent_trials, search_space, tuner, trainer, settings, seed, created_at, mode, "
    "eval_dataset_key, best_run_id, best_params, started_at, completed_at, error"
)
_TRIAL_COLUMNS = (
    "id, job_id, number, run_id, params, status, created_at, metric_value, error, completed_at"
)
_JSON = ("search_space", "settings", "best_params", "params")


def insert(database: Database, job: TuningJob) -> None:
    """Store a new job as the newest."""
    with write_transaction(database) as connection:
        connection.execute(
            f"INSERT INTO tuning_jobs (sequence, {_JOB_COLUMNS}) VALUES "  # noqa: S608
            "((SELECT coalesce(max(sequence), 0) + 1 FROM tuning_jobs), "
            f"{_marks(_JOB_COLUMNS)})",
            _row(job, _JOB_COLUMNS),
        )


def find(database: Database, prefix: str) -> list[TuningJob]:
    """Jobs whose id starts with ``prefix``; at most two, enough to see that it is ambiguous."""
    rows = database.conn.execute(
        f"SELECT {_JOB_COLUMNS} FROM tuning_jobs "  # noqa: S608 - constant columns
        "WHERE substr(id, 1, length(:prefix)) = :prefix LIMIT 2",
        {"prefix": prefix},
    )
    return [_job(row) for row in rows]


def select(database: Database, limit: int, offset: int) -> list[TuningJob]:
    """Jobs, newest first."""
    rows = database.conn.execute(
        f"SELECT {_JOB_COLUMNS} FROM tuning_jobs "  # noqa: S608 - constant columns
        "ORDER BY sequence DESC LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [_job(row) for row in rows]


def open_jobs(database: Database) -> list[str]:
    """Ids of the jobs that are running or have a running trial left, oldest first."""
    rows = database.conn.execute(
        "SELECT id FROM tuning_jobs WHERE status = 'running' OR id IN "
        "(SELECT job_id FROM tuning_trials WHERE status = 'running') ORDER BY sequence"
    )
    return [row[0] for row in rows]


def start(database: Database, job_id: str, started_at: str) -> bool:
    """Set a created or failed job running; False when it is neither.

    The trials that failed so far no longer count among the samples that were asked for.
    """
    with write_transaction(database) as connection:
        cursor = connection.execute(
            "UPDATE tuning_jobs SET status = 'running', started_at = ?, completed_at = NULL, "
            "error = NULL, best_run_id = NULL, best_params = NULL, excused = "
            "(SELECT count(*) FROM tuning_trials WHERE job_id = tuning_jobs.id "
            "AND status = 'failed') WHERE id = ? AND status IN ('created', 'failed')",
            (started_at, job_id),
        )
    return cursor.rowcount == 1


def end(
    database: Database,
    job_id: str,
    sources: tuple[TuningStatus, ...],
    status: TuningStatus,
    changes: Mapping[str, Any],
) -> bool:
    """Move a job that is in one of ``sources`` to ``status``; False when it is in none.

    Keys of ``changes`` are column names.
    """
    assignments = ", ".join(f"{column} = ?" for column in changes)
    with write_transaction(database) as connection:
        cursor = connection.execute(
            f"UPDATE tuning_jobs SET status = ?, {assignments} WHERE id = ? "  # noqa: S608
            f"AND status IN ({', '.join('?' * len(sources))})",
            (status, *(_plain(k, v) for k, v in changes.items()), job_id, *sources),
        )
    return cursor.rowcount == 1


def wanted_trials(database: Database, job_id: str) -> int:
    """How many trials the job is to have in all, those that failed before a restart included."""
    row = database.conn.execute(
        "SELECT num_samples + excused FROM tuning_jobs WHERE id = ?", (job_id,)
    ).fetchone()
    return int(row[0])


def add_trial(database: Database, trial: TuningTrial) -> bool:
    """Store a new trial; False, and nothing stored, when its job does not run any more."""
    with write_transaction(database) as connection:
        cursor = connection.execute(
            f"INSERT INTO tuning_trials ({_TRIAL_COLUMNS}) "  # noqa: S608 - constant columns
            f"SELECT {_marks(_TRIAL_COLUMNS)} "
            "FROM tuning_jobs WHERE id = ? AND status = 'running'",
            (*_row(trial, _TRIAL_COLUMNS), trial.job_id),
        )
    return cursor.rowcount == 1


def trials(database: Database, job_id: str) -> list[TuningTrial]:
    """The trials of a job, by number."""
    rows = database.conn.execute(
        f"SELECT {_TRIAL_COLUMNS} FROM tuning_trials "  # noqa: S608 - constant columns
        "WHERE job_id = ? ORDER BY number",
        (job_id,),
    )
    return [_trial(row) for row in rows]


def end_trial(
    database: Database, trial_id: str, status: TrialStatus, changes: Mapping[str, Any]
) -> bool:
    """End a running trial; False when it has ended already. Keys are column names."""
    assignments = ", ".join(f"{column} = ?" for column in changes)
    with write_transaction(database) as connection:
        cursor = connection.execute(
            f"UPDATE tuning_trials SET status = ?, {assignments} "  # noqa: S608
            "WHERE id = ? AND status = 'running'",
            (status, *changes.values(), trial_id),
        )
    return cursor.rowcount == 1


def count_restart(database: Database, trial_id: str, limit: int) -> bool:
    """Note that a trial's run begins again; False when it has done so ``limit`` times."""
    with write_transaction(database) as connection:
        cursor = connection.execute(
            "UPDATE tuning_trials SET restarts = restarts + 1 WHERE id = ? AND restarts < ?",
            (trial_id, limit),
        )
    return cursor.rowcount == 1


def _row(record: TuningJob | TuningTrial, columns: str) -> list[Any]:
    fields = unstructure(record)
    return [_plain(column, fields[column]) for column in columns.split(", ")]


def _plain(column: str, value: Any) -> Any:
    return json.dumps(value) if column in _JSON and value is not None else value


def _fields(row: tuple[Any, ...], columns: str) -> dict[str, Any]:
    fields = dict(zip(columns.split(", "), row, strict=True))
    for column in _JSON:
        if fields.get(column) is not None:
            fields[column] = json.loads(fields[column])
    return fields


def _job(row: tuple[Any, ...]) -> TuningJob:
    return TuningJob(**_fields(row, _JOB_COLUMNS))


def _trial(row: tuple[Any, ...]) -> TuningTrial:
    return TuningTrial(**_fields(row, _TRIAL_COLUMNS))


def _marks(columns: str) -> str:
    return ", ".join("?" * len(columns.split(", ")))
