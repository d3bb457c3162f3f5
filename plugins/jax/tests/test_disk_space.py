"""A run whose files cannot fit is refused before it spends anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tunix_core.codec import trace_to_json
from tunix_core.errors import UsageError
from tunix_core.protocols import TrainJob
from tunix_core.records import Step, Trace
from tunix_core.testing.trainer import RecordingReporter, train_job
from tunix_jax.config import TrainerConfig
from tunix_jax.fit.disk_space import checkpoint_bytes, model_bytes
from tunix_jax.fit.targets import find_target
from tunix_jax.model_directory import load_model
from tunix_jax.models.shapes import SHAPES
from tunix_jax.sharding import make_mesh
from tunix_jax.trainer import JaxTrainer
from tunix_jax.training.train_step import TrainProgram

TINY: dict[str, Any] = {"model_id": "tiny", "rows": 4, "max_length": 64, "vocab_size": 300}
# More than any disk holds.
HUGE = {"d_model": 65_536, "d_ff": 1_000_000, "layers": 400}


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    data = tmp_path / "train.jsonl"
    with data.open("w", encoding="utf-8") as out:
        for n in range(40):
            work = (Step(0, "compute", f"{n} is {n}"),)
            out.write(trace_to_json(Trace(f"What is {n}?", str(n), work)) + "\n")
    (tmp_path / "run").mkdir()
    config = TrainerConfig(**TINY, steps=2, optimizer="adamw")
    return train_job(tmp_path / "run", config, data)


def test_a_run_that_no_disk_can_hold_is_refused(job: TrainJob) -> None:
    with pytest.raises(UsageError) as refused:
        JaxTrainer().fit(evolve(job, config=evolve(job.config, decoder=HUGE)), RecordingReporter())
    said = str(refused.value)
    assert said.startswith("the disk has ")
    assert "1 checkpoints of " in said
    assert "lower keep_checkpoints" in said


def test_what_is_expected_is_what_is_written(job: TrainJob) -> None:
    result = JaxTrainer().fit(job, RecordingReporter())
    config: TrainerConfig = job.config
    _, shape, _, _ = load_model(result.model_dir)
    program = TrainProgram(config, shape, make_mesh({"data": 1, "fsdp": 1, "tensor": 1}))
    weights = (result.model_dir / "model.safetensors").stat().st_size
    assert weights == pytest.approx(model_bytes(program, "float32"), rel=0.02)
    files = (job.output_dir / "checkpoints").rglob("*")
    written = sum(path.stat().st_size for path in files if path.is_file())
    # The checkpoint is compressed, and after two steps much of the moments is zero.
    assert weights < written < 1.2 * checkpoint_bytes(program)


@pytest.mark.parametrize(("lora_rank", "gigabytes"), [(0, 31), (16, 0)])
def test_all_weights_take_twelve_bytes_each_and_adapters_next_to_nothing(
    lora_rank: int, gigabytes: int
) -> None:
    config = TrainerConfig(model_id="gemma-2-2b", rows=8, lora_rank=lora_rank)
    mesh = make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, find_target("cpu").devices[:1])
    program = TrainProgram(config, SHAPES["gemma-2-2b"].decoder, mesh)
    assert checkpoint_bytes(program) // 10**9 == gigabytes
    assert model_bytes(program, "bfloat16") // 10**8 == 52
