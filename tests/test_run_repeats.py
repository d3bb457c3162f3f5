"""A request that is made again is the same run: new, resumed, or as it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunix_core import Workspace
from tunix_core.errors import InvalidRecordError, NotFoundError, UsageError
from tunix_core.records import Run

SCRIPT = """
import json, sys
from tunix_core import Workspace
with Workspace(sys.argv[1]) as workspace:
    run = workspace.runs.create_or_resume(
        "numbers-v1", "counting", json.loads(sys.argv[2])
    )
    print(workspace.worker().execute(run.id).status)
"""
SETTINGS = {"steps": 10, "step_seconds": 0.1}
LONG = {"steps": 200, "step_seconds": 0.04}


def script(workspace: Workspace, settings: dict[str, float]) -> list[str]:
    """A process that asks for a run and executes it."""
    return [sys.executable, "-c", SCRIPT, str(workspace.paths.root), json.dumps(settings)]


def again(workspace: Workspace, **request: object) -> Run:
    return workspace.runs.create_or_resume("numbers-v1", "counting", SETTINGS, **request)  # type: ignore[arg-type]


def test_the_same_request_is_the_same_run(counting_workspace: Workspace) -> None:
    first = again(counting_workspace)
    assert first.status == "pending"
    assert again(counting_workspace, time_budget_s=9.0).id == first.id
    other = again(counting_workspace, seed=1)
    held_out = again(counting_workspace, eval_dataset_key="numbers-v1")
    assert len({first.id, other.id, held_out.id}) == 3
    assert len(counting_workspace.runs.list()) == 3


def test_the_same_data_under_another_key_is_the_same_run(counting_workspace: Workspace) -> None:
    first = again(counting_workspace)
    counting_workspace.datasets.build("copy", "v1")
    copy = counting_workspace.runs.create_or_resume("copy-v1", "counting", SETTINGS)
    assert copy.id == first.id


def test_a_completed_run_is_returned_as_it_is(counting_workspace: Workspace) -> None:
    ended = counting_workspace.worker().execute(again(counting_workspace, time_budget_s=0.2).id)
    assert ended.result is not None
    assert ended.result.stop_reason == "time_budget"
    assert again(counting_workspace, time_budget_s=9.0) == ended


def test_an_ended_run_goes_on_with_the_new_budget(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.cancel(again(counting_workspace, time_budget_s=0.2).id)
    assert run.status == "cancelled"
    resumed = again(counting_workspace, time_budget_s=60.0)
    assert (resumed.id, resumed.status, resumed.error) == (run.id, "pending", None)
    assert resumed.config.time_budget_s == 60.0
    done = counting_workspace.worker().execute(resumed.id)
    assert done.result is not None
    assert done.result.stop_reason == "completed"


def test_a_run_that_still_waits_gets_the_new_budget(counting_workspace: Workspace) -> None:
    again(counting_workspace, time_budget_s=1234.0)
    run = again(counting_workspace, time_budget_s=0.2)
    assert run.config.time_budget_s == 0.2
    described = counting_workspace.paths.run(run.id) / "run.json"
    assert json.loads(described.read_text())["config"]["time_budget_s"] == 0.2


def test_settings_of_execution_make_no_other_run(counting_workspace: Workspace) -> None:
    first = again(counting_workspace)
    rare = counting_workspace.runs.create_or_resume(
        "numbers-v1", "counting", {**SETTINGS, "checkpoint_every": 50}
    )
    assert rare.id == first.id
    assert rare.config.trainer is not None
    assert rare.config.trainer["checkpoint_every"] == 50
    more = counting_workspace.runs.create_or_resume(
        "numbers-v1", "counting", {**SETTINGS, "steps": 11}
    )
    assert more.id != first.id


@pytest.mark.parametrize("left_behind", [False, True])
def test_two_processes_that_ask_at_once_share_a_run(
    counting_workspace: Workspace, left_behind: bool
) -> None:
    if left_behind:
        counting_workspace.runs.cancel(again(counting_workspace).id)
    command = script(counting_workspace, SETTINGS)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in both] == ["completed\n"] * 2
    (run,) = counting_workspace.runs.list()
    assert run.token == 1, "one of them executed it, once"


@pytest.mark.full
def test_a_script_that_is_killed_goes_on_when_it_is_started_again(
    counting_workspace: Workspace, tmp_path: Path
) -> None:
    command = script(counting_workspace, LONG)
    killed = subprocess.Popen(command)
    steps: list[int] = []
    deadline = time.monotonic() + 60
    while len(steps) < 12:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        for run in counting_workspace.runs.list():
            steps = [line["step"] for line in counting_workspace.runs.metrics(run.id)]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "completed\n"
    (run,) = counting_workspace.runs.list()
    progress = counting_workspace.runs.progress(run.id)
    assert progress.resumed_from is not None
    assert progress.resumed_from >= 10
    assert [line["step"] for line in counting_workspace.runs.metrics(run.id)] == [*range(1, 201)]


def test_what_is_wrong_with_a_request_is_refused(counting_workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="dataset 'nothing-v1' not found"):
        counting_workspace.runs.create_or_resume("nothing-v1", "counting")
    with pytest.raises(UsageError, match="stepz"):
        counting_workspace.runs.create_or_resume("numbers-v1", "counting", {"stepz": 1})
    with pytest.raises(InvalidRecordError, match=r"\$\.seed: expected an integer"):
        again(counting_workspace, seed="7")
    assert counting_workspace.runs.list() == []
