"""Plugins: what is loaded, what each offers, what is wrong with the others."""

from __future__ import annotations

from tunix_core import Workspace
from tunix_core.contributions import KINDS
from tunix_core.plugins import PluginRecord
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query


def plugins(workspace: Workspace, query: Query) -> Data:
    """Every plugin that was found, and everything that the active ones offer, by kind."""
    held = workspace.plugins
    return {
        "plugins": held.records,
        "offers": {record.distribution: _by_kind(record) for record in held.records},
        "offered": {
            kind.name: [
                {"name": provided.full_name, "summary": provided.contribution.summary}
                for provided in held.all(kind)
            ]
            for kind in KINDS
        },
        "panels": panels(workspace, "plugins"),
    }


def _by_kind(record: PluginRecord) -> dict[str, list[str]]:
    """What a plugin offers, its own name left out: ``{"generator": ["golden-v1"]}``."""
    found: dict[str, list[str]] = {}
    for kind, name in (text.split(" ", 1) for text in record.contributions):
        found.setdefault(kind, []).append(name.partition("/")[2] or name)
    return found


PAGES = [Page("/plugins", "plugins.html", plugins)]
