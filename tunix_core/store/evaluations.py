"""Evaluations and baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from attrs import asdict, frozen

from tunix_core.codec import structure
from tunix_core.records import Baseline, Evaluation, EvaluationBasis, Scorecard
from tunix_core.store.connection import Connection
from tunix_core.store.rows import Table, marks, parts

_EVALUATIONS = Table(
    "evaluations",
    Evaluation,
    json={
        "scorecard": partial(structure, Scorecard, what="scorecard"),
        "basis": partial(structure, EvaluationBasis, what="basis of an evaluation"),
    },
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


@frozen
class RankedScore:
    """A score with what decides whether, and among which others, it is ranked.

    Args:
        id: Id of the evaluation.
        dataset_key: The dataset that was answered.
        evaluator: Full name of the evaluator.
        evaluator_version: Version of its rules.
        score: The score.
        basis: What it depends on; None when it was stored without.
        has_model: Whether its run has made a model by now.
        weights_sha256: Digest of that model; None when it is not known.
    """

    id: str
    dataset_key: str
    evaluator: str
    evaluator_version: str
    score: float | None
    basis: EvaluationBasis | None
    has_model: bool
    weights_sha256: str | None


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

    def first_of(self, items_path: str) -> Evaluation | None:
        """The evaluation for which a file of judgements was written."""
        rest = "WHERE items_path = ? ORDER BY sequence"
        return _EVALUATIONS.first(self._connection, rest, (items_path,))

    def of_ids(self, ids: Sequence[str]) -> list[Evaluation]:
        """Evaluations by their ids, in the order of these."""
        found = {
            evaluation.id: evaluation
            for part in parts(ids)
            for evaluation in _EVALUATIONS.all(
                self._connection, f"WHERE id IN ({marks(len(part))})", part
            )
        }
        return [found[evaluation_id] for evaluation_id in ids]

    def ranked(self, filters: LeaderboardFilters) -> list[RankedScore]:
        """Of every run, dataset and evaluator the newest score asked for, best first.

        Of equal scores the newest comes first.
        """
        where, parameters = filters.sql()
        rows = self._connection.execute(
            "SELECT e.id, e.dataset_key, e.evaluator, e.evaluator_version, e.score, e.basis, "  # noqa: S608 - constant conditions
            "r.result IS NOT NULL, json_extract(r.result, '$.weights_sha256') "
            "FROM evaluations e JOIN runs r ON r.id = e.run_id "
            "WHERE e.sequence IN (SELECT max(e.sequence) "
            f"FROM evaluations e JOIN runs r ON r.id = e.run_id WHERE {where} "
            "GROUP BY e.run_id, e.dataset_key, e.evaluator) "
            "ORDER BY e.score IS NULL, e.score DESC, e.created_at DESC, e.id",
            parameters,
        )
        # Many evaluations share what they depend on.
        read = lru_cache(maxsize=None)(_read_basis)
        return [
            RankedScore(
                id=row[0],
                dataset_key=row[1],
                evaluator=row[2],
                evaluator_version=row[3],
                score=row[4],
                basis=read(row[5]),
                has_model=bool(row[6]),
                weights_sha256=row[7],
            )
            for row in rows
        ]

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


def _read_basis(text: str | None) -> EvaluationBasis | None:
    return None if text is None else structure(EvaluationBasis, json.loads(text), "basis")
