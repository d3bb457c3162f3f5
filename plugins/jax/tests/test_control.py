"""When a run ends by itself, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import load_file

from tunix_core.codec import trace_to_json
from tunix_core.errors import ConflictError, TunixError, UsageError
from tunix_core.protocols import TrainJob
from tunix_core.records import Step, Trace
from tunix_core.testing.trainer import RecordingReporter, train_job
from tunix_jax.config import TrainerConfig
from tunix_jax.trainer import JaxTrainer


def write(path: Path, answers: Any) -> Path:
    with path.open("w", encoding="utf-8") as out:
        for n in range(60):
            work = (Step(0, "compute", f"{n} is {answers(n)}"),)
            out.write(trace_to_json(Trace(f"What is {n}?", str(answers(n)), work)) + "\n")
    return path


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    """A run whose held-out data says the opposite of what it learns."""
    (tmp_path / "run").mkdir()
    train = write(tmp_path / "train.jsonl", lambda n: "yes" if n % 2 else "no")
    held_out = write(tmp_path / "held.jsonl", lambda n: "no" if n % 2 else "yes")
    config = TrainerConfig(
        model_id="tiny",
        decoder={"layers": 1},
        optimizer="adamw",
        rows=4,
        max_length=64,
        vocab_size=300,
        steps=400,
        eval_every=5,
        checkpoint_every=10,
    )
    return train_job(tmp_path / "run", config, train, held_out, seed=1)


def without_held_out(job: TrainJob) -> TrainJob:
    return evolve(job, data={"train": job.data["train"]})


def held_out_losses(reporter: RecordingReporter) -> dict[int, float]:
    return {step: values["eval_loss"] for step, values in reporter.steps if "eval_loss" in values}


def test_early_stopping_leaves_the_best_model_and_resumes_as_if_never_stopped(
    job: TrainJob, tmp_path: Path
) -> None:
    job = evolve(job, config=evolve(job.config, early_stopping_patience=3))
    reporter = RecordingReporter()
    result = JaxTrainer().fit(job, reporter)
    losses = held_out_losses(reporter)
    best = min(losses, key=lambda step: losses[step])
    assert result.stop_reason == "early_stopping"
    assert result.steps == best + 3 * 5 < 400
    assert (result.metrics["best_step"], result.metrics["best_eval_loss"]) == (best, losses[best])
    kept = {int(path.name) for path in (job.output_dir / "checkpoints").iterdir()}
    assert best in kept

    # The model is the one that training to the best step and no further leaves.
    plain = evolve(job.config, early_stopping_patience=0)
    short = evolve(
        job, output_dir=tmp_path / "short", data={"train": job.data["train"]}, config=plain
    )
    short.output_dir.mkdir()
    shorter = JaxTrainer().fit(short, RecordingReporter(stop_at=best))
    weights, expected = (
        load_file(made.model_dir / "model.safetensors") for made in (result, shorter)
    )
    for name, tensor in expected.items():
        np.testing.assert_array_equal(weights[name], tensor)

    # Stopped between the best step and the end, patience goes on from where it was.
    again = evolve(job, output_dir=tmp_path / "again")
    again.output_dir.mkdir()
    JaxTrainer().fit(again, RecordingReporter(stop_at=best + 6))
    resumed = JaxTrainer().fit(evolve(again, resume=True), RecordingReporter())
    assert (resumed.steps, resumed.stop_reason) == (result.steps, "early_stopping")
    assert dict(resumed.metrics) == dict(result.metrics)


def test_early_stopping_needs_what_it_goes_by(job: TrainJob) -> None:
    config = evolve(job.config, early_stopping_patience=3)
    with pytest.raises(UsageError, match="early stopping needs held-out data"):
        JaxTrainer().fit(evolve(without_held_out(job), config=config), RecordingReporter())
    with pytest.raises(ValueError, match="keep_best: early stopping leaves the best model"):
        evolve(config, keep_best=0)


def test_the_newest_and_those_of_the_lowest_held_out_loss_are_kept(job: TrainJob) -> None:
    config = evolve(job.config, steps=60, keep_best=3, keep_checkpoints=1, checkpoint_every=0)
    reporter = RecordingReporter()
    JaxTrainer().fit(evolve(job, config=config), reporter)
    losses = held_out_losses(reporter)
    best = sorted(losses, key=lambda step: losses[step])[:3]
    kept = {int(path.name) for path in (job.output_dir / "checkpoints").iterdir()}
    assert kept == {60, *best}


def test_a_run_killed_after_its_last_step_tells_the_same_story(job: TrainJob) -> None:
    for patience in (0, 3):
        config = evolve(job.config, steps=60, early_stopping_patience=patience)
        folder = job.output_dir.with_name(f"run-{patience}")
        folder.mkdir()
        whole = JaxTrainer().fit(evolve(job, config=config, output_dir=folder), RecordingReporter())
        again = evolve(job, config=config, output_dir=folder, resume=True)
        reporter = RecordingReporter()
        resumed = JaxTrainer().fit(again, reporter)
        assert not reporter.steps
        assert (resumed.stop_reason, resumed.tokens) == (whole.stop_reason, whole.tokens)
        assert dict(resumed.metrics) == dict(whole.metrics)


def test_a_run_that_does_not_resume_refuses_the_checkpoints_of_another(job: TrainJob) -> None:
    short = evolve(without_held_out(job), config=evolve(job.config, steps=2))
    JaxTrainer().fit(short, RecordingReporter())
    with pytest.raises(ConflictError, match="holds checkpoints of an earlier run"):
        JaxTrainer().fit(short, RecordingReporter())


@pytest.mark.parametrize(("rate", "problem"), [(1e30, "is not a number"), (30.0, "diverged to")])
def test_a_loss_that_leaves_all_bounds_stops_the_run_and_names_its_batch(
    job: TrainJob, rate: float, problem: str
) -> None:
    config = evolve(job.config, learning_rate=rate, clip_norm=0.0, warmup_steps=0)
    reporter = RecordingReporter()
    with pytest.raises(TunixError, match=rf"{problem}.* at step \d+; its batch: lines \d+") as said:
        JaxTrainer().fit(evolve(without_held_out(job), config=config), reporter)
    assert "\n" not in str(said.value)
    assert any("of the dataset" in message for message in reporter.messages)
    step = int(str(said.value).split("at step ")[1].split(";")[0])
    assert [number for number, _ in reporter.steps] == list(range(1, step))
    checkpoints = job.output_dir / "checkpoints"
    assert all(int(path.name) < step for path in checkpoints.iterdir() if path.name.isdigit())


def test_a_profile_of_some_steps_is_written(job: TrainJob) -> None:
    config = evolve(job.config, steps=6, profile_from=3, profile_steps=2)
    JaxTrainer().fit(evolve(without_held_out(job), config=config), RecordingReporter())
    assert list((job.output_dir / "profile").rglob("*.xplane.pb"))


def test_what_a_run_costs_is_told(job: TrainJob) -> None:
    config = evolve(job.config, steps=6)
    result = JaxTrainer().fit(evolve(without_held_out(job), config=config), RecordingReporter())
    timings = result.timings
    assert timings["step_seconds_p50"] <= timings["step_seconds_p95"]
    assert 0 < timings["learned_tokens_per_second"] < timings["tokens_per_second"]
    assert timings["compile_seconds"] > 0
    assert timings["peak_memory_bytes"] > 2**20
    assert 0 <= result.metrics["padding"] < 1


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
def test_schedules_rise_and_fall(job: TrainJob, schedule: Any) -> None:
    config = evolve(job.config, steps=20, schedule=schedule, warmup_steps=5, final_fraction=0.1)
    reporter = RecordingReporter()
    JaxTrainer().fit(evolve(without_held_out(job), config=config), reporter)
    rates = np.array([values["learning_rate"] for _, values in reporter.steps])
    peak = config.learning_rate
    assert (np.diff(rates[:6]) > 0).all()
    assert rates.max() == pytest.approx(peak)
    after = rates[5:]
    assert (np.diff(after) <= 1e-9).all()
    last = {"constant": peak}.get(schedule, 0.1 * peak)
    assert after[-1] == pytest.approx(last, abs=0.25 * peak)
    if schedule == "wsd":
        assert after[:-5] == pytest.approx(peak), "constant before it falls"
