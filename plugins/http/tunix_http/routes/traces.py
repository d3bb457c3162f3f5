"""Traces: stored one by one or in batches, listed, read, compared, scored."""

from __future__ import annotations

import json

from starlette.responses import Response

from tunix_core import Workspace
from tunix_core.codec import trace_to_json
from tunix_core.records import StoredTrace
from tunix_core.traces.scoring import ScoredTrace
from tunix_http.operations import JSON, Call, Operations
from tunix_http.wire.common import PageQuery
from tunix_http.wire.traces import (
    CompareQuery,
    ScoreDetails,
    ScoreRequest,
    TraceBatchBody,
    TraceBatchCreated,
    TraceBody,
    TraceComparison,
    TraceDetail,
    TraceEntry,
    TracePage,
    TraceParameters,
    TraceScored,
)

UNKNOWN = {404: "There is no such trace"}

operations = Operations("traces")


@operations.post(
    "/api/traces",
    "createTrace",
    body=TraceBody,
    returns=TraceEntry,
    status=201,
    limit=lambda settings: settings.trace_max_bytes,
)
def create_trace(workspace: Workspace, call: Call) -> TraceEntry:
    """Store a trace."""
    with call.services.metrics.observe_write("create_trace"):
        return _entry(workspace.traces.create(call.body))


@operations.get("/api/traces", "listTraces", query=PageQuery, returns=TracePage, pool="reads")
def list_traces(workspace: Workspace, call: Call) -> Response:
    """List traces, newest first."""
    page = workspace.traces.page_json(call.query.limit, call.query.offset)
    following = "null" if page.next_offset is None else page.next_offset
    return _json(
        f'{{"data":[{page.entries}],"pagination":{{"limit":{page.limit},"offset":{page.offset},'
        f'"next_offset":{following}}}}}'
    )


@operations.post(
    "/api/traces/batch",
    "createTracesBatch",
    body=TraceBatchBody,
    returns=TraceBatchCreated,
    status=201,
    errors={400: "The batch is empty or too long"},
    limit=lambda settings: settings.max_body_bytes,
)
def create_traces_batch(workspace: Workspace, call: Call) -> TraceBatchCreated:
    """Store 1 to 1,000 traces, all of them or none."""
    with call.services.metrics.observe_write("create_traces_batch"):
        stored = workspace.traces.create_many(call.body)
    return TraceBatchCreated(created_count=len(stored), traces=[_entry(trace) for trace in stored])


@operations.get(
    "/api/traces/compare",
    "compareTraces",
    query=CompareQuery,
    returns=TraceComparison,
    errors=UNKNOWN,
)
def compare_traces(workspace: Workspace, call: Call) -> Response:
    """Read two traces with their baseline scores."""
    found = workspace.traces.compare(str(call.query.base), str(call.query.other))
    return _json(f'{{"base":{_scored(found.base)},"other":{_scored(found.other)}}}')


@operations.get(
    "/api/traces/{trace_id}",
    "getTrace",
    parameters=TraceParameters,
    returns=TraceDetail,
    errors=UNKNOWN,
    pool="reads",
)
def get_trace(workspace: Workspace, call: Call) -> Response:
    """Read a trace."""
    trace = workspace.traces.get_json(str(call.path.trace_id))
    return _json(_detail(trace.id, trace.created_at, trace.trace_version, trace.body))


@operations.post(
    "/api/traces/{trace_id}/score",
    "scoreTrace",
    parameters=TraceParameters,
    body=ScoreRequest,
    returns=TraceScored,
    status=201,
    errors=UNKNOWN,
)
def score_trace(workspace: Workspace, call: Call) -> TraceScored:
    """Score a trace by the number and the length of its steps, and keep the score."""
    scored = workspace.traces.record_score(str(call.path.trace_id))
    return TraceScored(
        trace_id=scored.trace_id,
        score=scored.score,
        details=ScoreDetails(
            step_count=scored.step_count,
            avg_step_length=scored.avg_step_length,
            total_chars=scored.total_chars,
            step_score=scored.step_score,
            length_score=scored.length_score,
            criteria="baseline",
            scored_at=str(scored.scored_at),
        ),
    )


def _entry(stored: StoredTrace) -> TraceEntry:
    return TraceEntry(
        id=stored.id, created_at=stored.created_at, trace_version=stored.trace.trace_version
    )


# Traces are stored as JSON, so their answers are put together without reading it.
def _json(text: str) -> Response:
    return Response(text.encode(), media_type=JSON)


def _detail(trace_id: str, created_at: str, version: str, body: str, more: str = "") -> str:
    return (
        f'{{"id":"{trace_id}","created_at":"{created_at}","trace_version":{json.dumps(version)},'
        f'"payload":{body}{more}}}'
    )


def _scored(scored: ScoredTrace) -> str:
    held = scored.trace
    body, more = trace_to_json(held.trace), f',"score":{scored.score.score}'
    return _detail(held.id, held.created_at, held.trace.trace_version, body, more)
