"""The panels of plugins on a page; one that fails says so in its place."""

from __future__ import annotations

from typing import Any

from attrs import asdict

from tunix_core import Workspace
from tunix_core.codec import check_json, unstructure
from tunix_http.panels import PanelContribution, PanelPage


def panels(workspace: Workspace, page: PanelPage, subject: str | None = None) -> list[Any]:
    """What the plugins show on a page, as plain data, by distribution."""
    return [
        _shown(contribution, record.distribution, workspace, subject)
        for record, offered in workspace.plugins.collect("tunix_http_panels")
        for contribution in offered
        if contribution.page == page
    ]


def _shown(
    contribution: PanelContribution, distribution: str, workspace: Workspace, subject: str | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"{distribution}/{contribution.name}",
        "heading": contribution.title,
        "text": None,
        "rows": [],
        "figure": None,
        "error": None,
    }
    try:
        panel: dict[str, Any] = unstructure(asdict(contribution.make(workspace, subject)))
        check_json(panel, what="panel")
        return found | panel
    except Exception as error:
        # Whatever a plugin does wrong, the page stays.
        return found | {"error": f"{type(error).__name__}: {error}"}
