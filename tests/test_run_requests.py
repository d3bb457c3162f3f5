"""Training requests as clients send them: stored unchecked, judged when executed; dry runs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tunix_core import Workspace
from tunix_core.contributions import TRAINER
from tunix_core.errors import ConfinementError, ConflictError, NotFoundError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.records import Run, TrainingRequest
from tunix_core.runs.folder import RunProgress
from tunix_core.runs.requests import (
    manifest_yaml,
    setting_names,
    training_manifest,
)
from tunix_core.runs.worker import Worker

REQUEST = TrainingRequest(dataset_key="numbers-v1", model_id="any", trainer="counting")


@pytest.fixture
def workspace(
    counting_workspace: Workspace, install_module: Callable[[str], None]
) -> Iterator[Workspace]:
    """A workspace with the counting and the scripted trainer and a dataset ``numbers-v1``."""
    install_module("scripted_trainer")
    with Workspace(counting_workspace.paths.root) as workspace:
        yield workspace


def execute(workspace: Workspace, **changes: Any) -> Run:
    run = workspace.runs.submit(evolve(REQUEST, **changes))
    assert run.status == "pending"
    return workspace.worker().execute(run.id)


def printed(workspace: Workspace, run: Run) -> str:
    return workspace.runs.output(run.id, 100_000).stdout


def test_a_request_is_trained_with_the_settings_that_its_fields_mean(
    workspace: Workspace,
) -> None:
    run = execute(
        workspace,
        trainer="scripted",
        num_epochs=7,
        learning_rate=0.25,
        settings={"code": "print(job.config.epochs, job.config.learning_rate, job.seed)"},
        seed=9,
    )
    assert (run.status, run.exit_code) == ("completed", 0)
    assert run.config.request is not None
    assert run.config.request.num_epochs == 7
    assert run.config.trainer is not None
    assert run.config.trainer["epochs"] == 7
    assert run.trainer == "scripted-trainer/scripted"
    assert run.model_id == "any"
    assert printed(workspace, run) == (
        "scripted-trainer/scripted has no setting for: "
        "model_id, weight_decay, batch_size, max_seq_length, device\n7 0.25 9\n"
    )


def test_own_settings_win_over_the_fields(workspace: Workspace) -> None:
    run = execute(workspace, trainer="scripted", num_epochs=7, settings={"epochs": 2})
    assert run.config.trainer is not None
    assert run.config.trainer["epochs"] == 2


def test_the_jax_trainer_obeys_every_field() -> None:
    assert setting_names(Plugins.discover().find(TRAINER, "jax")) == {
        "model_id": "model_id",
        "learning_rate": "learning_rate",
        "weight_decay": "weight_decay",
        "num_epochs": "epochs",
        "batch_size": "rows",
        "max_seq_length": "max_length",
        "device": "device",
    }


@pytest.mark.parametrize("mode", ["local", "dry-run"])
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"dataset_key": "nowhere"}, "dataset not found: 'nowhere'"),
        ({"dataset_key": "../numbers-v1"}, "dataset not found"),
        ({"eval_dataset_key": "nowhere"}, "dataset not found: 'nowhere'"),
        ({"trainer": "nobody"}, "no trainer is called 'nobody'"),
        ({"settings": {"stepz": 3}}, "stepz"),
        ({"settings": {"steps": "many"}}, "steps"),
    ],
)
def test_what_is_wrong_with_a_request_is_the_error_of_its_run(
    workspace: Workspace, mode: str, changes: dict[str, Any], error: str
) -> None:
    run = execute(workspace, mode=mode, **changes)
    assert (run.status, run.exit_code) == ("failed", None)
    assert error in str(run.error)
    assert run.completed_at is not None
    assert workspace.runs.output(run.id, 10_000).stderr == f"error: {run.error}\n"
    if mode == "dry-run" and "dataset" not in error:
        assert str(run.error).startswith("manifest generation error: ")


def test_a_request_that_was_wrong_is_right_when_its_dataset_is_there(
    workspace: Workspace,
) -> None:
    run = workspace.runs.submit(evolve(REQUEST, dataset_key="later-v1"))
    workspace.datasets.build("later", "v1")
    assert workspace.worker().execute(run.id).status == "completed"


def test_settings_that_were_refused_are_stored_once_they_are_accepted(
    counting_workspace: Workspace, install_module: Callable[[str], None]
) -> None:
    run = counting_workspace.runs.submit(evolve(REQUEST, trainer="scripted", num_epochs=4))
    assert run.config.trainer is None
    install_module("scripted_trainer")
    with Workspace(counting_workspace.paths.root) as again:
        done = again.worker().execute(run.id)
        assert (done.status, done.trainer) == ("completed", "scripted-trainer/scripted")
        assert done.config.trainer is not None
        assert done.config.trainer["epochs"] == 4


def test_a_dry_run_reports_what_would_be_trained_and_trains_nothing(
    workspace: Workspace,
) -> None:
    run = execute(workspace, mode="dry-run", output_dir="./output/mine")
    assert (run.status, run.exit_code, run.error) == ("completed", 0, None)
    report = printed(workspace, run)
    assert "dataset numbers-v1: 20 traces" in report
    assert "What follows" in report
    assert report.endswith("validation completed successfully\n")
    manifest = yaml.safe_load(report[report.index("version:") : report.index("template ")])
    assert manifest == training_manifest(evolve(REQUEST, output_dir="output/mine"))
    assert not (workspace.paths.run(run.id) / "model").exists()
    assert not workspace.paths.outputs.exists()


def test_a_dry_run_finds_changed_and_empty_data(workspace: Workspace) -> None:
    folder = workspace.paths.dataset("numbers-v1")
    data = (folder / "dataset.jsonl").read_bytes()
    (folder / "dataset.jsonl").write_bytes(data.replace(b"20", b"21"))
    changed = execute(workspace, mode="dry-run")
    assert str(changed.error).startswith("export validation error: dataset numbers-v1: ")
    (folder / "dataset.jsonl").write_bytes(b"")
    manifest = json.loads((folder / "manifest.json").read_text())
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    manifest |= {"trace_ids": [], "trace_count": 0, "sha256": empty}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert str(execute(workspace, mode="dry-run").error).startswith("empty dataset: numbers-v1")
    (folder / "manifest.json").write_text("{")
    broken = execute(workspace, mode="dry-run")
    assert (broken.status, broken.exit_code) == ("failed", None)
    assert str(broken.error).startswith("export validation error: ")


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    model=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    rate=finite,
    decay=st.floats(1e-300, 1),
)
def test_a_manifest_survives_yaml(model: str, rate: float, decay: float) -> None:
    request = evolve(REQUEST, model_id=model, learning_rate=rate, weight_decay=decay)
    manifest = training_manifest(request)
    read = yaml.safe_load(manifest_yaml(manifest))
    assert read == manifest
    assert list(read) == ["version", "runner", "mode", "model", "dataset", "training", "output"]
    assert isinstance(read["training"]["learning_rate"], float)


@pytest.mark.parametrize(
    ("output_dir", "kept", "link"),
    [
        ("mine", "mine", "mine"),
        ("./output/mine/", "output/mine", "mine"),
        ("outputs//a/./b", "outputs/a/b", "a/b"),
        ("output", "output", "output"),
    ],
)
def test_an_output_dir_is_a_link_to_the_run(
    workspace: Workspace, output_dir: str, kept: str, link: str
) -> None:
    first, second = (execute(workspace, output_dir=output_dir) for _ in range(2))
    assert first.output_dir == second.output_dir == kept
    place = workspace.paths.outputs / link
    assert not place.readlink().is_absolute()
    assert place.resolve() == workspace.paths.run(second.id)
    assert (place / "model").is_dir()
    assert [p.name for p in place.parent.iterdir()] == [place.name]
    assert workspace.runs.artifacts(first.id), "the earlier run is where it was"


@pytest.mark.parametrize(
    "output_dir",
    ["", ".", "/etc", "//etc", "../x", "a/../../x", "a/..", "a\0b", "x" * 300, "\udc80\ud800"],
)
def test_an_output_dir_that_leaves_its_root_is_refused(
    workspace: Workspace, output_dir: str
) -> None:
    with pytest.raises(UsageError, match="output_dir"):
        workspace.runs.submit(evolve(REQUEST, output_dir=output_dir))
    with pytest.raises(UsageError, match="output_dir"):
        workspace.runs.create("numbers-v1", "counting", output_dir=output_dir)
    assert workspace.runs.list() == []


def test_an_output_dir_takes_nothing_that_is_no_link_of_a_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    outputs = workspace.paths.outputs
    outputs.mkdir()
    (outputs / "folder").mkdir()
    (outputs / "file").write_text("mine")
    (outputs / "elsewhere").symlink_to(tmp_path)
    for output_dir in ("folder", "file", "file/below", "elsewhere/below"):
        with pytest.raises(ConflictError, match="output_dir"):
            workspace.runs.submit(evolve(REQUEST, output_dir=output_dir))
    assert workspace.runs.list() == []
    assert (outputs / "file").read_text() == "mine"
    assert not (tmp_path / "below").exists()


def test_the_files_of_a_run_are_listed_and_given(workspace: Workspace, tmp_path: Path) -> None:
    run = execute(workspace)
    folder = workspace.paths.run(run.id)
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    (folder / "inside").symlink_to("model/answer.json")
    os.mkfifo(folder / "pipe")
    listed = workspace.runs.artifacts(run.id)
    files = {file.path: file for file in listed if not file.path.startswith("tensorboard/")}
    assert list(files) == sorted(files)
    assert files.keys() == {
        "checkpoints/counts.json",
        "config.json",
        "inside",
        "log.jsonl",
        "metrics.jsonl",
        "model/answer.json",
        "progress.json",
        "result.json",
        "run.json",
    }
    answer = files["model/answer.json"]
    path = workspace.runs.artifact(run.id, answer.path)
    assert (answer.name, answer.size) == ("answer.json", len(path.read_bytes()))
    for escape in ("../../tunix.db", "/etc/passwd", "out", "folder/secret", "..", "model/../.."):
        with pytest.raises(ConfinementError, match="leaves"):
            workspace.runs.artifact(run.id, escape)
    for nothing in ("", ".", "model", "nothing", "lock", "loop", "pipe", "a\0b", "x" * 5000):
        with pytest.raises(NotFoundError, match="not found"):
            workspace.runs.artifact(run.id, nothing)
    with pytest.raises(NotFoundError):
        workspace.runs.artifacts("0" * 36)


def test_progress_is_told_while_a_run_trains(workspace: Workspace) -> None:
    settings = {"steps": 20, "step_seconds": 0.05}
    run = workspace.runs.create("numbers-v1", "counting", settings)
    assert workspace.runs.progress(run.id) == RunProgress()
    seen: list[RunProgress] = []
    workspace.worker().execute(run.id, lambda: seen.append(workspace.runs.progress(run.id)))
    steps = [progress.step for progress in seen if progress.step is not None]
    assert steps == sorted(steps)
    assert len(set(steps)) > 2
    assert workspace.runs.progress(run.id) == RunProgress(20, 20, 0, 1 / 20)


def test_executing_a_run_that_another_worker_has_waits_for_its_end(
    workspace: Workspace,
) -> None:
    settings = {"steps": 20, "step_seconds": 0.1}
    run = workspace.runs.create("numbers-v1", "counting", settings)
    ends: list[str] = []

    def wait() -> None:
        with Workspace(workspace.paths.root, workspace.plugins) as other:
            while other.runs.get(run.id).status == "pending":
                time.sleep(0.05)
            ends.append(other.worker().execute(run.id).status)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert workspace.worker().execute(run.id).status == "completed"
    waiting.join(20)
    assert ends == ["completed"]
    assert workspace.runs.get(run.id).token == 1


def test_a_worker_outlives_runs_that_go_wrong(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, lost, good = (workspace.runs.submit(REQUEST) for _ in range(3))
    log = workspace.paths.run(broken.id) / "log.jsonl"
    log.mkdir()
    for file in workspace.paths.run(lost.id).iterdir():
        file.unlink()
    workspace.paths.run(lost.id).rmdir()
    workspace.worker().work(once=True)
    assert workspace.runs.get(broken.id).status == "failed"
    assert "IsADirectoryError" in str(workspace.runs.get(broken.id).error)
    assert workspace.runs.get(lost.id).status == "failed"
    assert workspace.runs.get(good.id).status == "completed"
    assert "warning: worker " in capsys.readouterr().err


def test_a_worker_without_runs_asks_what_else_there_is_to_do(workspace: Workspace) -> None:
    made: list[str] = []

    def idle() -> bool:
        if len(made) == 2:
            return False
        made.append(workspace.runs.submit(REQUEST).id)
        return True

    runs, plugins, paths = workspace.runs, workspace.plugins, workspace.paths
    Worker(runs, plugins, paths, idle=idle).work(once=True)
    assert [workspace.runs.get(run_id).status for run_id in made] == ["completed"] * 2


def test_an_id_chosen_beforehand_is_the_id_of_one_run(workspace: Workspace) -> None:
    run_id = "3f2a8a0e-0000-4000-8000-000000000001"
    assert workspace.runs.create("numbers-v1", "counting", run_id=run_id).id == run_id
    with pytest.raises(ConflictError, match="exists"):
        workspace.runs.create("numbers-v1", "counting", run_id=run_id)
