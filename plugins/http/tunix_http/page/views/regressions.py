"""Regression checks: the baselines, and a run held against one of them."""

from __future__ import annotations

from typing import Any

from tunix_core import Workspace
from tunix_core.errors import TunixError
from tunix_core.records import Verdict
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query
from tunix_http.page.views.rows import question, run_row

MOST_REGRESSIONS = 20


def regressions(workspace: Workspace, query: Query) -> Data:
    """The baselines; with ``baseline`` and ``run`` in the address, the check of that run."""
    name, run_id = query.text("baseline"), query.text("run")
    check = None
    if name is not None and run_id is not None:
        check = _check(workspace, name, run_id)
    return {
        "baselines": workspace.regressions.list(),
        "baseline": name,
        "run": run_id,
        "check": check,
        "runs": [
            run_row(workspace, run) for run in workspace.runs.list(status="completed", limit=50)
        ],
        "panels": panels(workspace, "regressions"),
    }


def _check(workspace: Workspace, name: str, run_id: str) -> dict[str, Any]:
    """A verdict, or why there can be none."""
    run = workspace.runs.get(run_id)
    baseline = workspace.regressions.baseline(name)
    found: dict[str, Any] = {
        "run_id": run.id,
        "baseline": baseline,
        "problem": None,
        "metric": None,
        "verdict": None,
        "regressed": None,
        "outcome": None,
        "regressions": [],
        "more": 0,
    }
    try:
        if baseline.metric_name is None:
            verdict: Verdict | None = workspace.regressions.check(run.id, name)[1]
        else:
            found["metric"] = metric = workspace.regressions.check_metric(run.id, name)
            found["outcome"] = metric.verdict
            verdict = metric.paired
    except TunixError as error:
        return found | {"problem": str(error)}
    if verdict is not None:
        found["verdict"] = verdict
        found["regressions"] = [
            {**row, "prompt": question(workspace, str(row.get("item_id")))}
            for row in verdict.regressions[:MOST_REGRESSIONS]
        ]
        found["more"] = max(0, len(verdict.regressions) - MOST_REGRESSIONS)
        if baseline.metric_name is None:
            found["outcome"] = verdict.outcome
    found["regressed"] = found["outcome"] == "fail"
    return found


PAGES = [Page("/regressions", "regressions.html", regressions)]
