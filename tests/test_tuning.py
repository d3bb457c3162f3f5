"""Tuning through the public door: real tuners, real runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import tunix_tune.plugin
from tests.conftest import write_traces
from tests.samples.counting_trainer import CountingTrainer
from tunix_core import Workspace, hookimpl
from tunix_core.base.locks import FileLock
from tunix_core.contributions import TrainerContribution
from tunix_core.errors import ConflictError, InvalidRecordError, NotFoundError, UsageError
from tunix_core.evaluators.answer_correctness import AnswerCorrectness
from tunix_core.plugins import Plugins, Selection
from tunix_core.records import Completion, Item, RunResult, Score, TuningJob, TuningTrial

STEPS = {"steps": {"type": "randint", "min": 1, "max": 40}}
BY_LOSS: dict[str, Any] = {"metric_name": "loss", "metric_mode": "min"}


def create(workspace: Workspace, space: Mapping[str, Any] = STEPS, **options: Any) -> TuningJob:
    return workspace.tuning.create(
        "counts", "numbers-v1", "tiny", search_space=space, trainer="counting", **options
    )


def execute(workspace: Workspace, job: TuningJob) -> TuningJob:
    workspace.tuning.start(job.id)
    return workspace.tuning.execute(job.id, workspace.worker())


def tried(workspace: Workspace, job: TuningJob) -> list[tuple[int, Mapping[str, Any]]]:
    return [(trial.number, trial.params) for trial in workspace.tuning.trials(job.id)]


def running(workspace: Workspace, job: TuningJob) -> list[TuningTrial]:
    return [trial for trial in workspace.tuning.trials(job.id) if trial.status == "running"]


def pretend(workspace: Workspace, trial: TuningTrial) -> None:
    """End a trial's run as a worker would, with the loss that its steps come to."""
    claimed = workspace.runs.claim("a worker", trial.run_id)
    assert claimed is not None
    figures = {"loss": 1.0 / trial.params["steps"]}
    result = RunResult(steps=1, tokens=1, stop_reason="completed", metrics=figures)
    assert workspace.runs.finish(claimed, "completed", exit_code=0, result=result)


def drive(workspace: Workspace, job: TuningJob, advance: Callable[[], bool]) -> None:
    """Advance a job to its end, ending the oldest run whenever nothing else is to be done."""
    for _ in range(200):
        if advance():
            continue
        trials = running(workspace, job)
        if not trials:
            return
        pretend(workspace, trials[0])
    raise AssertionError("the job does not end")


def test_a_job_finds_the_best_of_its_trials(counting_workspace: Workspace) -> None:
    job = create(counting_workspace, num_samples=4, **BY_LOSS)
    assert (job.status, job.mode, job.started_at, job.best_params) == (
        "created",
        "local",
        None,
        None,
    )
    ended = execute(counting_workspace, job)
    trials = counting_workspace.tuning.trials(job.id)
    assert (ended.status, ended.error) == ("completed", None)
    assert ended.started_at is not None
    assert ended.completed_at is not None
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert len({trial.run_id for trial in trials}) == 4
    for trial in trials:
        assert trial.status == "completed"
        assert trial.metric_value == 1 / trial.params["steps"], "the loss of the counting trainer"
        run = counting_workspace.runs.get(str(trial.run_id))
        assert run.config.trainer is not None
        assert run.config.trainer["steps"] == trial.params["steps"]
    best = max(trials, key=lambda trial: trial.params["steps"])
    assert (ended.best_run_id, ended.best_params) == (best.run_id, best.params)
    assert counting_workspace.tuning.best(job.id) == best


def test_a_judged_metric_counts_right_answers_on_the_evaluation_data(
    counting_workspace: Workspace, tmp_path: Path
) -> None:
    data = counting_workspace.paths.dataset("numbers-v1") / "dataset.jsonl"
    first = json.loads(data.read_text().splitlines()[0])["final_answer"]
    held_out = write_traces(tmp_path / "held-out.jsonl", 4, lambda _: str(first))
    batch = counting_workspace.traces.import_file(held_out, source="held-out")
    assert batch.accepted == 4
    counting_workspace.datasets.build("held", "v1", filters={"source": "held-out"})
    values = {}
    for metric in ("score", "primary_score", "answer_correctness", "show_your_work"):
        # One step with seed -1 counts the first answer alone: the model is always right.
        job = create(
            counting_workspace,
            {"steps": {"type": "choice", "values": [1]}},
            metric_name=metric,
            eval_dataset_key="held-v1",
            seed=-1,
        )
        execute(counting_workspace, job)
        (trial,) = counting_workspace.tuning.trials(job.id)
        values[metric] = trial.metric_value
        assert counting_workspace.evaluations.latest(str(trial.run_id)).dataset_key == "held-v1"
    assert values == {
        "score": 100.0,
        "primary_score": 1.0,
        "answer_correctness": 1.0,
        "show_your_work": 1.0,
    }


