"""Plugins: what is loaded, what each offers, what is wrong with the others."""

from __future__ import annotations

from tunix_core import Workspace
from tunix_core.contributions import KINDS
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query


def plugins(workspace: Workspace, query: Query) -> Data:
    """Every plugin that was found, and everything that the active ones offer, by kind."""
    held = workspace.plugins
    return {
        "plugins": held.records,
        "offered": {
            kind: [
                {"name": provided.full_name, "summary": provided.contribution.summary}
                for provided in held.contributions(kind)
            ]
            for kind in KINDS
        },
        "panels": panels(workspace, "plugins"),
    }


PAGES = [Page("/plugins", "plugins.html", plugins)]
