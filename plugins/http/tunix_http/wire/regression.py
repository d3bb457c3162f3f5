"""What the group ``regression`` takes and gives."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from tunix_http.wire.common import DateTime, Id


class BaselineRequest(BaseModel):
    """A baseline to be set; one of the same name is replaced."""

    name: str = Field(min_length=1, max_length=256)
    run_id: UUID
    metric: str = Field("primary_score", min_length=1, max_length=256)
    lower_is_better: bool | None = None
    eval_set: str | None = Field(None, max_length=256)
    dataset_key: str | None = Field(None, max_length=256)


class BaselineResponse(BaseModel):
    """A baseline."""

    id: Id
    name: str
    run_id: Id
    metric: str
    lower_is_better: bool | None
    eval_set: str | None
    dataset_key: str | None
    created_at: DateTime


class CheckRequest(BaseModel):
    """A run to be compared with a baseline."""

    run_id: UUID
    baseline_name: str


class PairedComparison(BaseModel):
    """The same items in both runs, one by one."""

    regressed: bool
    delta: float
    low: float
    high: float
    p_value: float | None
    n_paired: int
    smallest_detectable: float | None
    reason: str


class CheckResponse(BaseModel):
    """Whether a figure became worse by more than 5 %."""

    run_id: Id
    baseline_name: str
    baseline_run_id: Id
    metric_name: str
    baseline_value: float
    current_value: float
    delta: float
    delta_percent: float
    verdict: Literal["pass", "fail"]
    details: str | None
    paired: PairedComparison | None
