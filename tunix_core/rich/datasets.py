"""A dataset: where it came from, and what its items look like."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import trace_from_json
from tunix_core.datasets.files import DATA, MANIFEST
from tunix_core.datasets.reading import outline
from tunix_core.records import DatasetManifest, Trace
from tunix_core.rich.homes import Home
from tunix_core.rich.markup import Html, attempt, facts, heading, text, whole
from tunix_core.rich.readable import when
from tunix_core.rich.work import work

SAMPLE = 3


def dataset_html(manifest: DatasetManifest, home: Home | None) -> str:
    """A dataset in a notebook; without its workspace what its manifest says."""
    sample = Html() if home is None else attempt(lambda: _sample(manifest, home.paths))
    return whole(f"Dataset {manifest.dataset_key}", facts(_facts(manifest)), sample)


def is_in(paths: WorkspacePaths, manifest: DatasetManifest) -> bool:
    """Whether a workspace has this very dataset; the same key may be that of other data."""
    path = paths.dataset(manifest.dataset_key) / MANIFEST
    return path.is_file() and outline(path)["build_id"] == manifest.build_id


def _facts(manifest: DatasetManifest) -> Iterator[tuple[str, Any]]:
    provenance = manifest.provenance
    plugins = provenance.get("plugins")
    yield "key", manifest.dataset_key
    yield "items", f"{manifest.trace_count:,}"
    yield "steps per item", manifest.stats.get("avg_step_count")
    yield "filters", manifest.filters
    yield "mix", provenance.get("mix")
    yield "strategy", manifest.selection_strategy
    yield "seed", manifest.seed
    yield "built", when(manifest.created_at)
    yield "sha256", manifest.sha256
    if isinstance(plugins, dict):
        yield "plugins", ", ".join(f"{name} {version}" for name, version in plugins.items())


def _sample(manifest: DatasetManifest, paths: WorkspacePaths) -> Html:
    """The first items; the data is not checked, since that would read all of it."""
    path = paths.dataset(manifest.dataset_key) / DATA
    with path.open("rb") as file:
        traces = [trace_from_json(line) for line in islice(file, SAMPLE)]
    shown = "".join(map(_item, traces))
    return Html(f"{heading(f'The first {len(traces)} of {manifest.trace_count:,} items')}{shown}")


def _item(trace: Trace) -> Html:
    return work(
        trace.prompt,
        [text(step.content) for step in trace.steps],
        [("answer", trace.final_answer)],
    )
