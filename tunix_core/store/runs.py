"""Runs: a state machine whose every change is one guarded UPDATE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunix_core.base.clock import now
from tunix_core.codec import structure
from tunix_core.errors import ConflictError
from tunix_core.records import Run, RunConfig, RunResult, RunStatus, RunTotal
from tunix_core.store.connection import Connection
from tunix_core.store.rows import Table, as_it_is, marks

_RUNS = Table(
    "runs",
    Run,
    json={
        "config": lambda data: structure(RunConfig, data, "configuration of a run"),
        "plugins": as_it_is,
        "result": lambda data: structure(RunResult, data, "result of a run"),
    },
    is_ordered=True,
)
# How the error of a run begins whose lease has run out.
WORKER_DIED = "its worker died"
# Leases are counted by the clock of SQLite, in days, with milliseconds. None is given for so long:
# one that has more left was given before the clock was set back, or counted otherwise.
_LONGEST_LEASE_S = 60
_IN_SECONDS = "julianday('now') + {} / 86400.0"
_PROLONGED = _IN_SECONDS.format(":lease_s")
_HELD = "status IN ('running', 'cancel_requested')"
_ABANDONED = (
    f"{_HELD} AND lease_expires NOT BETWEEN julianday('now') "
    f"AND {_IN_SECONDS.format(_LONGEST_LEASE_S)}"
)


class RunStore:
    """Runs, in the order in which they were enqueued.

    A worker holds a run by its token and a lease. Whoever looks after the lease has run out marks
    the run as abandoned, which leaves the lease in its place: as long as nobody resumes the run,
    the next heartbeat takes it back. For the worker may live: its machine slept, or the clock
    was set.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert(self, run: Run) -> None:
        """Store a new run; its place in the order of insertion is the next one.

        Raises:
            ConflictError: There is a run with this id.
        """
        with self._connection.transaction():
            query = "SELECT 1 FROM runs WHERE id = ?"
            if self._connection.execute(query, (run.id,)).fetchone():
                raise ConflictError(f"run {run.id} exists already")
            _RUNS.insert(self._connection, run)

    def find(self, prefix: str) -> list[Run]:
        """Runs whose id starts with ``prefix``; at most two, to see that it is ambiguous."""
        return _RUNS.beginning(self._connection, prefix)

    def select(self, filters: Mapping[str, str], limit: int, offset: int) -> list[Run]:
        """Runs that equal every filter, newest first. Keys of ``filters`` are column names."""
        return _RUNS.newest(self._connection, filters, limit, offset)

    def claim(self, run_id: str | None, worker: str, lease_s: float) -> Run | None:
        """Take a pending run, the oldest unless ``run_id`` names one; its token grows by one.

        Args:
            run_id: The run, or None.
            worker: Who takes it.
            lease_s: Seconds after which it is abandoned, unless there is a heartbeat.
        """
        with self._connection.transaction():
            row = self._connection.execute(
                "SELECT id FROM runs WHERE status = 'pending' AND (:id IS NULL OR id = :id) "
                "ORDER BY sequence LIMIT 1",
                {"id": run_id},
            ).fetchone()
            if row is None:
                return None
            self._connection.execute(
                "UPDATE runs SET status = 'running', token = token + 1, worker = :worker, "  # noqa: S608
                f"lease_expires = {_PROLONGED}, started_at = :now, completed_at = NULL, "
                "exit_code = NULL, error = NULL, result = NULL WHERE id = :id",
                {"worker": worker, "lease_s": lease_s, "now": now(), "id": row[0]},
            )
            return self.find(row[0])[0]

    def heartbeat(self, run: Run, lease_s: float) -> RunStatus | None:
        """Prolong the lease of a claimed run, or take it back if it was marked as abandoned.

        Args:
            run: As it was claimed.
            lease_s: Seconds from now until the lease runs out.

        Returns:
            The present status, or None when the token was superseded.
        """
        claim = {"id": run.id, "token": run.token}
        with self._connection.transaction():
            # What has a lease was neither ended by its holder nor resumed by anybody.
            self._connection.execute(
                f"UPDATE runs SET lease_expires = {_PROLONGED}, completed_at = NULL, "  # noqa: S608
                "error = NULL, status = CASE status WHEN 'failed' THEN 'running' "
                "WHEN 'cancelled' THEN 'cancel_requested' ELSE status END "
                "WHERE id = :id AND token = :token AND lease_expires IS NOT NULL",
                {**claim, "lease_s": lease_s},
            )
            row = self._connection.execute(
                "SELECT status FROM runs WHERE id = :id AND token = :token", claim
            ).fetchone()
        return None if row is None else row[0]

    def lease(self, run_id: str) -> float | None:
        """What changes with every heartbeat of the worker that has a run; None when none has."""
        query = f"SELECT lease_expires FROM runs WHERE id = ? AND {_HELD}"  # noqa: S608
        row = self._connection.execute(query, (run_id,)).fetchone()
        return None if row is None else row[0]

    def finish(
        self,
        run: Run,
        status: RunStatus,
        changes: Mapping[str, Any],
        sources: Sequence[RunStatus] = ("running", "cancel_requested"),
    ) -> bool:
        """Leave one of ``sources``; False when the token was superseded, or it is in none.

        Keys of ``changes`` are column names.
        """
        assignments, values = _RUNS.assign({"status": status, **changes})
        return self._change(
            f"UPDATE runs SET lease_expires = NULL, {assignments} "  # noqa: S608 - names, marks
            f"WHERE id = ? AND token = ? AND status IN ({marks(len(sources))})",
            (*values, run.id, run.token, *sources),
        )

    def cancel(self, run_id: str) -> bool:
        """End a pending run, ask for the end of a running one; False when it has ended."""
        return self._change(
            "UPDATE runs SET "  # noqa: S608 - a constant condition
            "completed_at = CASE status WHEN 'pending' THEN :now END, "
            "error = CASE status WHEN 'pending' THEN 'cancelled while pending' END, "
            "status = CASE status WHEN 'pending' THEN 'cancelled' ELSE 'cancel_requested' END "
            f"WHERE id = :id AND (status = 'pending' OR {_HELD})",
            {"id": run_id, "now": now()},
        )

    def requeue(
        self, run_id: str, sources: Sequence[RunStatus], changes: Mapping[str, Any]
    ) -> bool:
        """Make a run that is in one of ``sources`` pending; False otherwise.

        Keys of ``changes`` are column names.
        """
        fresh = {"status": "pending", "completed_at": None, "error": None}
        assignments, values = _RUNS.assign({**fresh, **changes})
        return self._change(
            f"UPDATE runs SET lease_expires = NULL, {assignments} "  # noqa: S608 - names, marks
            f"WHERE id = ? AND status IN ({marks(len(sources))})",
            (*values, run_id, *sources),
        )

    def update_config(self, run: Run) -> None:
        """Replace the trainer and the configuration of a run, while its claim is good."""
        assignments, values = _RUNS.assign({"trainer": run.trainer, "config": run.config})
        self._change(
            f"UPDATE runs SET {assignments} WHERE id = ? AND token = ?",  # noqa: S608 - names
            (*values, run.id, run.token),
        )

    def end_abandoned(self) -> None:
        """End every run whose lease has run out: as cancelled when that was asked for."""
        # Nearly always there is none, and looking takes no lock.
        query = f"SELECT 1 FROM runs WHERE {_ABANDONED} LIMIT 1"  # noqa: S608 - a constant
        if self._connection.execute(query).fetchone() is None:
            return
        self._change(
            "UPDATE runs SET "  # noqa: S608 - a constant condition
            "status = CASE status WHEN 'cancel_requested' THEN 'cancelled' ELSE 'failed' END, "
            "completed_at = :now, exit_code = NULL, result = NULL, "
            "error = :error || '; continue with: tunix-rt runs resume ' || id "
            f"WHERE {_ABANDONED}",
            {"now": now(), "error": WORKER_DIED},
        )

    def totals(self, bounds_s: Sequence[float]) -> list[RunTotal]:
        """Totals of all runs, ordered by status and mode.

        Args:
            bounds_s: Bounds of the seconds from start to end, ascending.
        """
        within = "".join(", total(seconds <= ?)" for _ in bounds_s)
        rows = self._connection.execute(
            f"SELECT status, mode, count(*), count(seconds), total(seconds){within} "  # noqa: S608
            "FROM (SELECT status, mode, "
            "(julianday(completed_at) - julianday(started_at)) * 86400 AS seconds FROM runs) "
            "GROUP BY status, mode ORDER BY status, mode",
            tuple(bounds_s),
        )
        return [
            RunTotal(
                status=status,
                mode=mode,
                count=count,
                timed=timed,
                seconds=seconds,
                within=tuple(int(number) for number in numbers),
            )
            for status, mode, count, timed, seconds, *numbers in rows
        ]

    def _change(self, query: str, values: Sequence[Any] | Mapping[str, Any]) -> bool:
        """Whether the guard of an UPDATE let it change its row."""
        with self._connection.transaction():
            return self._connection.execute(query, values).rowcount == 1
