"""A submission: a run's model in one folder, beside a manifest of how it was made."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from tunix_core.base.files import write_atomically
from tunix_core.codec import unstructure
from tunix_core.contributions import TRAINER
from tunix_core.errors import UsageError
from tunix_core.records import Evaluation, Run
from tunix_core.runs.folder import RunFolder
from tunix_core.workspace import Workspace

MANIFEST = "submission_manifest.json"


def write_submission(
    workspace: Workspace,
    run_id: str,
    target: Path,
    *,
    evaluations: Mapping[str, Sequence[Evaluation]] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Put what a run's trainer leaves, its model first, into a folder with a manifest.

    Files are linked where the disk allows it, so that they take no room twice. Done again, it
    replaces what it wrote.

    Args:
        workspace: The workspace of the run.
        run_id: A completed run.
        target: The folder; what else lies in it stays.
        evaluations: What the model was found to do, by a name such as ``after``.
        facts: What else the manifest shall say.

    Returns:
        The manifest: dataset hashes, configuration, outcome, hardware, scores and versions.

    Raises:
        NotFoundError: No such run.
        UsageError: The run has not completed, or its trainer is not installed.
    """
    run = workspace.runs.get(run_id)
    if run.status != "completed":
        raise UsageError(f"run {run.id} cannot be submitted: its status is {run.status}")
    folder = RunFolder(workspace.paths.run(run.id))
    for part in workspace.plugins.find(TRAINER, run.trainer).contribution.leaves:
        shutil.rmtree(target / part, ignore_errors=True)
        if (folder.path / part).is_dir():
            shutil.copytree(folder.path / part, target / part, copy_function=_link)
    last = _last_checkpoint(folder)
    manifest = {
        **(facts or {}),
        "run": {"id": run.id, "completed_at": run.completed_at, **(unstructure(run.result) or {})},
        "trainer": run.trainer,
        "config": unstructure(run.config),
        "datasets": _datasets(workspace, run),
        "checkpoint": last and last.relative_to(workspace.paths.root).as_posix(),
        "evaluations": {name: _scores(held) for name, held in (evaluations or {}).items()},
        "versions": _versions(),
    }
    target.mkdir(parents=True, exist_ok=True)
    path = target / MANIFEST
    write_atomically(path, json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return path


def _datasets(workspace: Workspace, run: Run) -> dict[str, dict[str, Any]]:
    names = {"train": "train", "eval": "held_out"}
    held = {use: workspace.datasets.manifest(key) for use, key in run.datasets.items()}
    return {
        names[use]: {"key": one.dataset_key, "sha256": one.sha256, "items": one.trace_count}
        for use, one in held.items()
    }


def _last_checkpoint(folder: RunFolder) -> Path | None:
    """The newest numbered checkpoint."""
    numbered = (path for path in folder.checkpoints.glob("*") if path.name.isdigit())
    return max(numbered, key=lambda path: int(path.name), default=None)


def _scores(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, Any]]:
    return {
        held.evaluator: {
            "score": held.score,
            "low": held.scorecard.overall.low,
            "high": held.scorecard.overall.high,
            "items": held.scorecard.overall.n,
            "dataset": held.dataset_key,
        }
        for held in evaluations
    }


def _versions() -> dict[str, str]:
    """Everything that is installed; what is broken beyond having a name is left out."""
    # The first of a name is the one that is imported.
    found = {held.name: held.version for held in reversed([*distributions()]) if held.name}
    return {"python": platform.python_version(), **found}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)
