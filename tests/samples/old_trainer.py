"""A trainer as it was written for tunix-core 0.1.0, before requests were records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunix_core import hookimpl
from tunix_core.contributions import TrainerContribution
from tunix_core.protocols import Reporter


class OldTrainer:
    def fit(self, job: Any, reporter: Reporter) -> Any:
        return job.train_data.read_text()

    def load(self, model_dir: Path, config: Any) -> Any:
        return model_dir, config


@hookimpl
def tunix_trainers() -> list[TrainerContribution]:
    return [TrainerContribution(name="old", summary="Of the old school", factory=OldTrainer)]
