"""Everything about a run that can be checked without training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from attrs import evolve

from tunix_core.codec import unstructure
from tunix_core.datasets import Datasets
from tunix_core.errors import NotFoundError, TunixError, one_line
from tunix_core.plugins import Plugins
from tunix_core.records import Item, Run
from tunix_core.rendering import render
from tunix_core.runs.config import RunConfig, requested, trainer_config
from tunix_core.runs.requests import manifest_yaml, training_manifest

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


def dry_run(run: Run, config: RunConfig, plugins: Plugins, datasets: Datasets) -> Iterator[str]:
    """Lines of a report, the last of which says that all is well; opens no database.

    Args:
        run: The run.
        config: Its configuration.
        plugins: Where its trainer is.
        datasets: Where its data is.

    Raises:
        TunixError: Something is wrong; the message names the step.
    """
    yield f"dry run of {run.model_id} on {run.dataset_key}"
    find_datasets(run, config, datasets)
    for key in (run.dataset_key, config.eval_dataset_key):
        if key is not None:
            yield _examined(key, datasets)
    yield from _planned(run, config, plugins)
    yield f"template {config.template}, the first examples:"
    with step("export validation error"):
        for item in islice(datasets.items(run.dataset_key), EXAMPLES):
            yield _example(item, config.template)
    yield PASSED


def find_datasets(run: Run, config: RunConfig, datasets: Datasets) -> None:
    """Refuse a run whose datasets are not there.

    Raises:
        TunixError: One is not there, or its manifest cannot be read.
    """
    for key in (run.dataset_key, config.eval_dataset_key):
        if key is not None:
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


def _planned(run: Run, config: RunConfig, plugins: Plugins) -> Iterator[str]:
    """What would be trained: the trainer with its settings, and the manifest of a request."""
    with step("manifest generation error"):
        provided, settings, left_out = trainer_config(plugins, run.trainer, config)
        provided.create()
        request = requested(config)
        named: dict[str, Any] = unstructure(settings) or {}
        yield f"trainer {provided.full_name} accepts its settings: {json.dumps(named)}"
        if left_out:
            yield left_out
        if request is not None:
            manifest = training_manifest(evolve(request, output_dir=run.output_dir))
            yield "manifest:\n" + manifest_yaml(manifest).rstrip()


def _example(item: Item, template: str) -> str:
    rendered = render(item.trace, template)
    if not rendered.completion.strip():
        raise TunixError(f"trace {item.id} gives no text to learn")
    prompt = " ".join(item.trace.prompt.split())
    shown = prompt if len(prompt) <= SHOWN_CHARS else f"{prompt[:SHOWN_CHARS]}..."
    lengths = f"{len(rendered.prompt)} + {len(rendered.completion)} characters"
    return f"  {item.id}: {lengths}: {shown}"
