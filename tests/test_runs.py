"""Runs through the public door: real child processes, real signals."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from tests.conftest import lose_lease
from tunix_core import Workspace
from tunix_core.codec import unstructure
from tunix_core.errors import (
    ConflictError,
    InvalidRecordError,
    NotFoundError,
    TunixError,
    UsageError,
)
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Run
from tunix_core.runs import joining
from tunix_core.runs.log import RunLog

# Makes every change of a run fail as if the disk did.
FAILING = "CREATE TRIGGER failing BEFORE UPDATE ON runs BEGIN SELECT json('no JSON'); END"
SLOW = {"steps": 400, "step_seconds": 0.05}


def start(workspace: Workspace, settings: Mapping[str, object], **options: object) -> Run:
    run = workspace.runs.create("numbers-v1", "counting", settings, **options)  # type: ignore[arg-type]
    return workspace.worker().execute(run.id)


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def model(workspace: Workspace, run: Run) -> object:
    return json.loads((workspace.paths.run(run.id) / "model" / "answer.json").read_text())


def losses(workspace: Workspace, run: Run) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in workspace.runs.metrics(run.id)]


def detached_worker(workspace: Workspace) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace.paths.root)]
    return subprocess.Popen([*command, "worker"], stderr=subprocess.DEVNULL)


def test_a_run_completes_with_metrics_log_and_model(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, {"steps": 12})
    assert (run.status, run.exit_code, run.error) == ("completed", 0, None)
    assert run.result is not None
    assert run.result.steps == 12
    assert losses(counting_workspace, run) == [(n, 1.0 / n) for n in range(1, 13)]
    assert run.plugins["counting-trainer"] == "1.0"
    assert run.config.trainer is not None
    assert run.config.trainer["checkpoint_every"] == 5, "defaults are stored resolved"
    assert counting_workspace.runs.get(run.id[:8]) == run


def test_the_same_seed_gives_the_same_model(counting_workspace: Workspace) -> None:
    first, second = (start(counting_workspace, {"steps": 7}, seed=3) for _ in range(2))
    assert model(counting_workspace, first) == model(counting_workspace, second)


def test_a_failing_run_says_why(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, {"steps": 9, "fail_at": 4})
    assert run.status == "failed"
    assert run.error == "the loss is not a number (step 4)"


def test_a_time_budget_ends_in_a_usable_model(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, SLOW, time_budget_s=0.5)
    assert run.status == "completed"
    assert run.result is not None
    assert run.result.stop_reason == "time_budget"
    assert 0 < run.result.steps < 400
    counting_workspace.predictions.create(run.id, "numbers-v1")


def test_a_run_whose_time_budget_ran_out_goes_on_with_another(
    counting_workspace: Workspace,
) -> None:
    uninterrupted = start(counting_workspace, {"steps": 30}, seed=5)
    slow = {"steps": 30, "step_seconds": 0.12}
    run = start(counting_workspace, slow, seed=5, time_budget_s=2.5)
    predictions = counting_workspace.predictions
    early = predictions.create(run.id, "numbers-v1")
    sessions = 1
    # The last step may be the one at which the time is up.
    while run.result is not None and (steps := run.result.steps) < 30:
        assert run.result.stop_reason == "time_budget"
        assert run.status == "completed"
        counting_workspace.runs.resume(run.id)
        run = counting_workspace.worker().execute(run.id)
        assert run.result is not None
        assert run.result.steps > steps
        sessions += 1
    assert sessions > 1
    assert model(counting_workspace, run) == model(counting_workspace, uninterrupted)
    assert losses(counting_workspace, run) == losses(counting_workspace, uninterrupted)
    late = predictions.create(run.id, "numbers-v1")
    assert late == predictions.create(run.id, "numbers-v1")
    assert [c.text for c in late.completions] == [
        c.text for c in predictions.create(uninterrupted.id, "numbers-v1").completions
    ]
    kept = counting_workspace.paths.run(run.id) / "predictions-before-1" / "numbers-v1"
    assert len((kept / "predictions.jsonl").read_text().splitlines()) == len(early.completions)
    with pytest.raises(ConflictError, match="is completed"):
        counting_workspace.runs.resume(run.id)


def test_a_budget_that_ends_with_the_last_step_leaves_nothing_to_resume(
    counting_workspace: Workspace,
) -> None:
    run = start(counting_workspace, {"steps": 1, "step_seconds": 0.3}, time_budget_s=0.1)
    assert run.result is not None
    assert (run.result.steps, run.result.stop_reason) == (1, "time_budget")
    with pytest.raises(ConflictError, match="out of time budget"):
        counting_workspace.runs.resume(run.id)


def test_stopping_early_completes_a_run(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, {"steps": 30, "enough_at": 4})
    assert (run.status, run.error) == ("completed", None)
    assert run.result is not None
    assert (run.result.steps, run.result.stop_reason) == (4, "early_stopping")
    with pytest.raises(ConflictError, match="is completed"):
        counting_workspace.runs.resume(run.id)


def test_figures_of_the_clock_are_kept_apart(counting_workspace: Workspace) -> None:
    first, second = (start(counting_workspace, {"steps": 3}) for _ in range(2))
    assert first.result is not None
    assert second.result is not None
    assert first.result.metrics == second.result.metrics == {"loss": 1 / 3}
    assert unstructure(first.result).keys() == {
        "steps",
        "tokens",
        "stop_reason",
        "metrics",
        "timings",
        "hardware",
        "weights_sha256",
    }
    assert first.result.timings["seconds"] != second.result.timings["seconds"]


def test_a_further_host_trains_and_leaves_the_run_to_the_first(
    counting_workspace: Workspace,
) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", {"steps": 12}, seed=3)
    folder = counting_workspace.paths.run(run.id)
    database = counting_workspace.paths.database
    counting_workspace.close()
    # Another host could not use the database: it does without.
    database.rename(database.with_suffix(".away"))
    joining.join(counting_workspace.paths, run.id)
    assert not database.exists()
    database.with_suffix(".away").rename(database)
    assert model(counting_workspace, run), "it trained"
    (log,) = folder.glob("log-*.jsonl")
    assert [c.chunk for c in RunLog(log).read()] == [f"counting along for {run.id}\n"]
    assert {path.name for path in folder.iterdir()} - {log.name} == {
        "checkpoints",
        "config.json",
        "model",
        "run.json",
    }
    with Workspace(counting_workspace.paths.root) as again:
        assert again.runs.get(run.id) == run


def test_a_further_host_joins_while_the_first_trains(counting_workspace: Workspace) -> None:
    runs = counting_workspace.runs
    settings = {"steps": 20, "step_seconds": 0.2, "checkpoint_every": 100}
    run = runs.create("numbers-v1", "counting", settings)
    joined: list[str] = []

    def join() -> None:
        if not joined and losses(counting_workspace, run):
            joined.append(run.id)
            joining.join(counting_workspace.paths, run.id)

    ended = counting_workspace.worker().execute(run.id, join)
    assert joined
    assert (ended.status, ended.error) == ("completed", None)
    assert [step for step, _ in losses(counting_workspace, run)] == list(range(1, 21))
    with pytest.raises(ConflictError, match="then join"):
        joining.join(counting_workspace.paths, run.id)


def test_a_further_host_that_fails_says_why(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", {"fail_at": 2})
    with pytest.raises(TunixError, match=r"the loss is not a number \(step 2\)"):
        joining.join(counting_workspace.paths, run.id)
    assert counting_workspace.runs.get(run.id).status == "pending"


def test_a_time_limit_ends_as_timeout_and_resumes(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.create(
        "numbers-v1", "counting", {"steps": 40, "step_seconds": 0.1}
    )
    ended = counting_workspace.worker(time_limit_s=1.5).execute(run.id)
    assert ended.status == "timeout"
    assert ended.error is not None
    assert "time limit of 2 s reached, stopped at step" in ended.error
    counting_workspace.runs.resume(run.id)
    assert counting_workspace.worker().execute(run.id).status == "completed"


def test_a_cancelled_run_keeps_a_checkpoint_and_resumes_to_the_same_end(
    counting_workspace: Workspace,
) -> None:
    uninterrupted = start(counting_workspace, {"steps": 30})
    run = counting_workspace.runs.create(
        "numbers-v1", "counting", {"steps": 30, "step_seconds": 0.1}
    )

    asked: list[str] = []

    def cancel_after_a_few_steps() -> None:
        if not asked and len(losses(counting_workspace, run)) >= 7:
            asked.append(counting_workspace.runs.cancel(run.id).id)

    ended = counting_workspace.worker().execute(run.id, cancel_after_a_few_steps)
    assert ended.status == "cancelled"
    assert ended.error is not None
    assert "with a checkpoint" in ended.error
    counting_workspace.runs.resume(run.id)
    resumed = counting_workspace.worker().execute(run.id)
    assert resumed.status == "completed"
    assert model(counting_workspace, resumed) == model(counting_workspace, uninterrupted)
    assert losses(counting_workspace, resumed) == losses(counting_workspace, uninterrupted)


def test_a_run_that_is_taken_for_abandoned_meanwhile_completes_all_the_same(
    counting_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunix_core.runs.worker.HEARTBEAT_S", 0.1)
    settings = {"steps": 10, "step_seconds": 0.2}
    run = counting_workspace.runs.create("numbers-v1", "counting", settings)
    seen: list[str] = []

    def sleep() -> None:
        if len(losses(counting_workspace, run)) > len(seen):
            lose_lease(counting_workspace, run.id)
            seen.append(counting_workspace.runs.get(run.id).status)

    ended = counting_workspace.worker().execute(run.id, sleep)
    assert (ended.status, ended.error, ended.token) == ("completed", None, 1)
    assert len(seen) > 4
    assert set(seen) == {"failed"}


def test_a_run_that_is_slow_to_stop_is_not_taken_for_abandoned(
    counting_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunix_core.runs.service.LEASE_S", 1.0)
    monkeypatch.setattr("tunix_core.runs.worker.HEARTBEAT_S", 0.2)
    run = counting_workspace.runs.create("numbers-v1", "counting", {"steps": 9, "step_seconds": 4})
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        with Workspace(counting_workspace.paths.root) as other:
            while not over.is_set():
                seen.add(other.runs.get(run.id).status)
                time.sleep(0.1)

    def cancel() -> None:
        begun = (counting_workspace.paths.run(run.id) / "progress.json").exists()
        if begun and counting_workspace.runs.get(run.id).status == "running":
            counting_workspace.runs.cancel(run.id)

    onlooker = threading.Thread(target=look)
    onlooker.start()
    try:
        ended = counting_workspace.worker().execute(run.id, cancel)
    finally:
        over.set()
        onlooker.join()
    assert ended.status == "cancelled"
    assert "with a checkpoint" in str(ended.error)
    assert seen <= {"pending", "running", "cancel_requested", "cancelled"}


def test_a_run_that_is_cancelled_while_its_worker_stops_is_not_put_back(
    counting_workspace: Workspace,
) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", SLOW)
    worker = counting_workspace.worker()

    def cancel_and_stop() -> None:
        if losses(counting_workspace, run) and not worker.stopping:
            counting_workspace.runs.cancel(run.id)
            worker.stop()

    worker.execute(run.id, cancel_and_stop)
    ended = counting_workspace.runs.get(run.id)
    assert ended.status == "cancelled"
    assert ended.completed_at is not None
    assert ended.error is not None


def test_a_database_that_cannot_be_written_to_for_a_while_ends_no_training(
    counting_workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tunix_core.runs.worker.HEARTBEAT_S", 0.2)
    run = counting_workspace.runs.create("numbers-v1", "counting", {"steps": 8, "step_seconds": 1})

    def hold() -> None:
        held = 2 <= len(losses(counting_workspace, run)) < 6
        with closing(sqlite3.connect(counting_workspace.paths.database)) as database:
            database.execute("DROP TRIGGER IF EXISTS failing")
            if held:
                database.execute(FAILING)

    assert counting_workspace.worker().execute(run.id, hold).status == "completed"
    assert "cannot write to the database" in capsys.readouterr().err


def test_cancelling_a_pending_run_ends_it_at_once(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting")
    assert counting_workspace.runs.cancel(run.id).status == "cancelled"
    with pytest.raises(ConflictError, match="nothing to cancel"):
        counting_workspace.runs.cancel(run.id)
    assert counting_workspace.runs.claim("nobody") is None


def test_when_the_worker_is_killed_its_runner_dies_and_the_run_is_marked(
    counting_workspace: Workspace,
) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", SLOW)
    worker = detached_worker(counting_workspace)
    wait_for(lambda: len(losses(counting_workspace, run)) > 5)
    worker.kill()
    worker.wait()
    time.sleep(0.5)
    seen = len(losses(counting_workspace, run))
    time.sleep(0.5)
    assert len(losses(counting_workspace, run)) == seen, "the runner outlived its worker"
    assert counting_workspace.runs.get(run.id).status == "running", "its lease has not run out"
    lose_lease(counting_workspace, run.id)
    ended = counting_workspace.runs.get(run.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert "tunix-rt runs resume" in ended.error


def test_a_stopped_worker_puts_its_run_back(counting_workspace: Workspace) -> None:
    run = counting_workspace.runs.create(
        "numbers-v1", "counting", {"steps": 60, "step_seconds": 0.05}
    )
    worker = detached_worker(counting_workspace)
    wait_for(lambda: len(losses(counting_workspace, run)) > 5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert counting_workspace.runs.get(run.id).status == "pending"
    assert counting_workspace.worker().execute(run.id).status == "completed"
    assert [step for step, _ in losses(counting_workspace, run)] == list(range(1, 61))


def test_a_superseded_worker_can_no_longer_write(counting_workspace: Workspace) -> None:
    runs = counting_workspace.runs
    created = runs.create("numbers-v1", "counting")
    old = runs.claim("first")
    assert old is not None
    assert runs.finish(old, "failed", error="given up")
    runs.resume(created.id)
    new = runs.claim("second")
    assert new is not None
    assert new.token == old.token + 1
    assert runs.heartbeat(old) is None
    assert not runs.finish(old, "completed")
    assert runs.get(created.id).status == "running"


def test_bad_requests_are_refused_before_anything_is_stored(counting_workspace: Workspace) -> None:
    runs = counting_workspace.runs
    with pytest.raises(NotFoundError, match="nowhere"):
        runs.create("nowhere", "counting")
    with pytest.raises(UsageError, match="countin"):
        runs.create("numbers-v1", "countin")
    with pytest.raises((UsageError, InvalidRecordError), match="stepz"):
        runs.create("numbers-v1", "counting", {"stepz": 3})
    with pytest.raises(UsageError, match="template"):
        runs.create("numbers-v1", "counting", template="haiku")
    assert runs.list() == []


def test_predictions_are_kept_and_protected(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, {"steps": 3})
    predictions = counting_workspace.predictions
    made = predictions.create(run.id, "numbers-v1")
    assert len(made.completions) == 20
    assert predictions.create(run.id, "numbers-v1") == made
    data = predictions.folder(run.id, "numbers-v1") / "predictions.jsonl"
    data.write_text(data.read_text().replace("frequent", "rare", 1))
    with pytest.raises(Exception, match="were changed"):
        predictions.read(run.id, "numbers-v1")


def test_of_several_samples_the_mean_counts(counting_workspace: Workspace) -> None:
    single, run = (start(counting_workspace, {"steps": 3}) for _ in range(2))
    counting_workspace.predictions.create(single.id, "numbers-v1")
    sampled = GenerationConfig(temperature=1.0, samples=4)
    seen: list[tuple[int, int]] = []
    made = counting_workspace.predictions.create(
        run.id, "numbers-v1", sampled, lambda *progress: seen.append(progress)
    )
    assert [c.sample for c in made.completions] == [0, 1, 2, 3] * 20
    assert all(total == 80 for _, total in seen)
    (alone,), (mean,) = (
        counting_workspace.evaluations.run(name, "numbers-v1", ["answer_correctness"])
        for name in (single.id, run.id)
    )
    assert alone.score
    assert mean.score == pytest.approx(alone.score / 2)
    judged = counting_workspace.evaluations.scores(mean)
    assert {len(score.details["samples"]) for score in judged} == {4}
    with pytest.raises(ConflictError, match="another generation config"):
        counting_workspace.predictions.create(run.id, "numbers-v1", evolve(sampled, samples=2))
    with pytest.raises(ValueError, match="need a temperature"):
        GenerationConfig(samples=2)


def test_interrupted_predictions_are_continued(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, {"steps": 3})
    predictions = counting_workspace.predictions
    whole = predictions.create(run.id, "numbers-v1")
    folder = predictions.folder(run.id, "numbers-v1")
    data = folder / "predictions.jsonl"
    content = data.read_bytes()
    (folder / "predictions_meta.json").unlink()
    data.write_bytes(content[: len(content) // 2])
    assert predictions.create(run.id, "numbers-v1") == whole


def test_a_run_directory_cannot_be_left(counting_workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leaves"):
        counting_workspace.paths.run("../../etc")
    (counting_workspace.paths.runs / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="leaves"):
        counting_workspace.paths.run("link")
