"""Runs counted by status and mode."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from tunix_core.records import RunTotal


def totals(database: Database, bounds_s: Sequence[float]) -> list[RunTotal]:
    """Totals of all runs, ordered by status and mode.

    Args:
        bounds_s: Bounds of the seconds from start to end, ascending.
    """
    within = "".join(", total(seconds <= ?)" for _ in bounds_s)
    rows = database.conn.execute(
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