def test_failed_trials_have_a_reason_and_no_metric(counting_workspace: Workspace) -> None:
    space = {**STEPS, "fail_at": {"type": "choice", "values": [None, 1]}}
    job = execute(counting_workspace, create(counting_workspace, space, num_samples=6, **BY_LOSS))
    trials = counting_workspace.tuning.trials(job.id)
    failed = [trial for trial in trials if trial.params["fail_at"] == 1]
    assert 0 < len(failed) < 6, "the seed draws both"
    assert job.status == "completed"
    for trial in trials:
        if trial in failed:
            assert (trial.status, trial.metric_value) == ("failed", None)
            assert trial.error == "the loss is not a number (step 1)"
            assert trial.completed_at is not None
        else:
            assert (trial.status, trial.error) == ("completed", None)
    assert job.best_run_id not in [trial.run_id for trial in failed]


def test_a_refused_setting_fails_its_trial_without_a_run(counting_workspace: Workspace) -> None:
    space = {"steps": {"type": "choice", "values": [3, "many"]}}
    job = execute(counting_workspace, create(counting_workspace, space, num_samples=6, **BY_LOSS))
    trials = counting_workspace.tuning.trials(job.id)
    refused = [trial for trial in trials if trial.params["steps"] == "many"]
    assert 0 < len(refused) < 6, "the seed draws both"
    for trial in refused:
        assert (trial.run_id, trial.status) == (None, "failed")
        assert "steps: expected an integer, got text" in str(trial.error)
    assert job.best_params == {"steps": 3}


def test_a_metric_that_a_run_did_not_leave_fails_its_trial(counting_workspace: Workspace) -> None:
    job = create(counting_workspace, metric_name="eval_loss", metric_mode="min")
    ended = execute(counting_workspace, job)
    assert ended.status == "failed"
    assert "the run left no eval_loss, only: loss" in str(ended.error)


def test_a_job_all_of_whose_trials_fail_is_failed_and_can_be_started_again(
    counting_workspace: Workspace,
) -> None:
    tuning = counting_workspace.tuning
    job = tuning.create(
        "early",
        "later-v1",
        "tiny",
        search_space=STEPS,
        trainer="counting",
        num_samples=2,
        **BY_LOSS,
    )
    failed = execute(counting_workspace, job)
    assert (failed.status, failed.best_params) == ("failed", None)
    assert str(failed.error).startswith("all 2 trials failed; the last: dataset 'later-v1' not")
    assert failed.completed_at is not None
    counting_workspace.datasets.build("later", "v1")
    ended = execute(counting_workspace, job)
    assert (ended.status, ended.error) == ("completed", None)
    trials = tuning.trials(job.id)
    assert [trial.status for trial in trials] == ["failed", "failed", "completed", "completed"]
    assert tuning.wanted(job.id) == 4, "those that failed are made up for"
    assert len({trial.params["steps"] for trial in trials}) == 4, "by other ones"
    with pytest.raises(ConflictError, match="is completed"):
        tuning.start(job.id)


def test_the_same_seed_gives_the_same_trials(counting_workspace: Workspace) -> None:
    space = {**STEPS, "checkpoint_every": {"type": "choice", "values": [3, 5]}}
    outcomes = []
    for seed in (7, 7, 8):
        job = create(counting_workspace, space, num_samples=12, seed=seed, **BY_LOSS)
        counting_workspace.tuning.start(job.id)
        drive(counting_workspace, job, counting_workspace.tuning.advance)
        outcomes.append(tried(counting_workspace, job))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] != outcomes[2]


def test_as_many_trials_run_at_once_as_may_and_the_order_in_which_they_end_changes_nothing(
    counting_workspace: Workspace,
) -> None:
    outcomes = []
    for newest_first in (False, True):
        job = create(counting_workspace, num_samples=9, max_concurrent_trials=3, **BY_LOSS)
        counting_workspace.tuning.start(job.id)
        at_once = []
        while counting_workspace.tuning.advance(job.id) or running(counting_workspace, job):
            trials = running(counting_workspace, job)
            at_once.append(len(trials))
            if trials:
                pretend(counting_workspace, trials[-1 if newest_first else 0])
        assert max(at_once) == 3
        assert counting_workspace.tuning.get(job.id).status == "completed"
        outcomes.append(tried(counting_workspace, job))
    assert outcomes[0] == outcomes[1]


