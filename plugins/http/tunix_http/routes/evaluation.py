"""Evaluations: runs judged, and ranked."""

from __future__ import annotations

from datetime import datetime

from tunix_core import Workspace
from tunix_core.errors import ConflictError
from tunix_core.evaluators import USUAL_JUDGE
from tunix_http.operations import Call, Operations
from tunix_http.wire.common import Pagination
from tunix_http.wire.evaluation import (
    EvaluateRequest,
    EvaluationResponse,
    Leaderboard,
    LeaderboardFilters,
    LeaderboardQuery,
)
from tunix_http.wire.evaluation_views import evaluation_response, leaderboard_item
from tunix_http.wire.tunix_runs import RunPath

# What the stand-in judge is called for short.
SHORT_NAMES = {"mock": "mock-judge"}

operations = Operations("evaluation")


@operations.post(
    "/api/tunix/runs/{run_id}/evaluate",
    "evaluateRun",
    parameters=RunPath,
    body=EvaluateRequest | None,
    body_optional=True,
    returns=EvaluationResponse,
    status=201,
    errors={
        400: "The run cannot be judged (yet), or there is no such judge",
        404: "There is no such run or dataset",
    },
    refusals={ConflictError: 400},
    pool="long",
)
def evaluate(workspace: Workspace, call: Call) -> EvaluationResponse:
    """Let a run's model answer a dataset, and judge the answers.

    What was answered before is not answered again, nor judged again unless ``again`` says so.
    """
    body: EvaluateRequest = call.body or EvaluateRequest()
    judge = body.judge_override or USUAL_JUDGE
    evaluation = workspace.evaluations.judge(
        str(call.path.run_id),
        SHORT_NAMES.get(judge, judge),
        body.dataset_key,
        on_progress=call.services.keep_on,
        again=body.again,
    )
    return evaluation_response(workspace, evaluation)


@operations.get(
    "/api/tunix/runs/{run_id}/evaluation",
    "getRunEvaluation",
    parameters=RunPath,
    returns=EvaluationResponse,
    errors={404: "There is no such run, or it was not judged"},
)
def get_evaluation(workspace: Workspace, call: Call) -> EvaluationResponse:
    """Show the newest evaluation of a run."""
    return evaluation_response(workspace, workspace.evaluations.latest(str(call.path.run_id)))


@operations.get(
    "/api/tunix/evaluations",
    "listEvaluations",
    query=LeaderboardQuery,
    returns=Leaderboard,
    errors={400: "There is no such judge"},
)
def list_evaluations(workspace: Workspace, call: Call) -> Leaderboard:
    """Rank the newest evaluations of all runs, best first.

    A run has a place for each judge and dataset. Judges whose numbers are no grades are left out
    unless they are asked for, and so is what no longer holds: the run was trained on since, or the
    dataset built anew. Scores under other ``settings`` are not comparable.
    """
    query: LeaderboardQuery = call.query
    found = workspace.evaluations.leaderboard(
        query.evaluator,
        query.dataset_key,
        model_id=query.model_id,
        config_path=query.config_path,
        date_from=query.date_from,
        date_to=query.date_to,
        limit=query.limit + 1,
        offset=query.offset,
    )
    return Leaderboard(
        data=[leaderboard_item(workspace, evaluation) for evaluation in found[: query.limit]],
        pagination=Pagination.of(query, len(found)),
        filters=LeaderboardFilters(
            dataset_key=query.dataset_key,
            model_id=query.model_id,
            config_path=query.config_path,
            date_from=_text(query.date_from),
            date_to=_text(query.date_to),
            evaluator=query.evaluator,
        ),
    )


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
