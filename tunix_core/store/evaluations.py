"""Evaluations and baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from tunix_core.codec import structure, unstructure
from tunix_core.records import Baseline, Evaluation, Scorecard
from tunix_core.store.connection import write_transaction

_COLUMNS = (
    "id, run_id, dataset_key, evaluator, evaluator_version, score, scorecard, items_path, "
    "predictions_sha256, created_at"
)
_BASELINE_COLUMNS = "id, name, run_id, metric, dataset_key, comparator, evaluation_id, created_at"


def insert(database: Database, evaluation: Evaluation) -> None:
    """Store an evaluation as the newest."""
    fields = unstructure(evaluation)
    fields["scorecard"] = json.dumps(fields["scorecard"])
    with write_transaction(database) as connection:
        connection.execute(
            f"INSERT INTO evaluations (sequence, {_COLUMNS}) VALUES "  # noqa: S608
            f"((SELECT coalesce(max(sequence), 0) + 1 FROM evaluations), {_marks(_COLUMNS)})",
            [fields[column] for column in _COLUMNS.split(", ")],
        )


def select(
    database: Database, filters: Mapping[str, str], limit: int = -1, offset: int = 0
) -> list[Evaluation]:
    """Evaluations that equal every filter, newest first. Keys are column names."""
    where = " AND ".join(f"{column} = ?" for column in filters) or "1"
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM evaluations WHERE {where} "  # noqa: S608
        "ORDER BY sequence DESC LIMIT ? OFFSET ?",
        (*filters.values(), limit, offset),
    )
    return [_evaluation(row) for row in rows]


def leaderboard(
    database: Database, filters: Mapping[str, str], limit: int, offset: int
) -> list[Evaluation]:
    """The newest evaluation of every run, dataset and evaluator, best first.

    Equal scores are in the order in which they were reached.
    """
    where = " AND ".join(f"{column} = ?" for column in filters) or "1"
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM evaluations WHERE sequence IN "  # noqa: S608
        "(SELECT max(sequence) FROM evaluations GROUP BY run_id, dataset_key, evaluator) "
        f"AND {where} ORDER BY score IS NULL, score DESC, sequence LIMIT ? OFFSET ?",
        (*filters.values(), limit, offset),
    )
    return [_evaluation(row) for row in rows]


def put_baseline(database: Database, baseline: Baseline) -> Baseline:
    """Store a baseline; one of the same name keeps its id and its time."""
    fields = unstructure(baseline)
    with write_transaction(database) as connection:
        connection.execute(
            f"INSERT INTO baselines ({_BASELINE_COLUMNS}) VALUES "  # noqa: S608
            f"({_marks(_BASELINE_COLUMNS)}) ON CONFLICT (name) DO UPDATE SET "
            "run_id = excluded.run_id, metric = excluded.metric, "
            "dataset_key = excluded.dataset_key, comparator = excluded.comparator, "
            "evaluation_id = excluded.evaluation_id",
            [fields[column] for column in _BASELINE_COLUMNS.split(", ")],
        )
    stored = find_baseline(database, baseline.name)
    assert stored is not None  # noqa: S101 - stored just now
    return stored


def find_baseline(database: Database, name: str) -> Baseline | None:
    """A baseline by its name."""
    row = database.conn.execute(
        f"SELECT {_BASELINE_COLUMNS} FROM baselines WHERE name = ?",  # noqa: S608
        (name,),
    ).fetchone()
    return None if row is None else Baseline(*row)


def baselines(database: Database) -> list[Baseline]:
    """Every baseline, by name."""
    rows = database.conn.execute(
        f"SELECT {_BASELINE_COLUMNS} FROM baselines ORDER BY name"  # noqa: S608
    )
    return [Baseline(*row) for row in rows]


def _evaluation(row: tuple[Any, ...]) -> Evaluation:
    fields = dict(zip(_COLUMNS.split(", "), row, strict=True))
    fields["scorecard"] = structure(Scorecard, json.loads(fields["scorecard"]), "scorecard")
    return Evaluation(**fields)


def _marks(columns: str) -> str:
    return ", ".join("?" * len(columns.split(", ")))
