"""What lies in a run's directory: whole whenever it is read, and named when it is damaged."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from attrs import evolve

from tunix_core import Workspace
from tunix_core.codec import unstructure
from tunix_core.errors import IntegrityError, TunixError
from tunix_core.records import Run, TrainingRequest
from tunix_core.runs import joining
from tunix_core.runs.folder import RunFolder, RunProgress

REQUEST = TrainingRequest(dataset_key="numbers-v1", model_id="any", trainer="scripted")


@pytest.fixture
def workspace(
    counting_workspace: Workspace, install_module: Callable[[str], None]
) -> Iterator[Workspace]:
    """A workspace with the counting and the scripted trainer and a dataset ``numbers-v1``."""
    install_module("scripted_trainer")
    with Workspace(counting_workspace.paths.root) as workspace:
        yield workspace


def execute(workspace: Workspace, code: str) -> Run:
    run = workspace.runs.create("numbers-v1", "scripted", {"code": code})
    return workspace.worker().execute(run.id)


def test_what_was_asked_for_and_what_it_came_to_are_told_apart(workspace: Workspace) -> None:
    run = workspace.runs.create("numbers-v1", "counting", {"steps": 12})
    assert run.config.requested == {"steps": 12}
    assert run.config.trainer == {
        "steps": 12,
        "step_seconds": 0.0,
        "fail_at": None,
        "enough_at": None,
        "checkpoint_every": 5,
        "echo": False,
    }
    folder = RunFolder(workspace.paths.run(run.id))
    assert folder.run() == workspace.runs.get(run.id) == run
    alone = json.loads((folder.path / "config.json").read_text())
    assert alone == unstructure(run.config)


def test_a_run_is_described_whole_whenever_it_is_read(workspace: Workspace) -> None:
    def ask(budget: float) -> Run:
        return workspace.runs.create_or_resume(
            "numbers-v1", "counting", {"steps": 12}, time_budget_s=budget
        )

    folder = workspace.paths.run(ask(1.0).id)
    over = threading.Event()
    torn: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not over.is_set():
            for name in ("run.json", "config.json"):
                text = (folder / name).read_text()
                reads += 1
                try:
                    json.loads(text)
                except ValueError:
                    torn.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for budget in range(2, 102):
            ask(float(budget))
    finally:
        over.set()
        reader.join()
    assert reads > 100
    assert torn == []


@pytest.mark.parametrize("content", [b"", b'{"total_st', b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_file_is_named(workspace: Workspace, content: bytes) -> None:
    runs = workspace.runs
    run = runs.create("numbers-v1", "counting", {"steps": 3})
    assert runs.progress(run.id) == RunProgress()
    workspace.worker().execute(run.id)
    folder = workspace.paths.run(run.id)
    for name, look in (
        ("progress.json", lambda: runs.progress(run.id)),
        ("metrics.jsonl", lambda: list(runs.metrics(run.id))),
        ("result.json", lambda: joining.join(workspace.paths, run.id)),
        ("run.json", lambda: joining.created_run(workspace.paths, run.id)),
    ):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b"\n")
        with pytest.raises(IntegrityError, match=f"runs/{run.id}/{name} is damaged"):
            look()
        assert [held.id for held in runs.list()] == [run.id]
        (folder / name).write_bytes(kept)
    assert runs.progress(run.id) == RunProgress(3, 3, 0, 1 / 3)


def test_a_run_whose_result_is_damaged_fails_and_names_it(workspace: Workspace) -> None:
    code = 'import os; (job.output_dir / "result.json").touch(); os._exit(0)'
    run = execute(workspace, code)
    assert run.status == "failed"
    assert f"runs/{run.id}/result.json is damaged" in str(run.error)


def test_figures_that_a_trainer_may_not_return_are_refused(workspace: Workspace) -> None:
    run = execute(workspace, 'reporter.stop_reason = lambda: "bored"')
    assert run.status == "failed"
    assert "invalid result of scripted-trainer/scripted: $.stop_reason: must be" in str(run.error)


def test_a_further_host_waits_for_settings_to_be_accepted(
    counting_workspace: Workspace,
) -> None:
    run = counting_workspace.runs.submit(evolve(REQUEST, trainer="counting", settings={"no": 1}))
    assert run.config.trainer is None
    with pytest.raises(TunixError, match="have not been accepted yet"):
        joining.join(counting_workspace.paths, run.id)


def test_settings_that_an_earlier_workspace_has_not_accepted_are_asked_for_again(
    counting_workspace: Workspace, install_module: Callable[[str], None]
) -> None:
    run = counting_workspace.runs.submit(evolve(REQUEST, num_epochs=4, settings={"code": "1"}))
    with closing(sqlite3.connect(counting_workspace.paths.database)) as connection:
        (text,) = connection.execute("SELECT config FROM runs").fetchone()
        stored = json.loads(text)
        del stored["requested"]
        connection.execute("UPDATE runs SET config = ?", (json.dumps(stored | {"trainer": {}}),))
        connection.execute(
            "DELETE FROM _sqlite_migrations WHERE name = 'settings_not_yet_accepted'"
        )
        connection.execute("PRAGMA user_version = 0")
        connection.commit()
    install_module("scripted_trainer")
    with Workspace(counting_workspace.paths.root) as again:
        assert again.runs.get(run.id).config == run.config
        done = again.worker().execute(run.id)
        assert done.status == "completed"
        assert done.config.trainer == {"code": "1", "epochs": 4, "learning_rate": 2e-5}


def test_a_run_written_down_by_an_earlier_version_is_read(workspace: Workspace) -> None:
    run = workspace.runs.create("numbers-v1", "counting", {"steps": 2})
    path = workspace.paths.run(run.id) / "run.json"
    written = json.loads(path.read_text())
    del written["config"]["requested"]
    path.write_text(json.dumps(written))
    read = joining.created_run(workspace.paths, run.id)
    assert read == evolve(run, config=evolve(run.config, requested=None))
