"""A run's model answers a dataset, in the process that an executor started; opens no database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from tunix_core.base import jsonl
from tunix_core.base.file_trees import tree_digest
from tunix_core.base.locks import FileLock
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.contributions import TRAINER
from tunix_core.datasets.reading import read_items
from tunix_core.evaluation.prediction_files import (
    BEGUN,
    DATA,
    META,
    AnswerBasis,
    check_sampling,
    format_line,
    parse_line,
    read_begun,
    read_meta,
    set_aside,
)
from tunix_core.plugins import Plugins, ProvidedTrainer
from tunix_core.protocols import GenerationConfig, LoadRequest, Predictor
from tunix_core.records import Item, Prompt, Run
from tunix_core.rendering import render_prompt
from tunix_core.runs import stored
from tunix_core.runs.folder import LOCK, RunFolder
from tunix_core.runs.weights import check_weights


def answer(
    paths: WorkspacePaths,
    plugins: Plugins,
    run: Run,
    dataset_key: str,
    generation: GenerationConfig,
) -> None:
    """Load a run's model in this process and append the answers that are missing.

    Args:
        paths: The workspace.
        plugins: Where the run's trainer is.
        run: The run.
        dataset_key: The dataset.
        generation: How to sample.

    Raises:
        NotFoundError: No such dataset.
        ConflictError: Finished answers are there that were sampled otherwise.
        IntegrityError: The weights, the dataset, or what was answered before, is damaged.
        TunixError: The model cannot be loaded.
    """
    run_folder = RunFolder(paths.run(run.id))
    folder = run_folder.predictions(dataset_key)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = AnswerBasis.of(paths, run, dataset_key, generation)
    with FileLock(folder / LOCK):
        meta = read_meta(folder)
        if meta is not None and AnswerBasis.stated(meta).difference(wanted) is None:
            check_sampling(folder, meta, wanted)
            return
        basis = evolve(wanted, weights_sha256=_checked_weights(run_folder.model, run))
        described = {
            "run_id": run.id,
            "model_id": run.model_id,
            "dataset_key": dataset_key,
            **unstructure(basis),
            "plugins": plugins.versions(),
        }
        _begin(folder, basis, described)
        count = _answer_missing(paths, plugins, run, dataset_key, generation)
        digest = hashlib.sha256((folder / DATA).read_bytes()).hexdigest()
        stored.write(folder / META, {**described, "count": count, "sha256": digest}, indent=2)


def _checked_weights(model: Path, run: Run) -> str:
    """The digest of the weights that answer.

    Raises:
        IntegrityError: They are not those that training left.
    """
    found = tree_digest(model).sha256
    check_weights(run, found)
    return found


def _begin(folder: Path, basis: AnswerBasis, described: Mapping[str, Any]) -> None:
    """Write down what answers depend on; those on another basis are set aside."""
    begun = read_begun(folder)
    if begun is None:
        why = "without a word of how" if (folder / DATA).exists() else None
    elif begun.samples_alike(basis):
        why = begun.difference(basis)
        why = why and f"with {why}"
    else:
        why = "with another generation config"
    if why is not None:
        aside = set_aside(folder)
        print(f"answers that were begun {why} are kept in {aside.name}", flush=True)  # noqa: T201
    stored.write(folder / BEGUN, described, indent=2)


def _answer_missing(
    paths: WorkspacePaths,
    plugins: Plugins,
    run: Run,
    dataset_key: str,
    generation: GenerationConfig,
) -> int:
    """Append the answers that are missing; returns how many there are then."""
    run_folder = RunFolder(paths.run(run.id))
    data = run_folder.predictions(dataset_key) / DATA
    answered = map(parse_line, jsonl.whole_lines(data))
    done = {(completion.item_id, completion.sample) for completion in answered}
    missing = [
        (item, sample)
        for item in read_items(paths.datasets, dataset_key)
        for sample in range(generation.samples)
        if (item.id, sample) not in done
    ]
    with jsonl.resume(data) as out:
        if missing:
            template = run.config.template
            # One that is too long is found before anything is answered.
            prompts = [
                Prompt(item.id, _asked(item, template, generation), sample)
                for item, sample in missing
            ]
            provided = plugins.find(TRAINER, run.trainer)
            predictor = _predictor(run_folder, provided, run, generation)
            for completion in predictor.complete(prompts):
                jsonl.append(out, format_line(completion))
    return len(done) + len(missing)


def _predictor(
    folder: RunFolder, provided: ProvidedTrainer, run: Run, generation: GenerationConfig
) -> Predictor:
    """The run's model, on the device that was chosen for it, where its trainer has that setting."""
    setting = provided.contribution.request_fields.get("device", "device")
    device = (run.config.trainer or {}).get(setting) or "auto"
    request = LoadRequest(model_dir=folder.model, generation=generation, device=str(device))
    return provided.create().load(request)


def _asked(item: Item, template: str, generation: GenerationConfig) -> str:
    return render_prompt(item.trace, template, generation.system_prompt, generation.examples)
