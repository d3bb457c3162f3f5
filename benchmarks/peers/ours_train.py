"""Our trainer, as the command line drives it, on a data file; prints one JSON line.

python -m peers.ours_train '{"model": DIR, "data": FILE, "batches": FILE, "warmup": 2, ...}'
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from peers.inputs import SEED

from tunix_core.protocols import StopReason
from tunix_core.testing.trainer import train_job
from tunix_jax.config import TrainerConfig
from tunix_jax.trainer import JaxTrainer


class Clock:
    """A reporter that notes when each step is reported, which is when its loss has arrived."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.processor: list[float] = []
        self.losses: list[float] = []
        self.timings: list[Mapping[str, float]] = []

    def begin(self, total_steps: int, resumed_from: int) -> None:
        pass

    def step(
        self, step: int, values: Mapping[str, float], timings: Mapping[str, float] | None = None
    ) -> None:
        self.ends.append(time.perf_counter())
        self.processor.append(time.process_time())
        self.losses.append(values["loss"])
        self.timings.append(timings or {})

    def log(self, message: str) -> None:
        print(message, file=sys.stderr)

    def stop_reason(self) -> StopReason | None:
        return None


def main(job: dict[str, Any]) -> None:
    config = TrainerConfig(
        model_id=job["model"],
        dtype="float32",
        remat="none",
        max_length=job["length"],
        rows=job["rows"],
        steps=job["steps"],
        optimizer="adamw",
        schedule="constant",
        warmup_steps=0,
        checkpoint_every=0,
        learning_rate=job["learning_rate"],
        beta2=job["beta2"],
        weight_decay=job["weight_decay"],
        clip_norm=job["clip_norm"],
        **job.get("settings", {}),
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        output = Path(job.get("output", directory))
        train = train_job(output, config, Path(job["data"]), seed=SEED)
        began = time.perf_counter()
        JaxTrainer().fit(train, clock)
    warm, steps = job["warmup"], job["steps"]
    # What the trainer packs and shuffles is known beforehand; its own count is not relied on.
    learned = int(np.load(job["batches"])["targets"][warm:steps].sum()) if "batches" in job else 0
    seconds = clock.ends[-1] - clock.ends[warm - 1]
    result = {
        "completion_tokens_per_s": learned / seconds,
        "step_s": seconds / (steps - warm),
        "step_cpu_s": (clock.processor[-1] - clock.processor[warm - 1]) / (steps - warm),
        "first_step_s": clock.ends[0] - began,
        "first_loss": clock.losses[0],
        "last_loss": clock.losses[-1],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
