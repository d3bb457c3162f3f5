"""The JAX trainer through its public door: its contract, its data, its answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from attrs import evolve

from tunix_core.codec import trace_to_json
from tunix_core.contributions import TRAINER
from tunix_core.errors import ConflictError, TunixError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import GenerationConfig, LoadRequest, Trainer, TrainJob
from tunix_core.records import Step, Trace
from tunix_core.testing.trainer import (
    RecordingReporter,
    TrainerConformance,
    data_file,
    sample_prompts,
    train_job,
)
from tunix_jax.config import TrainerConfig
from tunix_jax.sharding import make_mesh
from tunix_jax.trainer import JaxTrainer
from tunix_jax.training.train_step import TrainProgram

TINY: dict[str, Any] = {
    "model_id": "tiny",
    "decoder": {"layers": 1},
    "optimizer": "adamw",
    "rows": 4,
    "max_length": 64,
    "vocab_size": 300,
}


class TestJaxTrainer(TrainerConformance):
    def make(self) -> Trainer:
        return JaxTrainer()

    def config(self, steps: int) -> TrainerConfig:
        return TrainerConfig(**TINY, steps=steps, checkpoint_every=2)


def write_sums(path: Path, numbers: range) -> Path:
    """Sums of one-digit numbers with their work."""
    with path.open("w", encoding="utf-8") as out:
        for n in numbers:
            a, b = n % 10, n // 10 % 10
            work = (Step(0, "compute", f"{a} + {b} = {a + b}"),)
            out.write(trace_to_json(Trace(f"What is {a} + {b}?", str(a + b), work)) + "\n")
    return path


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    (tmp_path / "run").mkdir()
    data = write_sums(tmp_path / "train.jsonl", range(100))
    config = TrainerConfig(**TINY, steps=4, checkpoint_every=2)
    return train_job(tmp_path / "run", config, data, seed=1)


def test_is_offered_by_the_installed_plugin() -> None:
    provided = Plugins.discover().find(TRAINER, "jax")
    assert provided.full_name == "tunix-jax/jax"
    assert isinstance(provided.create(), JaxTrainer)
    with pytest.raises(UsageError, match="plugin tunix-jax/jax: stepz"):
        provided.config({"stepz": 3})


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_it_learns(job: TrainJob, optimizer: Any) -> None:
    config = evolve(job.config, steps=60, optimizer=optimizer, warmup_steps=5)
    reporter = RecordingReporter()
    JaxTrainer().fit(evolve(job, config=config), reporter)
    losses = [values["loss"] for _, values in reporter.steps]
    assert losses[0] == pytest.approx(np.log(300), rel=0.25), "a new model knows nothing"
    assert losses[-1] < 0.5 * losses[0]


def test_held_out_loss_is_reported_when_it_is_due(job: TrainJob, tmp_path: Path) -> None:
    held_out = write_sums(tmp_path / "held.jsonl", range(0, 100, 7))
    config = evolve(job.config, eval_every=3)
    reporter = RecordingReporter()
    JaxTrainer().fit(
        evolve(job, config=config, data={**job.data, "eval": data_file(held_out)}), reporter
    )
    assert [step for step, values in reporter.steps if "eval_loss" in values] == [3, 4]


def test_zero_steps_make_the_untrained_model(job: TrainJob) -> None:
    result = JaxTrainer().fit(evolve(job, config=evolve(job.config, steps=0)), RecordingReporter())
    assert (result.steps, result.tokens) == (0, 0)
    predictor = JaxTrainer().load(
        LoadRequest(model_dir=result.model_dir, generation=GenerationConfig(max_new_tokens=4))
    )
    assert len(list(predictor.complete(sample_prompts(2)))) == 2


def test_tokens_are_those_of_the_steps_without_padding(job: TrainJob) -> None:
    reporter = RecordingReporter()
    result = JaxTrainer().fit(job, reporter)
    assert [values["tokens"] for _, values in reporter.steps][-1] == result.tokens
    assert 0 < result.tokens <= 4 * 4 * 64


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"rows": 2}, {"steps": 9}])
def test_a_checkpoint_of_other_settings_is_refused(job: TrainJob, change: Any) -> None:
    JaxTrainer().fit(job, RecordingReporter(stop_at=2))
    changed = evolve(job, config=evolve(job.config, **change), resume=True)
    with pytest.raises(ConflictError, match="another " + next(iter(change))):
        JaxTrainer().fit(changed, RecordingReporter())


def test_a_checkpoint_of_other_data_is_refused(job: TrainJob) -> None:
    JaxTrainer().fit(job, RecordingReporter(stop_at=2))
    write_sums(job.data["train"].path, range(1, 101))
    with pytest.raises(ConflictError, match="another data"):
        JaxTrainer().fit(evolve(job, resume=True), RecordingReporter())


def test_a_loss_that_is_no_number_stops_the_run(job: TrainJob) -> None:
    config = evolve(job.config, optimizer="adamw", learning_rate=1e30, clip_norm=0.0)
    with pytest.raises(TunixError, match="not a number at step"):
        JaxTrainer().fit(evolve(job, config=config), RecordingReporter())


def test_examples_that_are_too_long_are_counted_and_none_is_an_error(job: TrainJob) -> None:
    reporter = RecordingReporter()
    with job.data["train"].path.open("a", encoding="utf-8") as out:
        out.write(trace_to_json(Trace("long " * 80, "1", (Step(0, "compute", "x"),))) + "\n")
    JaxTrainer().fit(job, reporter)
    assert any("1 left out as too long" in message for message in reporter.messages)
    config = evolve(job.config, max_length=4)
    with pytest.raises(UsageError, match="raise max_length"):
        JaxTrainer().fit(evolve(job, config=config), RecordingReporter())


def test_a_tokenizer_can_be_brought_along(job: TrainJob, tmp_path: Path) -> None:
    first = JaxTrainer().fit(job, RecordingReporter())
    brought = tmp_path / "tokenizer.json"
    shutil.copy(first.model_dir / "tokenizer.json", brought)
    other = evolve(job, output_dir=tmp_path / "other", config=evolve(job.config, vocab_size=9999))
    other.output_dir.mkdir()
    config = evolve(other.config, tokenizer=str(brought))
    second = JaxTrainer().fit(evolve(other, config=config), RecordingReporter())
    assert (second.model_dir / "tokenizer.json").read_bytes() == brought.read_bytes()
    missing = evolve(config, tokenizer=str(tmp_path / "nothing.json"))
    with pytest.raises(UsageError, match="cannot read the tokenizer"):
        JaxTrainer().fit(evolve(other, config=missing), RecordingReporter())


def test_a_damaged_model_is_refused(job: TrainJob) -> None:
    model = JaxTrainer().fit(job, RecordingReporter()).model_dir
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(TunixError, match="is broken"):
        JaxTrainer().load(LoadRequest(model_dir=model))
    weights.unlink()
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        JaxTrainer().load(LoadRequest(model_dir=model))


def test_the_step_takes_the_memory_of_its_state(job: TrainJob) -> None:
    mesh = make_mesh(job.config.mesh.sizes, jax.devices()[:1])
    program = TrainProgram(job.config, job.config.scratch_shape(300), mesh, 4)
    trained, frozen = program.new_params(0)
    state = program.new_state(trained)
    before = jax.tree.leaves(state)
    batch = {
        name: jax.device_put(np.ones(leaf.shape, np.int32), leaf.sharding)
        for name, leaf in program.abstract_batch().items()
    }
    program.lower().compile()(state, frozen, batch)
    assert all(leaf.is_deleted() for leaf in before), "two copies of the state would be kept"


def test_the_model_directory_says_what_it_is(job: TrainJob) -> None:
    model = JaxTrainer().fit(job, RecordingReporter()).model_dir
    config = json.loads((model / "config.json").read_text())
    assert config["model_type"] == "tunix_decoder"
    assert config["decoder"]["layers"] == TINY["decoder"]["layers"]
    assert {path.name for path in model.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tunix.json",
    }


@pytest.mark.parametrize(
    ("device", "match"), [("tpu", "computes on cpu already"), ("gpux", "'gpux' is none")]
)
def test_a_model_is_loaded_where_it_is_asked_for(job: TrainJob, device: str, match: str) -> None:
    model = JaxTrainer().fit(job, RecordingReporter()).model_dir
    assert JaxTrainer().load(LoadRequest(model_dir=model, device="cpu"))
    with pytest.raises(UsageError, match=match):
        JaxTrainer().load(LoadRequest(model_dir=model, device=device))


def test_a_checkpoint_from_before_there_were_objectives_is_gone_on_from(job: TrainJob) -> None:
    assert job.config.objective == "sft"
    JaxTrainer().fit(job, RecordingReporter(stop_at=2))
    files = (job.output_dir / "checkpoints" / "2" / "identity").iterdir()
    (identity,) = (file for file in files if "objective" in file.read_text())
    stored = json.loads(identity.read_text())
    del stored["objective"]
    identity.write_text(json.dumps(stored))
    reporter = RecordingReporter()
    JaxTrainer().fit(evolve(job, resume=True), reporter)
    assert reporter.begun == [(4, 2)]
