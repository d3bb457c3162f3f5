"""Evaluations and baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from attrs import asdict, frozen

from tunix_core.codec import structure
from tunix_core.records import Baseline, Evaluation, Scorecard
from tunix_core.store.connection import Connection
from tunix_core.store.rows import Table

_EVALUATIONS = Table(
    "evaluations",
    Evaluation,
    json={"scorecard": partial(structure, Scorecard, what="scorecard")},
    is_ordered=True,
)
_BASELINES = Table("baselines", Baseline)
_KEPT = ("id", "name", "created_at")
_REPLACE = "WHERE true ON CONFLICT (name) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in _BASELINES.columns if column not in _KEPT
)


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


class EvaluationStore:
    """Evaluations, in the order in which they were made, and baselines by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert(self, evaluation: Evaluation) -> None:
        """Store an evaluation as the newest."""
        with self._connection.transaction():
            _EVALUATIONS.insert(self._connection, evaluation)

    def count(self) -> int:
        """Number of stored evaluations."""
        return _EVALUATIONS.count(self._connection)

    def select(
        self, filters: Mapping[str, str], limit: int = -1, offset: int = 0
    ) -> list[Evaluation]:
        """Evaluations that equal every filter, newest first. Keys are column names."""
        return _EVALUATIONS.newest(self._connection, filters, limit, offset)

    def leaderboard(self, filters: LeaderboardFilters, limit: int, offset: int) -> list[Evaluation]:
        """Of every run, dataset and evaluator the newest evaluation asked for, best first.

        Of equal scores the newest comes first.
        """
        where, parameters = filters.sql()
        return _EVALUATIONS.all(
            self._connection,
            "WHERE sequence IN (SELECT max(e.sequence) "  # noqa: S608 - constant conditions
            f"FROM evaluations e JOIN runs r ON r.id = e.run_id WHERE {where} "
            "GROUP BY e.run_id, e.dataset_key, e.evaluator) "
            "ORDER BY score IS NULL, score DESC, created_at DESC, id LIMIT :limit OFFSET :offset",
            {**parameters, "limit": limit, "offset": offset},
        )

    def put_baseline(self, baseline: Baseline) -> Baseline:
        """Store a baseline; one of the same name keeps its id and its time."""
        with self._connection.transaction():
            _BASELINES.insert(self._connection, baseline, rest=_REPLACE)
        stored = self.find_baseline(baseline.name)
        assert stored is not None  # noqa: S101 - stored just now
        return stored

    def find_baseline(self, name: str) -> Baseline | None:
        """A baseline by its name."""
        return _BASELINES.first(self._connection, "WHERE name = ?", (name,))

    def baselines(self) -> list[Baseline]:
        """Every baseline, by name."""
        return _BASELINES.all(self._connection, "ORDER BY name")
