"""Trains in a process of its own, whose environment says which devices there are.

``python train_once.py DIRECTORY DATA SETTINGS``: what was reported goes to DIRECTORY/steps.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from attrs import evolve

from tunix_core.codec import structure
from tunix_core.protocols import Host
from tunix_core.testing.trainer import RecordingReporter, train_job
from tunix_jax.config import TrainerConfig
from tunix_jax.trainer import JaxTrainer


def main(directory: Path, data: Path, settings: str) -> None:
    """Train and write down every step's values."""
    directory.mkdir(parents=True, exist_ok=True)
    given = json.loads(settings)
    stop_at = given.pop("stop_at", None)
    number = int(os.environ.get("JAX_PROCESS_ID", "0"))
    reporter = RecordingReporter(stop_at if number == 0 else None)
    config = structure(TrainerConfig, given, "settings")
    job = train_job(directory, config, data, seed=1)
    job = evolve(job, resume=True, host=Host(number))
    result = JaxTrainer().fit(job, reporter)
    said = {"steps": reporter.steps, "taken": result.steps, "reason": result.stop_reason}
    (directory / f"steps-{number}.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
