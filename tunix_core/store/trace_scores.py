"""Scores of traces: every scoring is a row of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from tunix_core.store.connection import write_transaction


def insert(
    database: Database,
    sequence: int,
    scored_at: str,
    criteria: str,
    score: float,
    details: Mapping[str, Any],
) -> None:
    """Record one scoring of the trace at ``sequence``."""
    with write_transaction(database) as connection:
        connection.execute(
            "INSERT INTO trace_scores (trace, scored_at, criteria, score, details) "
            "VALUES (?, ?, ?, ?, ?)",
            (sequence, scored_at, criteria, score, json.dumps(details)),
        )


def of_trace(database: Database, sequence: int) -> list[tuple[str, float, dict[str, Any]]]:
    """(scored_at, score, details) of every scoring of a trace, the newest first."""
    rows = database.conn.execute(
        "SELECT scored_at, score, details FROM trace_scores WHERE trace = ? ORDER BY id DESC",
        (sequence,),
    )
    return [(scored_at, score, json.loads(details)) for scored_at, score, details in rows]
