"""A run's model answers a dataset, in the process that an executor started; opens no database."""

from __future__ import annotations

import hashlib
import json
from io import FileIO

from tunix_core.base import jsonl
from tunix_core.base.files import write_atomically
from tunix_core.base.locks import FileLock
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.contributions import TRAINER
from tunix_core.datasets.reading import read_items
from tunix_core.evaluation.prediction_files import DATA, META, format_line, parse_line, read_meta
from tunix_core.plugins import Plugins, ProvidedTrainer
from tunix_core.protocols import GenerationConfig, LoadRequest, Predictor
from tunix_core.records import Item, Prompt, Run
from tunix_core.rendering import render
from tunix_core.runs.folder import LOCK, RunFolder


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
        IntegrityError: The dataset, or what was answered before, is damaged.
        TunixError: The model cannot be loaded.
    """
    run_folder = RunFolder(paths.run(run.id))
    folder = run_folder.predictions(dataset_key)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        if read_meta(folder) is not None:
            return
        data = folder / DATA
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
                predictor = _predictor(
                    run_folder, plugins.find(TRAINER, run.trainer), run, generation
                )
                _append(out, predictor, missing, run.config.template)
        meta = {
            "run_id": run.id,
            "model_id": run.model_id,
            "dataset_key": dataset_key,
            "count": len(done) + len(missing),
            "sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
            "generation_config": unstructure(generation),
            "plugins": plugins.versions(),
        }
        write_atomically(folder / META, json.dumps(meta, indent=2) + "\n")


def _predictor(
    folder: RunFolder, provided: ProvidedTrainer, run: Run, generation: GenerationConfig
) -> Predictor:
    """The run's model, on the device that was chosen for it, where its trainer has that setting."""
    setting = provided.contribution.request_fields.get("device", "device")
    device = (run.config.trainer or {}).get(setting) or "auto"
    request = LoadRequest(model_dir=folder.model, generation=generation, device=str(device))
    return provided.create().load(request)


def _append(
    out: FileIO, predictor: Predictor, missing: list[tuple[Item, int]], template: str
) -> None:
    prompts = (
        Prompt(item.id, render(item.trace, template).prompt, sample) for item, sample in missing
    )
    for completion in predictor.complete(prompts):
        jsonl.append(out, format_line(completion))
