"""Runs: listed, watched while they train, compared, started."""

from __future__ import annotations

from collections import deque
from typing import Any, get_args

from tunix_core import Workspace
from tunix_core.contributions import EVALUATOR
from tunix_core.errors import UsageError
from tunix_core.records import TERMINAL_STATUSES, Run, RunStatus
from tunix_core.rich.curves import Points, curves, thin
from tunix_http.page.figures import Figure, lines
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query, Window
from tunix_http.page.views.rows import dataset_keys, evaluation_row, run_row

LOG_LINES = 400
MOST_COMPARED = 12
# These are drawn together: the loss on what is trained, and on what is held out.
LOSSES = {"loss": "training data", "eval_loss": "held-out data"}


def listing(workspace: Workspace, query: Query) -> Data:
    """A page of runs, newest first."""
    limit = query.number("limit", 20, 1, 100)
    offset = query.number("offset", 0, 0, 10**9)
    status, dataset_key = query.text("status"), query.text("dataset")
    found = workspace.runs.list(
        status=status, dataset_key=dataset_key, limit=limit + 1, offset=offset
    )
    return {
        "runs": [run_row(workspace, run) for run in found[:limit]],
        "statuses": get_args(RunStatus),
        "status": status,
        "dataset": dataset_key,
        "datasets": dataset_keys(workspace),
        "window": Window.of(query, limit, offset, more=len(found) > limit),
    }


def run(workspace: Workspace, query: Query) -> Data:
    """One run: state, progress, curves, log, evaluations, files.

    With ``log=0`` without the log, which the live page reads from the event stream.
    """
    held = workspace.runs.get(query.path["id"])
    recorded = curves(workspace.runs.metrics(held.id))
    with_log = query.choice("log", ("0", "1"), "1") == "1"
    return {
        "run": held,
        "active": held.status not in TERMINAL_STATUSES,
        "seconds": held.seconds,
        "progress": workspace.runs.progress(held.id),
        "figures": _figures(recorded),
        "last": {name: points[-1][1] for name, points in recorded.items()},
        "log": _log(workspace, held) if with_log else None,
        "evaluations": [
            {
                "id": evaluation.id,
                **evaluation_row(held, evaluation, workspace.evaluations.outdated(evaluation)),
            }
            for evaluation in workspace.evaluations.of_run(held.id)
        ],
        "artifacts": workspace.runs.artifacts(held.id),
        "datasets": dataset_keys(workspace),
        "judges": [p.full_name for p in workspace.plugins.all(EVALUATOR)],
        "panels": panels(workspace, "run", held.id),
    }


def compare(workspace: Workspace, query: Query) -> Data:
    """Several runs: a figure over each other, the settings that differ, the outcomes."""
    wanted = query.all("run")
    if len(wanted) > MOST_COMPARED:
        raise UsageError(f"{len(wanted)} runs are too many", f"at most {MOST_COMPARED}")
    runs = [workspace.runs.get(run_id) for run_id in dict.fromkeys(wanted)]
    recorded = {held.id: curves(workspace.runs.metrics(held.id)) for held in runs}
    names = list(dict.fromkeys(name for found in recorded.values() for name in found))
    metric = query.text("metric") or ("loss" if "loss" in names or not names else names[0])
    drawn = {
        f"{held.id[:8]} {held.model_id}": thin(recorded[held.id][metric])
        for held in runs
        if metric in recorded[held.id]
    }
    return {
        "runs": [run_row(workspace, held) for held in runs],
        "metric": metric,
        "metrics": names,
        "figure": _overlaid(drawn, metric) if drawn else None,
        "table": workspace.runs.compare([held.id for held in runs]) if runs else {},
        "others": [run_row(workspace, held) for held in workspace.runs.list(limit=20)],
    }


def _figures(recorded: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """The losses in one figure, every other figure by itself."""
    losses = {what: thin(recorded[name]) for name, what in LOSSES.items() if name in recorded}
    figures: dict[str, Any] = {"loss": _loss(losses) if losses else None}
    for name, points in recorded.items():
        if name not in LOSSES and len(points) > 1:
            # Its heading says what it is.
            figures[name] = lines({name: thin(points)}, "step", "")
    return figures


def _overlaid(drawn: dict[str, Points], metric: str) -> Figure:
    return _loss(drawn, metric) if metric in LOSSES else lines(drawn, "step", metric)


def _loss(losses: dict[str, Points], title: str = "loss") -> Figure:
    # A logarithmic axis shows the late gains, and has no place for 0 and below.
    positive = all(value > 0 for points in losses.values() for _, value in points)
    return lines(losses, "step", title, log=positive)


def _log(workspace: Workspace, held: Run) -> dict[str, Any]:
    """The end of the log, and from where the event stream goes on."""
    chunks = deque(workspace.runs.log(held.id).read(), maxlen=LOG_LINES)
    return {
        "chunks": [{"stream": c.stream, "chunk": c.chunk} for c in chunks],
        "first_seq": chunks[0].seq if chunks else 1,
        "last_seq": chunks[-1].seq if chunks else 0,
    }


PAGES = [
    Page("/runs", "runs.html", listing),
    Page("/runs/compare", "runs_compare.html", compare),
    Page("/runs/{id}", "run.html", run),
]
