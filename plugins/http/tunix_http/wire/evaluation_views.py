"""Evaluations of the core as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from tunix_core import Workspace
from tunix_core.contributions import bare_name
from tunix_core.evaluation.basis import settings_text
from tunix_core.evaluation.metric_checks import item_names
from tunix_core.records import Evaluation, Score
from tunix_http.wire.evaluation import (
    DetailedMetric,
    EvaluationResponse,
    Judge,
    LeaderboardItem,
    ScorecardSummary,
)

# Of a dataset with more items the rest is on the page of the evaluation.
MAX_ITEMS = 10_000


def evaluation_response(workspace: Workspace, evaluation: Evaluation) -> EvaluationResponse:
    """An evaluation with the judgement of every item."""
    scores = workspace.evaluations.scores(evaluation)
    earlier = workspace.evaluations.judged_before(evaluation)
    rows = zip(item_names([score.item_id for score in scores]), scores, strict=True)
    return EvaluationResponse(
        evaluation_id=evaluation.id,
        run_id=evaluation.run_id,
        dataset_key=evaluation.dataset_key,
        score=_percent(evaluation),
        verdict=workspace.evaluations.verdict(evaluation),
        metrics=workspace.evaluations.metrics(evaluation),
        detailed_metrics=[_row(*row) for row in islice(rows, MAX_ITEMS)],
        detailed_metrics_truncated=len(scores) > MAX_ITEMS,
        judge=Judge(name=_name(evaluation), rules=evaluation.evaluator_version),
        evaluated_at=evaluation.created_at,
        primary_score=evaluation.score,
        settings=settings_text(evaluation.basis),
        judged_on_training_data=_on_training_data(evaluation),
        judged_before=None if earlier is None else earlier.created_at,
        outdated=workspace.evaluations.outdated(evaluation),
    )


def leaderboard_item(workspace: Workspace, evaluation: Evaluation) -> LeaderboardItem:
    """A place on the leaderboard."""
    run = workspace.runs.get(evaluation.run_id)
    overall = evaluation.scorecard.overall
    return LeaderboardItem(
        evaluation_id=evaluation.id,
        run_id=evaluation.run_id,
        model_id=run.model_id,
        dataset_key=evaluation.dataset_key,
        config_path=None,
        evaluator=_name(evaluation),
        score=_percent(evaluation),
        verdict=workspace.evaluations.verdict(evaluation),
        metrics=workspace.evaluations.metrics(evaluation),
        evaluated_at=evaluation.created_at,
        primary_score=evaluation.score,
        settings=settings_text(evaluation.basis),
        judged_on_training_data=_on_training_data(evaluation),
        scorecard=ScorecardSummary(
            n_items=evaluation.scorecard.n_items,
            n_scored=overall.n,
            n_skipped=evaluation.scorecard.n_items - overall.n,
            primary_score=evaluation.score,
            stddev=overall.stddev,
            low=overall.low,
            high=overall.high,
        ),
    )


def _on_training_data(evaluation: Evaluation) -> bool | None:
    shared = evaluation.training_overlap
    return None if shared is None else shared > 0


def _row(name: str, score: Score) -> DetailedMetric:
    return DetailedMetric(
        name=name,
        score=score.value or 0.0,
        details={**_contract_details(score), **score.details},
    )


def _contract_details(score: Score) -> Mapping[str, Any]:
    """What clients look for, where the evaluator compares an answer with a reference."""
    details: dict[str, Any] = {"trace_id": score.item_id, "scored": score.value is not None}
    if "reference" in score.details:
        details["ground_truth"] = score.details["reference"]
        details["prediction"] = score.details.get("answer")
        details["correct"] = score.value == 1.0
    return details


def _percent(evaluation: Evaluation) -> float:
    """The score from 0 to 100, without what the multiplication would add to its decimals."""
    return round(100 * (evaluation.score or 0.0), 10)


def _name(evaluation: Evaluation) -> str:
    return bare_name(evaluation.evaluator)
