"""What the group ``tunix_runs`` takes and gives."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field, RootModel

from tunix_core.records import RunStatus
from tunix_http.wire.common import DateTime, Id, PageQuery, Pagination


class RunPath(BaseModel):
    """A run."""

    run_id: UUID


class ArtifactPath(RunPath):
    """A file of a run, below its directory."""

    filename: str


class RunsQuery(PageQuery):
    """Which runs are wanted; what is given must be equal."""

    status: str | None = None
    dataset_key: str | None = None
    mode: str | None = None


class LogsQuery(BaseModel):
    """Where to begin: after this chunk. The header ``Last-Event-ID`` goes before it."""

    since_seq: int = 0


class MetricsQuery(BaseModel):
    """Which steps are wanted: those after this one."""

    since: int | None = None


class RunResponse(BaseModel):
    """A run with the beginning of what it printed."""

    run_id: Id
    status: RunStatus
    mode: str
    dataset_key: str
    model_id: str
    output_dir: str
    exit_code: int | None
    stdout: str
    stderr: str
    duration_seconds: float | None
    started_at: DateTime
    completed_at: DateTime | None
    message: str


class RunItem(BaseModel):
    """A run in a list."""

    run_id: Id
    dataset_key: str
    model_id: str
    mode: str
    status: RunStatus
    started_at: DateTime
    duration_seconds: float | None
    metrics: dict[str, float | None] | None


class RunList(BaseModel):
    """A page of runs, newest first."""

    data: list[RunItem]
    pagination: Pagination


class RunState(BaseModel):
    """How far a run is."""

    run_id: Id
    status: RunStatus
    queued_at: DateTime
    started_at: DateTime
    completed_at: DateTime | None
    exit_code: int | None
    step: int | None = Field(description="Steps taken; null before training begins")
    total_steps: int | None = Field(description="Steps to take in all")
    loss: float | None = Field(description="Of the newest step")


class Message(BaseModel):
    """What was done."""

    message: str


class ArtifactItem(BaseModel):
    """A file of a run."""

    name: str
    size: int
    path: str


class ArtifactList(BaseModel):
    """All files of a run."""

    artifacts: list[ArtifactItem]


class MetricsLine(BaseModel):
    """What a trainer reported of one step, under the names it chose."""

    model_config = {"extra": "allow"}

    step: int
    timestamp: DateTime | None = None


MetricsLines = RootModel[list[MetricsLine]]
