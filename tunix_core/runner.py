"""The child process in which models run: ``python -m tunix_core.runner train|predict ...``.

It stops at once when its parent ends, and at the next step, with a checkpoint, on SIGTERM. What
it prints goes to the run's log; its last line is the error that people see.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tunix_core.codec import structure
from tunix_core.errors import TunixError
from tunix_core.files import write_atomically
from tunix_core.processes import FileLock, stop_when_parent_dies
from tunix_core.protocols import GenerationConfig, Trainer, TrainJob
from tunix_core.reporter import RunReporter
from tunix_core.workspace import Workspace


def train(workspace: Workspace, run_id: str) -> None:
    """Execute a run; its outcome is left in ``result.json``."""
    run = workspace.runs.get(run_id)
    config = workspace.runs.config(run)
    folder = workspace.paths.run(run.id)
    provided = workspace.plugins.find("trainer", run.trainer)
    reporter = RunReporter(run.id, folder, workspace.plugins, config.time_budget_s)
    signal.signal(signal.SIGTERM, lambda *_: reporter.terminate())
    datasets = workspace.datasets
    for key in (run.dataset_key, config.eval_dataset_key):
        if key is not None:
            datasets.verify(key)
    job = TrainJob(
        run_id=run.id,
        train_data=datasets.data_path(run.dataset_key),
        eval_data=(
            None if config.eval_dataset_key is None else datasets.data_path(config.eval_dataset_key)
        ),
        output_dir=folder,
        config=provided.config(config.trainer),
        template=config.template,
        seed=config.seed,
        resume=True,
    )
    with FileLock(folder / "lock"):
        (folder / "result.json").unlink(missing_ok=True)
        trainer = provided.create()
        assert isinstance(trainer, Trainer)  # noqa: S101 - checked by the plugin manager
        result = trainer.fit(job, reporter)
        outcome = {
            "steps": result.steps,
            "tokens": result.tokens,
            "stop_reason": result.stop_reason,
            "metrics": dict(result.metrics),
        }
        write_atomically(folder / "result.json", json.dumps(outcome) + "\n")


def predict(workspace: Workspace, run_id: str, dataset_key: str, generation: str) -> None:
    """Let a run's model answer a dataset."""
    config = structure(GenerationConfig, json.loads(generation), "generation config")
    workspace.predictions.write(run_id, dataset_key, config)


def main(arguments: list[str]) -> int:
    """Run one job; returns the exit code."""
    stop_when_parent_dies()
    job, directory, *rest = arguments
    try:
        workspace = Workspace(Path(directory))
        jobs: dict[str, Callable[..., None]] = {"train": train, "predict": predict}
        jobs[job](workspace, *rest)
    except TunixError as error:
        print(f"error: {error}", flush=True)  # noqa: T201 - standard output is the run's log
        return error.exit_code
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        print(f"error: {type(error).__name__}: {error}", flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
