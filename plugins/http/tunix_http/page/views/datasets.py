"""Datasets: where they came from, what is in them, and how an item is rendered."""

from __future__ import annotations

from itertools import islice
from typing import Any

from tunix_core import Workspace
from tunix_core.codec import unstructure
from tunix_core.errors import IntegrityError
from tunix_core.records import DatasetManifest, Item
from tunix_core.rendering import TEMPLATES, render
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query
from tunix_http.page.views.rows import run_row

SAMPLE = 3
EXPORT_FORMATS = ("trace", "tunix_sft", "training_example", "show_your_work")


def listing(workspace: Workspace, query: Query) -> Data:
    """Every dataset."""
    return {"datasets": [_row(manifest) for manifest in workspace.datasets.list()]}


def dataset(workspace: Workspace, query: Query) -> Data:
    """One dataset: its manifest, a sample as a model sees it, the runs that trained on it."""
    manifest = workspace.datasets.manifest(query.path["key"])
    template = query.choice("template", tuple(TEMPLATES), "show_your_work")
    last = max(0, manifest.trace_count - 1)
    start = query.number("sample", 0, 0, last)
    sample, problem = _sample(workspace, manifest, start, template)
    fields: dict[str, Any] = unstructure(manifest)
    # The ids are as many as the traces, and each is shown with its trace.
    del fields["trace_ids"]
    return {
        "dataset": fields,
        "template": template,
        "templates": tuple(TEMPLATES),
        "export_formats": EXPORT_FORMATS,
        "sample": sample,
        "start": start,
        "previous": query.address(sample=max(0, start - SAMPLE)) if start else None,
        "following": query.address(sample=start + SAMPLE) if start + SAMPLE <= last else None,
        "problem": problem,
        "runs": [
            run_row(workspace, run)
            for run in workspace.runs.list(dataset_key=manifest.dataset_key, limit=10)
        ],
        "panels": panels(workspace, "dataset", manifest.dataset_key),
    }


def _sample(
    workspace: Workspace, manifest: DatasetManifest, start: int, template: str
) -> tuple[list[dict[str, Any]], str | None]:
    """Some items rendered, or why the data cannot be trusted."""
    try:
        items = workspace.datasets.items(manifest.dataset_key)
        return [_rendered(item, template) for item in islice(items, start, start + SAMPLE)], None
    except IntegrityError as error:
        return [], str(error)


def _rendered(item: Item, template: str) -> dict[str, Any]:
    rendered = render(item.trace, template)
    return {"id": item.id, "prompt": rendered.prompt, "completion": rendered.completion}


def _row(manifest: DatasetManifest) -> dict[str, Any]:
    return {
        "dataset_key": manifest.dataset_key,
        "trace_count": manifest.trace_count,
        "selection_strategy": manifest.selection_strategy,
        "filters": manifest.filters,
        "avg_step_count": manifest.stats.get("avg_step_count"),
        "created_at": manifest.created_at,
        "sha256": manifest.sha256,
    }


PAGES = [
    Page("/datasets", "datasets.html", listing, slow=True),
    Page("/datasets/{key}", "dataset.html", dataset, slow=True),
]
