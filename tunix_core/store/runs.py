"""Runs: a state machine whose every change is one guarded UPDATE."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from tunix_core.codec import structure, unstructure
from tunix_core.errors import ConflictError
from tunix_core.records import Run, RunConfig, RunResult, RunStatus
from tunix_core.store.connection import write_transaction

_COLUMNS = (
    "id, status, trainer, dataset_key, model_id, mode, config, output_dir, plugins, created_at, "
    "started_at, completed_at, exit_code, error, token, result"
)
# How the error of a run begins whose lease has run out.
WORKER_DIED = "its worker died"
# Leases are counted from the start of the machine. None is given for so long: one that has more
# left is from before the last start.
_LONGEST_LEASE_S = 60
_ABANDONED = (
    "status IN ('running', 'cancel_requested') "
    f"AND lease_expires NOT BETWEEN :now AND :now + {_LONGEST_LEASE_S}"
)


def insert(database: Database, run: Run) -> None:
    """Store a new run; its place in the order of insertion is the next one.

    Raises:
        ConflictError: There is a run with this id.
    """
    with write_transaction(database) as connection:
        if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone():
            raise ConflictError(f"run {run.id} exists already")
        connection.execute(
            f"INSERT INTO runs (sequence, {_COLUMNS}) VALUES "  # noqa: S608 - constant columns
            f"((SELECT coalesce(max(sequence), 0) + 1 FROM runs), {', '.join('?' * 16)})",
            (
                run.id,
                run.status,
                run.trainer,
                run.dataset_key,
                run.model_id,
                run.mode,
                _json(run.config),
                run.output_dir,
                json.dumps(run.plugins),
                run.created_at,
                run.started_at,
                run.completed_at,
                run.exit_code,
                run.error,
                run.token,
                None if run.result is None else _json(run.result),
            ),
        )


def find(database: Database, prefix: str) -> list[Run]:
    """Runs whose id starts with ``prefix``; at most two, enough to see that it is ambiguous."""
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE substr(id, 1, length(:prefix)) = :prefix LIMIT 2",  # noqa: S608
        {"prefix": prefix},
    )
    return [_run(row) for row in rows]


def select(database: Database, filters: Mapping[str, str], limit: int, offset: int) -> list[Run]:
    """Runs that equal every filter, newest first. Keys of ``filters`` are column names."""
    where = " AND ".join(f"{column} = ?" for column in filters) or "1"
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE {where} "  # noqa: S608 - names checked by the service
        "ORDER BY sequence DESC LIMIT ? OFFSET ?",
        (*filters.values(), limit, offset),
    )
    return [_run(row) for row in rows]


def claim(
    database: Database, run_id: str | None, worker: str, lease_expires: float, started_at: str
) -> Run | None:
    """Take a pending run, the oldest unless ``run_id`` names one; its token grows by one."""
    with write_transaction(database) as connection:
        row = connection.execute(
            "SELECT id FROM runs WHERE status = 'pending' AND (:id IS NULL OR id = :id) "
            "ORDER BY sequence LIMIT 1",
            {"id": run_id},
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "UPDATE runs SET status = 'running', token = token + 1, worker = ?, "
            "lease_expires = ?, started_at = ?, completed_at = NULL, exit_code = NULL, "
            "error = NULL, result = NULL WHERE id = ?",
            (worker, lease_expires, started_at, row[0]),
        )
    return find(database, row[0])[0]


def heartbeat(
    database: Database, run_id: str, token: int, lease_expires: float
) -> RunStatus | None:
    """Prolong the lease; the present status, or None when ``token`` was superseded."""
    with write_transaction(database) as connection:
        connection.execute(
            "UPDATE runs SET lease_expires = ? WHERE id = ? AND token = ?",
            (lease_expires, run_id, token),
        )
        row = connection.execute(
            "SELECT status FROM runs WHERE id = ? AND token = ?", (run_id, token)
        ).fetchone()
    return None if row is None else row[0]


def lease(database: Database, run_id: str) -> float | None:
    """Until when a run's worker has it; None when none has."""
    row = database.conn.execute("SELECT lease_expires FROM runs WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else row[0]


def finish(
    database: Database,
    run_id: str,
    token: int,
    status: RunStatus,
    changes: Mapping[str, Any],
    sources: Sequence[RunStatus] = ("running", "cancel_requested"),
) -> bool:
    """Leave one of ``sources``; False when ``token`` was superseded, or the run is in none.

    Keys of ``changes`` are column names.
    """
    assignments = ", ".join(f"{column} = ?" for column in changes)
    with write_transaction(database) as connection:
        cursor = connection.execute(
            f"UPDATE runs SET status = ?, lease_expires = NULL, {assignments} "  # noqa: S608
            f"WHERE id = ? AND token = ? AND status IN ({', '.join('?' * len(sources))})",
            (status, *changes.values(), run_id, token, *sources),
        )
    return cursor.rowcount == 1


def transition(
    database: Database,
    run_id: str,
    sources: Sequence[RunStatus],
    target: RunStatus,
    completed_at: str | None,
    error: str | None,
) -> bool:
    """Move a run that is in one of ``sources`` to ``target``; False when it is in none."""
    with write_transaction(database) as connection:
        cursor = connection.execute(
            "UPDATE runs SET status = ?, completed_at = ?, error = ? WHERE id = ? "  # noqa: S608
            f"AND status IN ({', '.join('?' * len(sources))})",
            (target, completed_at, error, run_id, *sources),
        )
    return cursor.rowcount == 1


def requeue(
    database: Database, run_id: str, sources: Sequence[RunStatus], config: RunConfig
) -> bool:
    """Make a run that is in one of ``sources`` pending, with a configuration; False otherwise."""
    with write_transaction(database) as connection:
        cursor = connection.execute(
            "UPDATE runs SET status = 'pending', completed_at = NULL, error = NULL, config = ? "  # noqa: S608
            f"WHERE id = ? AND status IN ({', '.join('?' * len(sources))})",
            (_json(config), run_id, *sources),
        )
    return cursor.rowcount == 1


def update_config(database: Database, run: Run) -> None:
    """Replace the trainer and the configuration of a run, while its claim is good."""
    with write_transaction(database) as connection:
        connection.execute(
            "UPDATE runs SET trainer = ?, config = ? WHERE id = ? AND token = ?",
            (run.trainer, _json(run.config), run.id, run.token),
        )


def any_abandoned(database: Database, now: float) -> bool:
    """Whether the lease of a run has run out; takes no lock."""
    query = f"SELECT 1 FROM runs WHERE {_ABANDONED} LIMIT 1"  # noqa: S608 - constant condition
    return database.conn.execute(query, {"now": now}).fetchone() is not None


def end_abandoned(database: Database, now: float, completed_at: str) -> None:
    """End every run whose lease has run out: as cancelled when that was asked for."""
    with write_transaction(database) as connection:
        connection.execute(
            "UPDATE runs SET "  # noqa: S608
            "status = CASE status WHEN 'cancel_requested' THEN 'cancelled' ELSE 'failed' END, "
            "lease_expires = NULL, completed_at = :completed_at, exit_code = NULL, result = NULL, "
            "error = :error || '; continue with: tunix-rt runs resume ' || id "
            f"WHERE {_ABANDONED}",
            {"now": now, "completed_at": completed_at, "error": WORKER_DIED},
        )


def _run(row: sqlite3.Row | tuple[Any, ...]) -> Run:
    fields = dict(zip(_COLUMNS.split(", "), row, strict=True))
    for key, kind in (("config", RunConfig), ("plugins", dict), ("result", RunResult)):
        if fields[key] is not None:
            fields[key] = structure(kind, json.loads(fields[key]), f"{key} of run {fields['id']}")
    return Run(**fields)


def _json(record: RunConfig | RunResult) -> str:
    return json.dumps(unstructure(record))
