"""Time per step of the training loop beyond that of its compiled step; one JSON line.

    python -m peers.ours_overhead '{"data": FILE}'

The loop is the trainer's, with the reporter that writes a run's metrics; the compiled step alone
is called back to back with batches that are on the device already.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
from peers.inputs import SEED

from tunix_core.plugins import Plugins
from tunix_core.runs.folder import RunFolder
from tunix_core.runs.reporter import RunReporter
from tunix_core.testing.trainer import train_job
from tunix_jax.config import TrainerConfig
from tunix_jax.fit.check import compile_step
from tunix_jax.sharding import make_mesh
from tunix_jax.trainer import JaxTrainer
from tunix_jax.training.train_step import TrainProgram

STEPS, WARMUP, BLOCK = 620, 20, 50


class Timed(RunReporter):
    """Notes when each step has been reported."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ends: list[float] = []

    def step(
        self, step: int, values: Mapping[str, float], timings: Mapping[str, float] | None = None
    ) -> None:
        super().step(step, values, timings)
        self.ends.append(time.perf_counter())


def blocks(ends: list[float]) -> float:
    """Seconds per step: the median of blocks of steps."""
    marks = ends[WARMUP::BLOCK]
    return statistics.median((b - a) / BLOCK for a, b in pairwise(marks))


def compiled_step_s(config: TrainerConfig, words: int) -> float:
    """Seconds per call of the compiled step alone."""
    mesh = make_mesh(config.mesh.sizes)
    program = TrainProgram(config, config.scratch_shape(words), mesh, STEPS)
    step = compile_step(program)
    params, frozen = program.new_params(SEED)
    state = program.new_state(params)
    batch = {
        name: jax.device_put(jax.numpy.ones(leaf.shape, leaf.dtype), leaf.sharding)
        for name, leaf in program.abstract_batch().items()
    }
    spent = []
    for _ in range(STEPS // BLOCK):
        began = time.perf_counter()
        for _ in range(BLOCK):
            state, metrics = step(state, frozen, batch)
        metrics["loss"].block_until_ready()
        spent.append((time.perf_counter() - began) / BLOCK)
    return statistics.median(spent[1:])


def main(job: dict[str, Any]) -> None:
    config = TrainerConfig(
        model_id="tiny", rows=1, max_length=128, steps=STEPS, vocab_size=512, checkpoint_every=0
    )
    with tempfile.TemporaryDirectory() as name:
        reporter = Timed("benchmark", RunFolder(Path(name)), Plugins.discover(), None)
        train = train_job(Path(name), config, Path(job["data"]), seed=SEED)
        JaxTrainer().fit(train, reporter)
    loop, alone = blocks(reporter.ends), compiled_step_s(config, 512)
    print(json.dumps({"overhead_ms": 1000 * (loop - alone), "compiled_ms": 1000 * alone}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
