"""What several pages show of runs and datasets."""

from __future__ import annotations

from typing import Any

from tunix_core import Workspace
from tunix_core.datasets.files import MANIFEST
from tunix_core.errors import IntegrityError, NotFoundError
from tunix_core.evaluation.basis import settings_text, training_text
from tunix_core.records import TERMINAL_STATUSES, Evaluation, Run
from tunix_core.rich.readable import coverage
from tunix_core.runs.folder import RunProgress

EXCERPT_CHARS = 140


def dataset_keys(workspace: Workspace) -> list[str]:
    """The keys of all datasets, sorted; their manifests, which may be large, are not read."""
    found = workspace.paths.datasets.glob(f"*/{MANIFEST}")
    return sorted(path.parent.name for path in found)


def question(workspace: Workspace, item_id: str) -> str | None:
    """The beginning of an item's prompt; None where the dataset alone holds the trace."""
    try:
        return workspace.traces.get(item_id).trace.prompt[:EXCERPT_CHARS]
    except NotFoundError:
        return None


def run_row(workspace: Workspace, held: Run) -> dict[str, Any]:
    """A run in a list."""
    active = held.status not in TERMINAL_STATUSES
    return {
        "id": held.id,
        "status": held.status,
        "mode": held.mode,
        "model_id": held.model_id,
        "trainer": held.trainer,
        "dataset_key": held.dataset_key,
        "created_at": held.created_at,
        "seconds": held.seconds,
        "steps": held.result and held.result.steps,
        "loss": held.result and held.result.metrics.get("loss"),
        "error": held.error,
        "progress": _progress(workspace, held) if active else None,
    }


def evaluation_row(run: Run, held: Evaluation, outdated: str | None = None) -> dict[str, Any]:
    """An evaluation in a list.

    Args:
        run: The run that was judged.
        held: Its evaluation.
        outdated: Why it no longer holds, where it does not.
    """
    return {
        "evaluation_id": held.id,
        "run_id": held.run_id,
        "model_id": run.model_id,
        "evaluator": held.evaluator,
        "dataset_key": held.dataset_key,
        "estimate": held.scorecard.overall,
        "coverage": coverage(held.scorecard),
        "metrics": held.scorecard.metrics,
        "created_at": held.created_at,
        "settings": settings_text(held.basis),
        "remarks": [remark for remark in (training_text(held), outdated) if remark is not None],
    }


def _progress(workspace: Workspace, held: Run) -> RunProgress | None:
    """How far a run is; None where that cannot be read, so that the others are shown."""
    try:
        return workspace.runs.progress(held.id)
    except IntegrityError:
        return None
