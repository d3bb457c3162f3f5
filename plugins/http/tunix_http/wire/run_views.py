"""Runs of the core as the API shows them."""

from __future__ import annotations

import json
from typing import Any

from tunix_core import Workspace
from tunix_core.records import Run
from tunix_http.wire.common import finite
from tunix_http.wire.tunix_runs import RunItem, RunResponse, RunState


def run_response(workspace: Workspace, run: Run, output_bytes: int) -> RunResponse:
    """A run with the beginning of what it printed.

    Args:
        workspace: Where it is.
        run: The run.
        output_bytes: At most so much of each stream.
    """
    output = workspace.runs.output(run.id, output_bytes)
    stderr = output.stderr
    if run.error is not None and run.error not in stderr:
        # What happened to a run from outside, or before it began, no process of it printed.
        stderr += run.error + "\n"
    return RunResponse(
        run_id=run.id,
        status=run.status,
        mode=run.mode,
        dataset_key=run.dataset_key,
        model_id=run.model_id,
        output_dir=run.output_dir,
        exit_code=run.exit_code,
        stdout=without_root(workspace, output.stdout),
        stderr=without_root(workspace, stderr),
        duration_seconds=run.seconds,
        started_at=run.started_at or run.created_at,
        completed_at=run.completed_at,
        message=without_root(workspace, _message(run)),
    )


def run_item(run: Run) -> RunItem:
    """A run in a list."""
    return RunItem(
        run_id=run.id,
        dataset_key=run.dataset_key,
        model_id=run.model_id,
        mode=run.mode,
        status=run.status,
        started_at=run.started_at or run.created_at,
        duration_seconds=run.seconds,
        metrics=None if run.result is None else finite(dict(run.result.metrics)),
    )


def run_state(workspace: Workspace, run: Run) -> RunState:
    """How far a run is."""
    progress = workspace.runs.progress(run.id)
    return RunState(
        run_id=run.id,
        status=run.status,
        queued_at=run.created_at,
        started_at=run.started_at or run.created_at,
        completed_at=run.completed_at,
        exit_code=run.exit_code,
        step=progress.step,
        total_steps=progress.total_steps,
        loss=progress.loss,
    )


def metrics_line(recorded: dict[str, Any]) -> str:
    """A recorded step as JSON, with its time beside its figures."""
    timestamp = (recorded.get("timings") or {}).get("timestamp")
    line = {"timestamp": timestamp, **recorded}
    try:
        return json.dumps(line, allow_nan=False)
    except ValueError:
        # A loss that is no number any more.
        return json.dumps(finite(line))


def without_root(workspace: Workspace, text: str) -> str:
    """The text without where the workspace lies on the server, which is nobody else's business."""
    return text.replace(f"{workspace.paths.root}/", "")


def _message(run: Run) -> str:
    """One line about where a run stands; clients look for parts of it."""
    what = "Dry-run" if run.mode == "dry-run" else "Local"
    if run.status == "completed":
        if run.mode == "dry-run":
            return "Dry-run validation successful"
        return "Local execution completed successfully"
    if run.status == "failed":
        code = "" if run.exit_code is None else f" with exit code {run.exit_code}"
        return f"{what} execution failed{code}: {run.error or 'no reason is known'}"
    if run.status == "timeout":
        return f"{what} execution timed out: {run.error or 'its time limit was reached'}"
    if run.status == "cancel_requested":
        return f"{what} execution is being cancelled"
    return f"{what} execution {run.status}"
