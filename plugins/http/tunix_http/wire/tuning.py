"""What the group ``tuning`` takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from tunix_http.wire.common import DateTime, Id, Integer


class Choice(BaseModel):
    """One of some values."""

    type: Literal["choice"]
    values: list[Any] = Field(min_length=1)


class Uniform(BaseModel):
    """A number from ``min`` to ``max``."""

    type: Literal["uniform"]
    min: float
    max: float


class LogUniform(BaseModel):
    """A number from ``min`` to ``max``, evenly on a logarithmic scale."""

    type: Literal["loguniform"]
    min: float
    max: float


class RandInt(BaseModel):
    """An integer from ``min`` to below ``max``."""

    type: Literal["randint"]
    min: Integer
    max: Integer


Range = Annotated[Choice | Uniform | LogUniform | RandInt, Field(discriminator="type")]


class JobPath(BaseModel):
    """A tuning job."""

    job_id: UUID


class JobsQuery(BaseModel):
    """Which part of the list is wanted."""

    limit: Integer = Field(20, description="All from the offset on when it is negative")
    offset: Integer = Field(0, description="A negative one is 0")


class JobRequest(BaseModel):
    """Settings to be searched for."""

    name: str = Field(min_length=1, max_length=256)
    dataset_key: str = Field(max_length=256)
    base_model_id: str = Field(max_length=256)
    metric_name: str = Field("score", max_length=256)
    metric_mode: Literal["max", "min"] = "max"
    num_samples: int = Field(1, ge=1, le=100)
    max_concurrent_trials: int = Field(1, ge=1, le=10)
    search_space: dict[Annotated[str, Field(min_length=1)], Range] = Field(min_length=1)
    tuner: str | None = Field(None, min_length=1, max_length=256)
    trainer: str | None = Field(None, min_length=1, max_length=256)
    settings: dict[str, Any] = Field(default_factory=dict)
    eval_dataset_key: str | None = Field(None, min_length=1, max_length=256)
    seed: Integer = 0


class TrialRead(BaseModel):
    """A trial of a job."""

    id: Id
    tuning_job_id: Id
    run_id: Id | None
    params_json: dict[str, Any]
    metric_value: float | None
    status: Literal["running", "completed", "failed"]
    error: str | None
    created_at: DateTime
    completed_at: DateTime | None


class JobRead(BaseModel):
    """A tuning job; its trials are shown for a single one."""

    id: Id
    name: str
    status: Literal["created", "running", "completed", "failed", "cancelled"]
    dataset_key: str
    base_model_id: str
    mode: str
    metric_name: str
    metric_mode: Literal["max", "min"]
    num_samples: int
    max_concurrent_trials: int
    search_space_json: dict[str, Any]
    best_run_id: Id | None
    best_params_json: dict[str, Any] | None
    created_at: DateTime
    started_at: DateTime | None
    completed_at: DateTime | None
    error: str | None
    trials: list[TrialRead] | None


class JobStarted(BaseModel):
    """A job that is being worked on."""

    job_id: Id
    status: Literal["running"] = "running"
    message: str
