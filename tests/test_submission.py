"""The folder that is handed in: what is in it, and what its manifest says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunix_core import Workspace
from tunix_core.codec import unstructure
from tunix_core.errors import UsageError
from tunix_core.submission import write_submission


def test_a_submission_says_how_its_model_was_made(
    counting_workspace: Workspace, tmp_path: Path
) -> None:
    run = counting_workspace.runs.create(
        "numbers-v1", "counting", {"steps": 7}, eval_dataset_key="numbers-v1"
    )
    run = counting_workspace.worker().execute(run.id)
    target = tmp_path / "out" / "submission"
    write_submission(counting_workspace, run.id, target)
    counting_workspace.predictions.create(run.id, "numbers-v1")
    evaluations = counting_workspace.evaluations.run(run.id, "numbers-v1")
    path = write_submission(
        counting_workspace,
        run.id,
        target,
        evaluations={"after": evaluations},
        facts={"mode": "full"},
    )
    manifest = json.loads(path.read_text())
    sha256 = counting_workspace.datasets.manifest("numbers-v1").sha256
    held = {"key": "numbers-v1", "sha256": sha256, "items": 20}
    assert manifest["mode"] == "full"
    assert manifest["datasets"] == {"train": held, "held_out": held}
    assert manifest["config"] == unstructure(run.config)
    assert manifest["run"]["steps"] == 7
    assert manifest["checkpoint"] is None, "this trainer's checkpoint has no number"
    judged = manifest["evaluations"]["after"]["tunix-core/answer_correctness"]
    assert (judged["score"], judged["items"]) == (evaluations[0].score, 20)
    assert {"python", "tunix-core", "counting-trainer"} <= manifest["versions"].keys()
    assert str(counting_workspace.paths.root) not in path.read_text()

    model = counting_workspace.paths.run(run.id) / "model" / "answer.json"
    assert (target / "model" / "answer.json").samefile(model), "linked, not copied"
    assert not (target / "adapter").exists()


def test_only_a_completed_run_is_handed_in(counting_workspace: Workspace, tmp_path: Path) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting")
    with pytest.raises(UsageError, match="cannot be submitted: its status is pending"):
        write_submission(counting_workspace, run.id, tmp_path / "submission")
    assert not (tmp_path / "submission").exists()
