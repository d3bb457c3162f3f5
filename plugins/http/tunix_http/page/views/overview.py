"""The first page: what there is, and what is going on."""

from __future__ import annotations

from typing import Any

from tunix_core import Workspace
from tunix_core.evaluators import USUAL_JUDGE
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query
from tunix_http.page.views.rows import dataset_keys, evaluation_row, run_row

NEWEST = 6


def overview(workspace: Workspace, query: Query) -> Data:
    """Counts, the newest runs, the best of them."""
    active = [
        run
        for status in ("running", "cancel_requested", "pending")
        for run in workspace.runs.list(status=status, limit=NEWEST)
    ]
    listed = workspace.runs.list(limit=NEWEST + len(active))
    ranked = workspace.evaluations.leaderboard(USUAL_JUDGE, limit=3)
    return {
        "counts": _counts(workspace),
        "active": [run_row(workspace, run) for run in active],
        "newest": [run_row(workspace, run) for run in listed if run not in active][:NEWEST],
        "best": [evaluation_row(workspace.runs.get(held.run_id), held) for held in ranked],
        "panels": panels(workspace, "overview"),
    }


def _counts(workspace: Workspace) -> list[dict[str, Any]]:
    broken = sum(record.error is not None for record in workspace.plugins.records)
    plugins = len(workspace.plugins.records)
    return [
        _count("traces", workspace.traces.count()),
        _count("datasets", len(dataset_keys(workspace))),
        _count("models", len(workspace.models.list())),
        _count("plugins", plugins, f"{broken} not usable" if broken else None),
    ]


def _count(what: str, count: int, note: str | None = None) -> dict[str, Any]:
    return {"what": what, "count": count, "address": f"/{what}", "note": note}


PAGES = [Page("/", "overview.html", overview)]
