"""Models: families, their versions, where each came from."""

from __future__ import annotations

from tunix_core import Workspace
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query
from tunix_http.page.views.rows import run_row


def listing(workspace: Workspace, query: Query) -> Data:
    """Every family with its newest version."""
    rows = []
    for artifact in workspace.models.list():
        versions = workspace.models.versions(artifact.name)
        rows.append(
            {
                "artifact": artifact,
                "versions": len(versions),
                "newest": versions[0] if versions else None,
            }
        )
    return {"models": rows}


def model(workspace: Workspace, query: Query) -> Data:
    """One family."""
    artifact = workspace.models.get(query.path["name"])
    return {
        "artifact": artifact,
        "versions": workspace.models.versions(artifact.name),
        "aliases": workspace.models.aliases(artifact.name),
        "runs": [
            run_row(workspace, run) for run in workspace.runs.list(status="completed", limit=50)
        ],
        "panels": panels(workspace, "model", artifact.name),
    }


PAGES = [
    Page("/models", "models.html", listing),
    Page("/models/{name}", "model.html", model),
]