def test_an_idle_worker_moves_jobs_on(counting_workspace: Workspace) -> None:
    jobs = [create(counting_workspace, num_samples=2, seed=seed, **BY_LOSS) for seed in (1, 2)]
    for job in jobs:
        counting_workspace.tuning.start(job.id)
    counting_workspace.worker().work(once=True)
    for job in jobs:
        assert counting_workspace.tuning.get(job.id).status == "completed"
    assert counting_workspace.tuning.advance() is False


def test_a_job_that_cannot_be_moved_on_does_not_stand_in_the_way_of_others(
    counting_workspace: Workspace,
) -> None:
    stuck, other = (create(counting_workspace, seed=seed, **BY_LOSS) for seed in (1, 2))
    for job in (stuck, other):
        counting_workspace.tuning.start(job.id)
    (counting_workspace.paths.root / "tuning" / f"{stuck.id}.lock").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        counting_workspace.tuning.advance()
    assert len(running(counting_workspace, other)) == 1


def test_one_worker_at_a_time_moves_a_job_on(counting_workspace: Workspace) -> None:
    job = create(counting_workspace)
    counting_workspace.tuning.start(job.id)
    folder = counting_workspace.paths.root / "tuning"
    folder.mkdir()
    with FileLock(folder / f"{job.id}.lock"):
        assert counting_workspace.tuning.advance() is False
    assert counting_workspace.tuning.trials(job.id) == []
    assert counting_workspace.tuning.advance() is True


