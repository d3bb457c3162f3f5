"""Traces on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from starlette.exceptions import HTTPException

from tunix_core.codec import trace_if_strict
from tunix_core.records import (
    MAX_ANSWER_CHARS,
    MAX_PROMPT_CHARS,
    MAX_STEP_CHARS,
    MAX_STEP_TYPE_CHARS,
    MAX_STEPS,
    MAX_VERSION_CHARS,
    Step,
    Trace,
)
from tunix_http.wire.common import DateTime, Id, Pagination

MAX_BATCH = 1000


class TraceStep(BaseModel):
    """One step of shown work."""

    i: int = Field(ge=0)
    type: str = Field(min_length=1, max_length=MAX_STEP_TYPE_CHARS)
    content: str = Field(min_length=1, max_length=MAX_STEP_CHARS)


class ReasoningTrace(BaseModel):
    """A question, the work shown, and the answer; the indices of its steps are unique."""

    trace_version: str = Field(min_length=1, max_length=MAX_VERSION_CHARS)
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT_CHARS)
    final_answer: str = Field(min_length=1, max_length=MAX_ANSWER_CHARS)
    # A batch could hold millions of bad steps, and an error for each would fill the memory.
    steps: list[TraceStep] = Field(min_length=1, max_length=MAX_STEPS, fail_fast=True)
    meta: dict[str, Any] | None = None

    @field_validator("steps")
    @classmethod
    def _unique(cls, steps: list[TraceStep]) -> list[TraceStep]:
        if len({step.i for step in steps}) != len(steps):
            raise ValueError("step indices must be unique")
        return steps


def _record(value: Any, validate: ValidatorFunctionWrapHandler) -> Trace:
    """The core's record: at once from data that needs no conversion, else by way of pydantic."""
    trace = trace_if_strict(value)
    # The core knows a version for traces that do not say theirs; the contract does not.
    if trace is not None and "trace_version" in value:
        return trace
    given: ReasoningTrace = validate(value)
    return Trace(
        prompt=given.prompt,
        final_answer=given.final_answer,
        steps=tuple(Step(step.i, step.type, step.content) for step in given.steps),
        meta=given.meta,
        trace_version=given.trace_version,
    )


def _not_too_many(value: Any) -> Any:
    # pydantic lets these through, so that the answer's detail is a text.
    if isinstance(value, list) and not value:
        raise HTTPException(400, "a batch holds at least one trace")
    if isinstance(value, list) and len(value) > MAX_BATCH:
        raise HTTPException(400, f"{len(value)} traces: a batch exceeds maximum size {MAX_BATCH}")
    return value


TraceBody = Annotated[ReasoningTrace, WrapValidator(_record)]
TraceBatchBody = Annotated[
    list[TraceBody],
    BeforeValidator(_not_too_many),
    Field(json_schema_extra={"minItems": 1, "maxItems": MAX_BATCH}),
]


class TraceParameters(BaseModel):
    """A trace in a path."""

    trace_id: UUID


class CompareQuery(BaseModel):
    """Two traces."""

    base: UUID
    other: UUID


class TraceEntry(BaseModel):
    """What a list says of a trace."""

    id: Id
    created_at: DateTime
    trace_version: str


class TraceBatchCreated(BaseModel):
    """The stored traces, in the order of the request."""

    created_count: int
    traces: list[TraceEntry]


class TracePage(BaseModel):
    """Traces, newest first."""

    data: list[TraceEntry]
    pagination: Pagination


class TraceDetail(TraceEntry):
    """A trace with its content."""

    payload: ReasoningTrace


class ScoredTraceDetail(TraceDetail):
    """A trace with its content and its baseline score."""

    score: float


class TraceComparison(BaseModel):
    """Two traces side by side."""

    base: ScoredTraceDetail
    other: ScoredTraceDetail


class ScoreRequest(BaseModel):
    """How to score."""

    criteria: Literal["baseline"] = "baseline"


class ScoreDetails(BaseModel):
    """The parts of a baseline score."""

    step_count: int
    avg_step_length: float
    total_chars: int
    step_score: float
    length_score: float
    criteria: Literal["baseline"]
    scored_at: DateTime


class TraceScored(BaseModel):
    """A score from 0 to 100."""

    trace_id: Id
    score: float
    details: ScoreDetails
