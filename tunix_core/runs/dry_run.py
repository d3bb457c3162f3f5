"""Everything about a run that can be checked without training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from attrs import evolve

from tunix_core.contributions import TRAINER
from tunix_core.datasets import Datasets
from tunix_core.errors import NotFoundError, TunixError, one_line
from tunix_core.plugins import Plugins
from tunix_core.records import Item, Run
from tunix_core.rendering import render
from tunix_core.runs.config import accepted_settings, resolve
from tunix_core.runs.requests import manifest_yaml, training_manifest, without_effect

EXAMPLES = 5
SHOWN_CHARS = 80
PASSED = "validation completed successfully"


@contextmanager
def step(name: str) -> Iterator[None]:
    """Let an error say at which step it happened.

    Raises:
        TunixError: Whatever the block raised.
    """
    try:
        yield
    except Exception as error:
        raise TunixError(f"{name}: {one_line(error)}") from error


def dry_run(run: Run, plugins: Plugins, datasets: Datasets) -> Iterator[str]:
    """Lines of a report, the last of which says that all is well; opens no database.

    Args:
        run: The run.
        plugins: Where its trainer is.
        datasets: Where its data is.

    Raises:
        TunixError: Something is wrong; the message names the step.
    """
    yield f"dry run of {run.model_id} on {run.dataset_key}"
    find_datasets(run, datasets)
    for key in run.datasets.values():
        yield _examined(key, datasets)
    yield from _planned(run, plugins)
    yield f"template {run.config.template}, the first examples:"
    with step("export validation error"):
        for item in islice(datasets.items(run.dataset_key), EXAMPLES):
            yield _example(item, run.config.template)
    yield PASSED


def find_datasets(run: Run, datasets: Datasets) -> None:
    """Refuse a run whose datasets are not there.

    Raises:
        TunixError: One is not there, or its manifest cannot be read.
    """
    for key in run.datasets.values():
        with step("export validation error"):
            try:
                datasets.manifest(key)
            except NotFoundError as error:
                missing = error
            else:
                continue
        raise TunixError(f"dataset not found: {key!r}", missing.hint)


def _examined(key: str, datasets: Datasets) -> str:
    with step("export validation error"):
        manifest = datasets.verify(key)
    if manifest.trace_count == 0:
        raise TunixError(f"empty dataset: {key} holds no trace")
    return f"dataset {key}: {manifest.trace_count} traces, sha256 {manifest.sha256} as built"


def _planned(run: Run, plugins: Plugins) -> Iterator[str]:
    """What would be trained: the trainer with its settings, and the manifest of a request."""
    with step("manifest generation error"):
        provided = plugins.find(TRAINER, run.trainer)
        config = resolve(provided, run.config)
        accepted_settings(provided, evolve(run, config=config))
        provided.create()
        yield f"trainer {provided.full_name} accepts its settings: {json.dumps(config.trainer)}"
        if config.request is not None:
            left_out = without_effect(provided)
            if left_out:
                yield left_out
            manifest = training_manifest(evolve(config.request, output_dir=run.output_dir))
            yield "manifest:\n" + manifest_yaml(manifest).rstrip()


def _example(item: Item, template: str) -> str:
    rendered = render(item.trace, template)
    if not rendered.completion.strip():
        raise TunixError(f"trace {item.id} gives no text to learn")
    prompt = " ".join(item.trace.prompt.split())
    shown = prompt if len(prompt) <= SHOWN_CHARS else f"{prompt[:SHOWN_CHARS]}..."
    lengths = f"{len(rendered.prompt)} + {len(rendered.completion)} characters"
    return f"  {item.id}: {lengths}: {shown}"
