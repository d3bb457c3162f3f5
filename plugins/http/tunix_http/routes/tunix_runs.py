"""Runs: what they do, print, measure and leave."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from starlette.responses import Response

from tunix_core import Workspace
from tunix_core.errors import ConflictError, NotFoundError
from tunix_core.records import RunStatus
from tunix_http.operations import JSON, Call, Operations
from tunix_http.streams import sse
from tunix_http.streams.downloads import RANGE_STATUSES, Download
from tunix_http.streams.lines import lines_response
from tunix_http.wire.common import Pagination
from tunix_http.wire.run_views import metrics_line, run_item, run_response, run_state
from tunix_http.wire.tunix_runs import (
    ArtifactItem,
    ArtifactList,
    ArtifactPath,
    LogsQuery,
    Message,
    MetricsLines,
    MetricsQuery,
    RunList,
    RunPath,
    RunResponse,
    RunsQuery,
    RunState,
)

operations = Operations("tunix_runs")

UNKNOWN_RUN = {404: "There is no such run"}
# EventSource sends back the id of the last event that it got.
LAST_EVENT_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


@operations.get("/api/tunix/runs", "listRuns", query=RunsQuery, returns=RunList)
def list_runs(workspace: Workspace, call: Call) -> RunList:
    """List runs, newest first."""
    query: RunsQuery = call.query
    found = workspace.runs.list(
        status=query.status,
        dataset_key=query.dataset_key,
        mode=query.mode,
        limit=query.limit + 1,
        offset=query.offset,
    )
    return RunList(
        data=[run_item(run) for run in found[: query.limit]],
        pagination=Pagination.of(query, len(found)),
    )


@operations.get(
    "/api/tunix/runs/{run_id}",
    "getRun",
    parameters=RunPath,
    returns=RunResponse,
    errors=UNKNOWN_RUN,
)
def get_run(workspace: Workspace, call: Call) -> RunResponse:
    """Show a run with the beginning of what it printed."""
    run = workspace.runs.get(str(call.path.run_id))
    return run_response(workspace, run, call.services.settings.tunix_output_max_bytes)


@operations.get(
    "/api/tunix/runs/{run_id}/status",
    "getRunStatus",
    parameters=RunPath,
    returns=RunState,
    errors=UNKNOWN_RUN,
)
def get_run_status(workspace: Workspace, call: Call) -> RunState:
    """Say how far a run is."""
    return run_state(workspace, workspace.runs.get(str(call.path.run_id)))


@operations.get(
    "/api/tunix/runs/{run_id}/logs",
    "streamRunLogs",
    parameters=RunPath,
    query=LogsQuery,
    media_type=sse.MEDIA_TYPE,
)
async def stream_logs(call: Call) -> Response:
    """Stream what a run prints, as server-sent events.

    ``log`` is one line, numbered over both streams; ``heartbeat`` comes every second while
    nothing is printed; ``status`` is the last one, when the run has ended; an unknown run gives
    one ``error``.
    """
    run_id = str(call.path.run_id)
    last = call.request.headers.get("last-event-id", "")
    since_seq = int(last) if LAST_EVENT_ID.fullmatch(last) else max(0, call.query.since_seq)
    try:
        status, path = await call.services.quick.run(_log_of, run_id)
    except NotFoundError:
        return sse.EventStream(_unknown_run())
    return sse.EventStream(sse.log_events(call.services.watches, run_id, path, status, since_seq))


@operations.post(
    "/api/tunix/runs/{run_id}/cancel",
    "cancelRun",
    parameters=RunPath,
    returns=Message,
    errors={400: "The run has ended", **UNKNOWN_RUN},
    refusals={ConflictError: 400},
)
def cancel_run(workspace: Workspace, call: Call) -> Message:
    """End a run: at once when it is pending, with a checkpoint when it is running."""
    run = workspace.runs.cancel(str(call.path.run_id))
    done = "Run cancelled" if run.status == "cancelled" else "Cancellation requested"
    return Message(message=f"{done}: {run.id}")


@operations.get(
    "/api/tunix/runs/{run_id}/artifacts",
    "listRunArtifacts",
    parameters=RunPath,
    returns=ArtifactList,
    errors=UNKNOWN_RUN,
)
def list_artifacts(workspace: Workspace, call: Call) -> ArtifactList:
    """List the files of a run."""
    found = workspace.runs.artifacts(str(call.path.run_id))
    items = [ArtifactItem(name=a.name, size=a.size, path=a.path) for a in found]
    return ArtifactList(artifacts=items)


@operations.get(
    "/api/tunix/runs/{run_id}/artifacts/{filename:path}/download",
    "downloadRunArtifact",
    parameters=ArtifactPath,
    media_type="application/octet-stream",
    errors={
        **RANGE_STATUSES,
        403: "The path leaves the run's directory",
        404: "There is no such run or file",
    },
)
def download_artifact(workspace: Workspace, call: Call) -> Response:
    """Download a file of a run, or a range of it."""
    path = workspace.runs.artifact(str(call.path.run_id), call.path.filename)
    return Download(path, filename=path.name)


@operations.get(
    "/api/tunix/runs/{run_id}/metrics",
    "getRunMetrics",
    parameters=RunPath,
    query=MetricsQuery,
    returns=MetricsLines,
    errors=UNKNOWN_RUN,
)
async def get_metrics(call: Call) -> Response:
    """Show what a run's trainer reported, step by step."""
    since: int | None = call.query.since

    def make(workspace: Workspace) -> Iterator[str]:
        lines = workspace.runs.metrics(str(call.path.run_id))
        wanted = (line for line in lines if since is None or line["step"] > since)
        return _array(map(metrics_line, wanted))

    return await lines_response(call.services.open_workspace, make, JSON)


def _array(values: Iterable[str]) -> Iterator[str]:
    between = "["
    for value in values:
        yield between + value
        between = ","
    yield "]" if between == "," else "[]"


async def _unknown_run() -> AsyncIterator[bytes]:
    yield sse.event("error", {"error": "Run not found"})


def _log_of(workspace: Workspace, run_id: str) -> tuple[RunStatus, Path]:
    run = workspace.runs.get(run_id)
    return run.status, workspace.runs.log(run.id).path