def test_a_worker_that_is_stopped_while_it_judges_leaves_the_rest_to_the_next(
    counting_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = counting_workspace.tuning
    job = create(counting_workspace)
    tuning.start(job.id)
    tuning.advance()
    (trial,) = tuning.trials(job.id)
    counting_workspace.worker().execute(str(trial.run_id))
    judged: list[str] = []
    score = AnswerCorrectness.score

    def slow_score(self: AnswerCorrectness, item: Item, completion: Completion) -> Score:
        judged.append(item.id)
        time.sleep(0.05)
        return score(self, item, completion)

    monkeypatch.setattr(AnswerCorrectness, "score", slow_score)
    assert tuning.advance(stopping=lambda: len(judged) > 2) is False
    assert 2 < len(judged) < 20
    assert running(counting_workspace, job) == [trial]
    assert tuning.advance() is True
    assert tuning.get(job.id).status == "completed"
    assert len(judged) == len(set(judged)) == 20, "no item is judged twice"


def test_cancelling_ends_the_trials_and_their_runs(counting_workspace: Workspace) -> None:
    tuning = counting_workspace.tuning
    job = create(counting_workspace, num_samples=5, max_concurrent_trials=2, **BY_LOSS)
    tuning.start(job.id)
    tuning.advance()
    first, second = tuning.trials(job.id)
    pretend(counting_workspace, first)
    tuning.advance()
    cancelled = tuning.cancel(job.id)
    assert (cancelled.status, cancelled.best_run_id) == ("cancelled", first.run_id)
    states = [(trial.status, trial.error) for trial in tuning.trials(job.id)]
    assert states == [("completed", None)] + [("failed", "the job is cancelled")] * 2
    for run in counting_workspace.runs.list():
        assert run.status == ("completed" if run.id == first.run_id else "cancelled")
    assert second.run_id in [run.id for run in counting_workspace.runs.list(status="cancelled")]
    assert tuning.advance() is False
    for refused in (tuning.cancel, tuning.start):
        with pytest.raises(ConflictError, match="is cancelled"):
            refused(job.id)


def test_a_job_that_never_began_is_cancelled_at_once(counting_workspace: Workspace) -> None:
    job = create(counting_workspace)
    assert counting_workspace.tuning.cancel(job.id).status == "cancelled"


def test_everything_that_is_wrong_with_a_job_is_said_at_once(counting_workspace: Workspace) -> None:
    space = {
        "a": {"type": "choice", "values": []},
        "b": {"type": "uniform", "min": 1, "max": -5},
        "c": {"type": "loguniform", "min": 0, "max": 1},
        "d": {"type": "randint", "min": 1.5, "max": 4, "step": 1},
        "e": {"type": "normal"},
    }
    with pytest.raises(InvalidRecordError) as caught:
        create(
            counting_workspace,
            space,
            num_samples=0,
            max_concurrent_trials=11,
            metric_mode="best",
            seed=2**63,
            settings={"steps": float("nan")},
        )
    assert caught.value.problems == [
        "$.metric_mode: must be 'max' or 'min', got 'best'",
        "$.num_samples: must be an integer from 1 to 100, got 0",
        "$.max_concurrent_trials: must be an integer from 1 to 10, got 11",
        "$.seed: must be an integer of at most 63 bits, got 9223372036854775808",
        "$.search_space.a.values: must hold at least one value",
        "$.search_space.b.max: must be greater than min (1.0), got -5.0",
        "$.search_space.c.min: must be greater than 0, got 0.0",
        "$.search_space.d.step: unknown key",
        "$.search_space.d.min: expected an integer, got a number",
        "$.search_space.e.type: must be one of choice, uniform, loguniform, randint; got 'normal'",
        "$.settings.steps: nan is not a JSON number",
    ]
    assert counting_workspace.tuning.list() == []
    wrong: tuple[tuple[Any, str], ...] = (
        ({}, "at least one parameter"),
        ([], "expected an object"),
        ({"a": 3}, "expected an object with a type"),
        ({"\ud800": STEPS["steps"]}, "lone surrogate"),
    )
    for unusable, problem in wrong:
        with pytest.raises(InvalidRecordError, match=problem):
            create(counting_workspace, unusable)


def test_start_refuses_what_could_have_no_effect(counting_workspace: Workspace) -> None:
    tuning = counting_workspace.tuning
    with pytest.raises(NotFoundError, match="tuning job 'nope' not found"):
        tuning.start("nope")
    for metric, space, problem in (
        ("accuracy", STEPS, r"unknown metric 'accuracy' \(known: .*answer_correctness.*score"),
        (
            "score",
            {"warmup": STEPS["steps"]},
            "'warmup' is no setting of counting-trainer/counting",
        ),
        ("score", {"batch_size": STEPS["steps"]}, "'batch_size' is no setting of .*known: .*steps"),
    ):
        job = create(counting_workspace, space, metric_name=metric)
        with pytest.raises(UsageError, match=problem):
            tuning.start(job.id)
        assert tuning.get(job.id).status == "created"
    unknown = create(counting_workspace, tuner="tea-leaves")
    with pytest.raises(UsageError, match="no tuner is called 'tea-leaves'"):
        tuning.start(unknown.id)


@frozen
class SpeltConfig:
    """Settings with names of their own."""

    model_id: str = "small"
    rows: int = 16
    shuffle: bool = True


class Spelt:
    """A plugin with a trainer that obeys a field of training requests under another name."""

    @hookimpl
    def tunix_trainers(self) -> list[TrainerContribution]:
        return [
            TrainerContribution(
                name="spelt",
                summary="Takes batch_size for rows",
                factory=CountingTrainer,
                config=SpeltConfig,
                request_fields={"batch_size": "rows"},
            )
        ]


def test_fields_of_a_training_request_set_what_the_trainer_says(
    counting_workspace: Workspace,
) -> None:
    plugins = Plugins.of(Spelt(), tunix_tune.plugin)
    parameter = {"type": "choice", "values": [8]}
    options = {"trainer": "spelt", "settings": {"shuffle": False}}
    with Workspace(counting_workspace.paths.root, plugins) as workspace:
        tuning = workspace.tuning
        both = {"rows": parameter, "batch_size": parameter}
        job = tuning.create("twice", "numbers-v1", "large", search_space=both, **options)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"'rows' and 'batch_size' both set rows"):
            tuning.start(job.id)
        one = {"batch_size": parameter}
        job = tuning.create("once", "numbers-v1", "large", search_space=one, **options)  # type: ignore[arg-type]
        tuning.start(job.id)
        assert tuning.advance() is True
        (trial,) = tuning.trials(job.id)
        run = workspace.runs.get(str(trial.run_id))
        assert (trial.params, run.model_id) == ({"batch_size": 8}, "large")
        assert run.config.trainer == {"model_id": "large", "rows": 8, "shuffle": False}


def test_without_the_plugin_there_is_no_tuner(counting_workspace: Workspace) -> None:
    job = create(counting_workspace)
    bare = Plugins.discover(Selection.from_environment().without(["tunix-tune"]))
    with (
        Workspace(counting_workspace.paths.root, bare) as workspace,
        pytest.raises(UsageError, match="no tuner is called 'tunix-tune/optuna'"),
    ):
        workspace.tuning.start(job.id)


def test_jobs_are_listed_newest_first_and_found_by_a_beginning(
    counting_workspace: Workspace,
) -> None:
    jobs = [create(counting_workspace, seed=seed) for seed in range(3)]
    tuning = counting_workspace.tuning
    assert tuning.list() == jobs[::-1]
    assert tuning.list(limit=1, offset=1) == [jobs[1]]
    assert tuning.get(jobs[0].id[:13]) == jobs[0]
