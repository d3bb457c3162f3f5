"""The child process in which models run: ``python -m tunix_core.runner train|join|predict ...``.

It stops at once when its standard input ends, as it does when its parent does, and at the next
step, with a checkpoint, on SIGTERM. What it prints goes to the run's log; its last line is the
error that people see. It opens no database: that is the host's alone which started it.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from tunix_core.base.file_trees import tree_digest
from tunix_core.base.locks import FileLock
from tunix_core.codec import structure
from tunix_core.contributions import TRAINER
from tunix_core.datasets.files import data_file
from tunix_core.datasets.reading import verify
from tunix_core.errors import TunixError, UsageError
from tunix_core.evaluation.answering import answer
from tunix_core.plugins.tools import PluginTools
from tunix_core.protocols import GenerationConfig, Host, LoadRequest, Trainer, TrainJob, TrainResult
from tunix_core.records import Run, RunResult
from tunix_core.runs.config import accepted_settings
from tunix_core.runs.folder import RunFolder
from tunix_core.runs.joining import created_run
from tunix_core.runs.local_executor import stop_when_parent_dies
from tunix_core.runs.reporter import RunReporter, SilentReporter
from tunix_core.workspace import Workspace


def train(workspace: Workspace, run_id: str) -> None:
    """Execute a run; what its trainer did is left in its directory."""
    run = created_run(workspace.paths, run_id)
    folder = RunFolder(workspace.paths.run(run.id))
    reporter = RunReporter(run.id, folder, workspace.plugins, run.config.time_budget_s)
    signal.signal(signal.SIGTERM, lambda *_: reporter.terminate())
    with FileLock(folder.lock):
        folder.remove_result()
        for key in run.datasets.values():
            verify(workspace.paths.datasets, key)
        trainer, job = _prepare(workspace, run)
        folder.set_predictions_aside()
        returned = _result(trainer.fit(job, reporter), run.trainer)
        folder.write_result(evolve(returned, weights_sha256=_weights(folder.model)))


def join(workspace: Workspace, run_id: str) -> None:
    """Take part, as a further host, in a run that :func:`train` executes on the first."""
    trainer, job = _prepare(workspace, created_run(workspace.paths, run_id))
    reporter = SilentReporter()
    signal.signal(signal.SIGTERM, lambda *_: reporter.terminate())
    trainer.fit(evolve(job, host=Host(index=1)), reporter)


def _prepare(workspace: Workspace, run: Run) -> tuple[Trainer, TrainJob]:
    """The trainer of a run and its job, the same on every host; opens no database."""
    provided = workspace.plugins.find(TRAINER, run.trainer)
    settings = accepted_settings(provided, run)
    trainer = provided.create()
    folders = {use: workspace.paths.dataset(key) for use, key in run.datasets.items()}
    return trainer, TrainJob(
        run_id=run.id,
        data={use: data_file(folder) for use, folder in folders.items()},
        output_dir=workspace.paths.run(run.id),
        config=settings,
        tools=PluginTools(workspace.plugins, workspace.paths),
        template=run.config.template,
        seed=run.config.seed,
        resume=True,
    )


def _result(returned: TrainResult, trainer: str) -> RunResult:
    """What a trainer did, checked; a figure that is no number is left out, with a word."""
    metrics = _numbers(returned.metrics, trainer)
    timings = _numbers(returned.timings, trainer)
    fields = {
        "steps": returned.steps,
        "tokens": returned.tokens,
        "stop_reason": returned.stop_reason,
        "metrics": metrics,
        "timings": timings,
        "hardware": dict(returned.hardware),
    }
    # JSON has plain numbers for those of a library's own kind.
    return structure(RunResult, json.loads(json.dumps(fields)), f"result of {trainer}")


def _weights(model: Path) -> str | None:
    """The digest of a model; None, with a word, where there is none to be had."""
    try:
        return tree_digest(model).sha256 if model.is_dir() else None
    except UsageError as error:
        # What was trained is not lost for it; only it cannot be promoted as it is.
        print(f"warning: {error}", flush=True)  # noqa: T201
        return None


def _numbers(figures: Mapping[str, Any], trainer: str) -> dict[str, Any]:
    """The figures that are numbers, or can be taken for some."""
    good = {name: value for name, value in figures.items() if hasattr(value, "__float__")}
    for name in figures.keys() - good.keys():
        print(f"warning: {trainer}: {name} is {figures[name]!r}, no number", flush=True)  # noqa: T201
    return good


def predict(workspace: Workspace, run_id: str, dataset_key: str, generation: str) -> None:
    """Let a run's model answer a dataset."""
    config = structure(GenerationConfig, json.loads(generation), "generation config")
    run = created_run(workspace.paths, run_id)
    answer(workspace.paths, workspace.plugins, run, dataset_key, config)


def main(arguments: list[str]) -> int:
    """Run one job; returns the exit code."""
    stop_when_parent_dies()
    job, directory, *rest = arguments
    try:
        workspace = Workspace(Path(directory))
        jobs: dict[str, Callable[..., None]] = {"train": train, "join": join, "predict": predict}
        jobs[job](workspace, *rest)
    except TunixError as error:
        print(f"error: {error}", flush=True)  # noqa: T201 - standard output is the run's log
        return error.exit_code
    except Exception as error:
        if isinstance(error, AttributeError) and isinstance(error.obj, TrainJob | LoadRequest):
            # Written for a request that had other fields.
            print(f"error: {error} (see CHANGELOG.md for what it has)", flush=True)  # noqa: T201
            return 1
        print(_traceback(error), end="")  # noqa: T201
        print(f"error: {type(error).__name__}: {error}", flush=True)  # noqa: T201
        return 1
    return 0


def _traceback(error: Exception) -> str:
    """Where an error came from; files are named as they are imported, wherever that is."""
    text = "".join(traceback.format_exception(error))
    # An editable installation is on no path.
    directories = filter(None, [*sys.path, str(Path(__file__).parents[1])])
    for directory in sorted(directories, key=len, reverse=True):
        text = text.replace(f"{directory.rstrip('/')}/", "")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
