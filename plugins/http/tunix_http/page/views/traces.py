"""Traces: listed and filtered, read step by step, compared side by side."""

from __future__ import annotations

from typing import Any

from tunix_core import Workspace
from tunix_core.base.settings_text import parse_pairs
from tunix_core.errors import UsageError
from tunix_core.evaluation.shown_steps import ShownStep
from tunix_core.records import Item, StoredTrace
from tunix_core.traces.service import ScoredTrace
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query, Window

EXCERPT_CHARS = 160
MAX_OFFSET = 10**9


def listing(workspace: Workspace, query: Query) -> Data:
    """A page of traces, newest first, those that the filter lets through."""
    limit = query.number("limit", 20, 1, 100)
    offset = query.number("offset", 0, 0, MAX_OFFSET)
    filters = _filters(query)
    found = workspace.traces.summaries(limit, offset, filters or None)
    rows = [_row(workspace.traces.get(summary.id)) for summary in found.items]
    return {
        "traces": rows,
        "filters": filters,
        "sources": workspace.traces.sources(),
        "count": workspace.traces.count(),
        "window": Window.of(query, limit, offset, more=found.next_offset is not None),
    }


def trace(workspace: Workspace, query: Query) -> Data:
    """One trace, its steps with what is known of each."""
    stored = workspace.traces.get(query.path["id"])
    return {
        "trace": stored,
        "steps": workspace.shown_steps.of_trace(Item(stored.id, stored.trace)),
        "score": workspace.traces.score(stored.id),
        "panels": panels(workspace, "trace", stored.id),
    }


def compare(workspace: Workspace, query: Query) -> Data:
    """Two traces side by side; a form where one is not named yet.

    They are ``base`` and ``other`` in the address, or ``trace`` twice, as a list's boxes give it.
    """
    chosen = query.all("trace")
    if len(chosen) > 2:
        raise UsageError(f"{len(chosen)} traces are too many", "two are compared")
    base, other = (
        query.text(name) or (chosen[place] if place < len(chosen) else None)
        for place, name in enumerate(("base", "other"))
    )
    if base is None or other is None:
        return {"base": base, "other": other, "sides": [], "rows": []}
    found = workspace.traces.compare(base, other)
    sides = [_side(workspace, side) for side in (found.base, found.other)]
    longest = max(len(side["steps"]) for side in sides)
    rows = [[_at(side["steps"], place) for side in sides] for place in range(longest)]
    return {"base": base, "other": other, "sides": sides, "rows": rows}


def _filters(query: Query) -> dict[str, Any]:
    """``source=x`` of its own field, and ``family=money difficulty=2`` of the text field."""
    filters = parse_pairs(" ".join(query.all("filter")).split(), "filter")
    source = query.text("source")
    return filters if source is None else {**filters, "source": source}


def _row(stored: StoredTrace) -> dict[str, Any]:
    meta = stored.trace.meta or {}
    return {
        "id": stored.id,
        "created_at": stored.created_at,
        "source": meta.get("source"),
        "family": meta.get("family"),
        "difficulty": meta.get("difficulty"),
        "steps": len(stored.trace.steps),
        "prompt": stored.trace.prompt[:EXCERPT_CHARS],
        "final_answer": stored.trace.final_answer[:EXCERPT_CHARS],
    }


def _side(workspace: Workspace, side: ScoredTrace) -> dict[str, Any]:
    item = Item(side.trace.id, side.trace.trace)
    return {
        "trace": side.trace,
        "score": side.score,
        "steps": workspace.shown_steps.of_trace(item),
    }


def _at(shown: list[ShownStep], place: int) -> ShownStep | None:
    return shown[place] if place < len(shown) else None


PAGES = [
    Page("/traces", "traces.html", listing),
    Page("/traces/compare", "traces_compare.html", compare),
    Page("/traces/{id}", "trace.html", trace),
]
