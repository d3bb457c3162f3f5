"""Evaluations and baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen
from sqlite_utils import Database

from tunix_core.codec import structure, unstructure
from tunix_core.records import Baseline, Evaluation, Scorecard
from tunix_core.store.connection import write_transaction

_COLUMNS = (
    "id, run_id, dataset_key, evaluator, evaluator_version, score, scorecard, items_path, "
    "predictions_sha256, created_at, verdict, grade"
)
_BASELINE_COLUMNS = (
    "id, name, run_id, metric, dataset_key, comparator, evaluation_id, created_at, metric_name, "
    "lower_is_better, eval_set, wanted_dataset_key"
)
_KEPT = ("id", "name", "created_at")


@frozen(kw_only=True)
class LeaderboardFilters:
    """What is ranked; None asks nothing.

    Args:
        evaluator: Full name of the evaluator; None takes every one whose numbers are grades.
        dataset_key: Exactly this dataset.
        model_id: Part of the model's id.
        config_text: Part of the run's stored configuration, as JSON text.
        date_from: Judged at this time or later, as stored.
        date_to: Judged at this time or earlier, as stored.
    """

    evaluator: str | None = None
    dataset_key: str | None = None
    model_id: str | None = None
    config_text: str | None = None
    date_from: str | None = None
    date_to: str | None = None

    def sql(self) -> tuple[str, dict[str, str]]:
        """The condition over evaluations ``e`` of runs ``r``, and its parameters."""
        conditions = {
            "evaluator": "e.evaluator = :evaluator",
            "dataset_key": "e.dataset_key = :dataset_key",
            # Not LIKE: what is asked for is text, in which % and _ stand for themselves.
            "model_id": "instr(lower(r.model_id), lower(:model_id))",
            # The stored JSON may spell a character as an escape that was asked for as itself.
            "config_text": "(instr(lower(r.config), lower(:config_text)) "
            "OR instr(lower(r.config), lower(:config_text_escaped)))",
            "date_from": "e.created_at >= :date_from",
            "date_to": "e.created_at <= :date_to",
        }
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        where = [conditions[name] for name in asked]
        if self.evaluator is None:
            where.append("e.grade")
        if self.config_text is not None:
            asked["config_text_escaped"] = json.dumps(self.config_text)[1:-1]
        return " AND ".join(where) or "1", asked


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


def count(database: Database) -> int:
    """Number of stored evaluations."""
    return int(database.conn.execute("SELECT count(*) FROM evaluations").fetchone()[0])


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
    database: Database, filters: LeaderboardFilters, limit: int, offset: int
) -> list[Evaluation]:
    """Of every run, dataset and evaluator the newest evaluation that is asked for, best first.

    Of equal scores the newest comes first.
    """
    where, parameters = filters.sql()
    rows = database.conn.execute(
        f"SELECT {_COLUMNS} FROM evaluations WHERE sequence IN (SELECT max(e.sequence) "  # noqa: S608
        f"FROM evaluations e JOIN runs r ON r.id = e.run_id WHERE {where} "
        "GROUP BY e.run_id, e.dataset_key, e.evaluator) "
        "ORDER BY score IS NULL, score DESC, created_at DESC, id LIMIT :limit OFFSET :offset",
        {**parameters, "limit": limit, "offset": offset},
    )
    return [_evaluation(row) for row in rows]


def put_baseline(database: Database, baseline: Baseline) -> Baseline:
    """Store a baseline; one of the same name keeps its id and its time."""
    fields = unstructure(baseline)
    changes = ", ".join(
        f"{column} = excluded.{column}"
        for column in _BASELINE_COLUMNS.split(", ")
        if column not in _KEPT
    )
    with write_transaction(database) as connection:
        connection.execute(
            f"INSERT INTO baselines ({_BASELINE_COLUMNS}) VALUES "  # noqa: S608
            f"({_marks(_BASELINE_COLUMNS)}) ON CONFLICT (name) DO UPDATE SET {changes}",
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
    return None if row is None else _baseline(row)


def baselines(database: Database) -> list[Baseline]:
    """Every baseline, by name."""
    rows = database.conn.execute(
        f"SELECT {_BASELINE_COLUMNS} FROM baselines ORDER BY name"  # noqa: S608
    )
    return [_baseline(row) for row in rows]


def _evaluation(row: tuple[Any, ...]) -> Evaluation:
    fields = dict(zip(_COLUMNS.split(", "), row, strict=True))
    fields["scorecard"] = structure(Scorecard, json.loads(fields["scorecard"]), "scorecard")
    fields["grade"] = bool(fields["grade"])
    return Evaluation(**fields)


def _baseline(row: tuple[Any, ...]) -> Baseline:
    fields = dict(zip(_BASELINE_COLUMNS.split(", "), row, strict=True))
    if fields["lower_is_better"] is not None:
        fields["lower_is_better"] = bool(fields["lower_is_better"])
    return Baseline(**fields)


def _marks(columns: str) -> str:
    return ", ".join("?" * len(columns.split(", ")))
