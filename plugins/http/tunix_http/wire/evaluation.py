"""What the group ``evaluation`` takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from tunix_http.wire.common import DateTime, Id, PageLimit, PageQuery, Pagination

Verdict = Literal["pass", "fail", "uncertain"]


class EvaluateRequest(BaseModel):
    """Who judges what.

    ``judge_override`` names a judge, ``answer_correctness`` by default; ``dataset_key`` the
    questions, by default those the run was to be tested with, else those it learned from.
    ``again`` judges anew what was judged before.
    """

    judge_override: str | None = None
    dataset_key: str | None = Field(default=None, min_length=1, max_length=256)
    again: bool = False


class Judge(BaseModel):
    """Who judged; ``version`` is that of the contract and stays, ``rules`` that of its rules."""

    name: str
    version: str = "v1"
    rules: str


class DetailedMetric(BaseModel):
    """The judgement of one item."""

    name: str
    score: float
    max_score: float = 1.0
    details: dict[str, Any] | None = None


class EvaluationResponse(BaseModel):
    """An evaluation; ``score`` is 0 to 100, ``primary_score`` the same from 0 to 1."""

    evaluation_id: Id
    run_id: Id
    dataset_key: str
    score: float
    verdict: Verdict
    metrics: dict[str, float]
    detailed_metrics: list[DetailedMetric]
    detailed_metrics_truncated: bool = Field(description="Whether there are more items than shown")
    judge: Judge
    evaluated_at: DateTime
    primary_score: float | None
    settings: str = Field(description="How the answers were made, in short, such as greedy")
    judged_on_training_data: bool | None = Field(
        description="Whether questions are in the run's training data; null when not known"
    )
    judged_before: DateTime | None = Field(
        description="When the judgements were made, where these were made for an earlier evaluation"
    )
    outdated: str | None = Field(
        description="Why it is none of the run and the dataset as they are now"
    )


class LeaderboardQuery(PageQuery):
    """Which evaluations are ranked."""

    limit: PageLimit = 50
    dataset_key: str | None = None
    model_id: str | None = Field(None, description="Part of the model's id")
    config_path: str | None = Field(None, description="Part of the run's stored configuration")
    date_from: datetime | None = None
    date_to: datetime | None = None
    evaluator: str | None = Field(None, description="Name of a judge; by default all that grade")


class LeaderboardFilters(BaseModel):
    """What the ranking was narrowed to."""

    dataset_key: str | None
    model_id: str | None
    config_path: str | None
    date_from: DateTime | None
    date_to: DateTime | None
    evaluator: str | None


class ScorecardSummary(BaseModel):
    """The items behind a score."""

    n_items: int
    n_scored: int
    n_skipped: int
    primary_score: float | None
    stddev: float | None
    low: float | None = Field(description="Lower end of the 95 % interval")
    high: float | None = Field(description="Upper end of the 95 % interval")


class LeaderboardItem(BaseModel):
    """A place on the leaderboard."""

    evaluation_id: Id
    run_id: Id
    model_id: str
    dataset_key: str
    config_path: str | None
    evaluator: str
    score: float
    verdict: Verdict
    metrics: dict[str, float]
    evaluated_at: DateTime
    primary_score: float | None
    settings: str = Field(description="How the answers were made, in short, such as greedy")
    judged_on_training_data: bool | None = Field(
        description="Whether questions are in the run's training data; null when not known"
    )
    scorecard: ScorecardSummary


class Leaderboard(BaseModel):
    """A page of the leaderboard, best first."""

    data: list[LeaderboardItem]
    pagination: Pagination
    filters: LeaderboardFilters
