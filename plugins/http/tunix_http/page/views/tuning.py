"""Tuning jobs and their trials."""

from __future__ import annotations

from itertools import accumulate

from tunix_core import Workspace
from tunix_core.records import TuningJob, TuningTrial
from tunix_http.page.figures import Figure, dots
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query, Window
from tunix_http.page.views.rows import dataset_keys


def listing(workspace: Workspace, query: Query) -> Data:
    """A page of jobs, newest first."""
    limit = query.number("limit", 20, 1, 100)
    offset = query.number("offset", 0, 0, 10**9)
    found = workspace.tuning.list(limit + 1, offset)
    return {
        "jobs": found[:limit],
        "datasets": dataset_keys(workspace),
        "window": Window.of(query, limit, offset, more=len(found) > limit),
    }


def job(workspace: Workspace, query: Query) -> Data:
    """One job: what was searched, what each trial reached."""
    held = workspace.tuning.get(query.path["id"])
    trials = workspace.tuning.trials(held.id)
    return {
        "job": held,
        "trials": trials,
        "done": sum(trial.status != "running" for trial in trials),
        "active": held.status == "running",
        "figure": _figure(held, trials),
        "panels": panels(workspace, "tuning", held.id),
    }


def _figure(held: TuningJob, trials: list[TuningTrial]) -> Figure | None:
    points = [
        (trial.number, trial.metric_value) for trial in trials if trial.metric_value is not None
    ]
    if not points:
        return None
    better = max if held.metric_mode == "max" else min
    best = list(accumulate((value for _, value in points), better))
    numbers = [number for number, _ in points]
    return dots(points, list(zip(numbers, best, strict=True)), "trial", held.metric_name)


PAGES = [
    Page("/tuning", "tuning.html", listing),
    Page("/tuning/{id}", "tuning_job.html", job),
]
