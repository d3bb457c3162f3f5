"""``tunix-rt tune`` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_runs import wait_for
from tests.test_tuning import BY_LOSS, create
from tests.test_tuning_crashes import hasty
from tunix_core import Workspace


def tunix(workspace: Workspace, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace.paths.root)]
    done = subprocess.run(
        [*command, "tune", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def test_the_command_creates_executes_and_shows_a_job(
    counting_workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"steps": {"type": "choice", "values": [1]}}))
    options = ("--trainer", "counting", "--metric", "loss", "--mode", "min", "--samples", "3")
    made = tunix(
        counting_workspace,
        *("create", "counts", "--dataset", "numbers-v1", "--space", str(file), *options),
        *("--param", "steps=randint:2:9", "--param", "checkpoint_every=choice:3,7", "--json"),
    )
    job = json.loads(made.stdout)
    assert job["search_space"] == {
        "steps": {"type": "randint", "min": 2, "max": 9},
        "checkpoint_every": {"type": "choice", "values": [3, 7]},
    }
    done = tunix(counting_workspace, "start", job["id"][:8], "--wait", "--json")
    result = json.loads(done.stdout)
    assert (result["status"], len(result["trials"])) == ("completed", 3)
    assert done.stderr.startswith("tuning counts: 3 of 3 (")
    shown = tunix(counting_workspace, "show", job["id"]).stdout
    assert json.dumps(result["best_params"]) in shown
    assert result["best_run_id"][:8] in shown
    assert job["id"][:8] in tunix(counting_workspace, "list").stdout
    again = tunix(counting_workspace, "start", job["id"], code=2)
    assert "is completed (only created and failed jobs are started)" in again.stderr
    again = tunix(counting_workspace, "cancel", job["id"], code=2)
    assert "nothing to cancel" in again.stderr


@pytest.mark.parametrize(
    ("param", "problem"),
    [
        ("steps", "'steps' is not NAME=TYPE:..."),
        ("steps=uniform", "'steps=uniform' is not NAME=TYPE:..."),
        ("steps=choice:", "search_space.steps.values: must hold at least one value"),
        ("steps=uniform:2", "search_space.steps.max: is missing"),
        ("steps=uniform:2:1", "search_space.steps.max: must be greater than min (2.0), got 1.0"),
        ("steps=normal:2:1", "search_space.steps.type: must be one of choice, uniform"),
    ],
)
def test_the_command_says_what_is_wrong_with_a_parameter(
    counting_workspace: Workspace, param: str, problem: str
) -> None:
    arguments = ("create", "x", "--dataset", "numbers-v1", "--param", param)
    assert problem in tunix(counting_workspace, *arguments, code=2).stderr


def test_ctrl_c_puts_the_present_trial_back_and_a_worker_ends_the_job(
    counting_workspace: Workspace,
) -> None:
    slow = {"step_seconds": 0.2}
    space = {"steps": {"type": "randint", "min": 8, "max": 12}}
    job = create(counting_workspace, space, settings=slow, num_samples=2, **BY_LOSS)
    waiting = hasty(counting_workspace, "tune", "start", job.id, "--wait")
    wait_for(lambda: any(counting_workspace.runs.list(status="running")))
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    assert "is running; execute it with: tunix-rt worker" in err
    assert [run.status for run in counting_workspace.runs.list()] == ["pending"]
    counting_workspace.worker().work(once=True)
    assert counting_workspace.tuning.get(job.id).status == "completed"
