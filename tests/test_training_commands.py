"""What ``runs start``, ``resume``, ``show`` and ``join`` tell people, on a terminal and off one."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys

from tunix_core import Workspace

SLOW = ("--set", "steps=30", "--set", "step_seconds=0.1")


def tunix(
    workspace: Workspace, *arguments: str, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace.paths.root)]
    return subprocess.run(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def drawn_on_a_terminal(workspace: Workspace, *arguments: str, code: int = 0) -> str:
    """What a command that ends with ``code`` draws on the terminal that is its standard error."""
    ours, theirs = pty.openpty()
    done = tunix(workspace, *arguments, stderr=theirs)
    os.close(theirs)
    drawn = b""
    # Linux says by an error that the other end is closed.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            drawn += part
    os.close(ours)
    assert done.returncode == code, drawn
    return drawn.decode()


def fields(workspace: Workspace, run_id: str) -> dict[str, str]:
    """What ``runs show`` prints for people."""
    lines = tunix(workspace, "runs", "show", run_id).stdout.splitlines()[2:]
    return dict(line.split(maxsplit=1) for line in lines)


def test_show_tells_figures_timings_and_why_training_ended(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", {"steps": 8})
    assert not {"steps", "stop_reason"} & fields(counting_workspace, run.id).keys()
    counting_workspace.worker().execute(run.id)
    shown = fields(counting_workspace, run.id)
    assert (shown["stop_reason"], shown["steps"], shown["loss"]) == ("completed", "8", "0.125")
    assert float(shown["seconds"]) > 0


def test_a_time_budget_is_told_and_a_resumed_bar_goes_on(counting_workspace: Workspace) -> None:
    start = ("runs", "start", "numbers-v1", "--trainer", "counting", "--time-budget", "1s")
    begun = tunix(counting_workspace, *start, *SLOW)
    assert begun.returncode == 0, begun.stderr
    (run,) = counting_workspace.runs.list()
    assert run.result is not None
    before = run.result.steps
    shown = fields(counting_workspace, run.id)
    assert (shown["status"], shown["stop_reason"]) == ("completed", "time_budget")
    # Off a terminal: the run, then one line for the whole of training.
    first, second = begun.stderr.splitlines()
    assert first == f"run {run.id}"
    assert re.match(rf"training: {before} of 30, loss \d\.\d+", second)

    drawn = drawn_on_a_terminal(counting_workspace, "runs", "resume", run.id)
    places = [int(place) for place in re.findall(r"(\d+)/30", drawn)]
    assert places == sorted(places)
    assert places[0] == before, "the bar starts where training does"
    assert re.search(r"0:00:\d\d left", drawn), "the time left is told"


def test_a_request_that_is_made_again_is_the_same_run(counting_workspace: Workspace) -> None:
    start = ("runs", "start", "numbers-v1", "--trainer", "counting", "--or-resume", "--json")
    failing = ("--set", "steps=8", "--set", "fail_at=7")
    begun = tunix(counting_workspace, *start, *failing)
    (run,) = counting_workspace.runs.list()
    assert (begun.returncode, run.status) == (1, "failed")

    # It goes on where it was, and fails there again.
    again = tunix(counting_workspace, *start, *failing)
    assert again.returncode == 1
    assert f"run {run.id}" in again.stderr.splitlines()[0]
    assert [run.id] == [held.id for held in counting_workspace.runs.list()]
    assert counting_workspace.runs.progress(run.id).resumed_from == 5

    whole = [tunix(counting_workspace, *start, "--set", "steps=8") for _ in range(2)]
    assert [done.returncode for done in whole] == [0, 0], whole[1].stderr
    first, second = (json.loads(done.stdout) for done in whole)
    assert first["id"] != run.id
    assert second == first, "what has completed is as it was"
    assert len(counting_workspace.runs.list()) == 2


def test_a_dry_run_is_not_resumed(counting_workspace: Workspace) -> None:
    start = ("runs", "start", "numbers-v1", "--trainer", "counting", "--or-resume", "--dry-run")
    done = tunix(counting_workspace, *start)
    assert (done.returncode, done.stdout) == (2, "")
    expected = "error: --or-resume and --dry-run exclude each other (leave one out)\n"
    assert done.stderr == expected
    assert counting_workspace.runs.list() == []


def test_the_bar_of_a_new_attempt_ignores_what_an_earlier_one_left(
    counting_workspace: Workspace,
) -> None:
    settings = {"steps": 9, "fail_at": 9, "step_seconds": 0.2}
    run = counting_workspace.runs.create("numbers-v1", "counting", settings)
    counting_workspace.worker().execute(run.id)
    # It recorded 8 steps and kept 5; that is what lies there when the next attempt starts.
    drawn = drawn_on_a_terminal(counting_workspace, "runs", "resume", run.id, code=1)
    places = [int(place) for place in re.findall(r"(\d+)/9", drawn)]
    assert places[0] == 5
    assert places == sorted(places)
    assert places[-1] == 8


def test_another_host_joins_by_a_command(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", {"steps": 2})
    done = tunix(counting_workspace, "runs", "join", run.id[:8])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"joining run {run.id}\n")
    assert list(counting_workspace.runs.metrics(run.id)) == []
    counting_workspace.worker().execute(run.id)
    refused = tunix(counting_workspace, "runs", "join", run.id)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(f"error: run {run.id} has ended (resume it")
    for unknown in ("0000", "../x"):
        assert "not found" in tunix(counting_workspace, "runs", "join", unknown).stderr


def test_a_dry_run_prints_its_report_or_what_is_wrong(counting_workspace: Workspace) -> None:
    start = ("runs", "start", "numbers-v1", "--trainer", "counting", "--dry-run")
    done = tunix(counting_workspace, *start)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("validation completed successfully\n")
    (run,) = counting_workspace.runs.list(mode="dry-run")
    assert tunix(counting_workspace, "runs", "logs", run.id).stdout == done.stdout
    data = counting_workspace.paths.dataset("numbers-v1") / "dataset.jsonl"
    data.write_bytes(b"changed")
    wrong = tunix(counting_workspace, *start)
    assert wrong.returncode == 1
    assert "ended as failed: export validation error: dataset numbers-v1: " in wrong.stderr


def test_a_run_is_found_by_its_output_dir_and_its_files_are_listed(
    counting_workspace: Workspace,
) -> None:
    start = ("runs", "start", "numbers-v1", "--trainer", "counting", "--output-dir", "mine/first")
    done = tunix(counting_workspace, *start)
    assert done.returncode == 0, done.stderr
    assert (counting_workspace.paths.root / "outputs/mine/first/model/answer.json").exists()
    (run,) = counting_workspace.runs.list()
    assert fields(counting_workspace, run.id)["output_dir"] == "mine/first"
    listed = tunix(counting_workspace, "runs", "artifacts", run.id).stdout
    size = (counting_workspace.paths.run(run.id) / "model/answer.json").stat().st_size
    assert re.search(rf"^model/answer.json +{size}$", listed, re.MULTILINE)
    refused = tunix(counting_workspace, *start[:-1], "/tmp/elsewhere")  # noqa: S108
    assert refused.returncode == 2
    assert "output_dir" in refused.stderr


def test_logs_are_followed_to_the_end_of_a_run(counting_workspace: Workspace) -> None:
    settings = {"steps": 20, "step_seconds": 0.1, "fail_at": 20}
    run = counting_workspace.runs.create("numbers-v1", "counting", settings)
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace"]
    command += [str(counting_workspace.paths.root), "runs", "logs", "-f", run.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as follower:
        counting_workspace.worker().execute(run.id)
        printed, _ = follower.communicate(timeout=60)
    assert printed == "error: the loss is not a number (step 20)\n"
