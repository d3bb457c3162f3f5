"""A run's directory: the names of its files, what they hold, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from attrs import frozen

from tunix_core.base.paths import confined
from tunix_core.codec import unstructure
from tunix_core.records import Run, RunResult
from tunix_core.runs import stored
from tunix_core.runs.log import RunLog
from tunix_core.runs.metrics import Metrics

LOCK = "lock"
_RUN = "run.json"


@frozen
class TrainingPlan:
    """What a trainer said when it began.

    Args:
        total_steps: Steps to take in all.
        resumed_from: The step that the present attempt went on from.
    """

    total_steps: int
    resumed_from: int


@frozen
class RunProgress:
    """How far a run is; None before its training begins.

    Args:
        step: Steps taken.
        total_steps: Steps to take in all.
        resumed_from: The step that the present attempt went on from.
        loss: Loss of the newest step, where the trainer reports one.
    """

    step: int | None = None
    total_steps: int | None = None
    resumed_from: int | None = None
    loss: float | None = None


@frozen
class RunFolder:
    """The files of one run.

    Every reader raises IntegrityError, which names the file, for one that is damaged.

    Args:
        path: The directory; it need not exist yet.
    """

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.path / LOCK

    @property
    def model(self) -> Path:
        """Directory of the usable model."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Directory of judgements, item by item."""
        return self.path / "evaluations"

    def predictions(self, dataset_key: str) -> Path:
        """Directory of what the model answers to a dataset."""
        return confined(self.path, "predictions", dataset_key)

    def set_predictions_aside(self) -> None:
        """Keep what the model has answered so far, but not as answers of the model to come."""
        answered = self.path / "predictions"
        if answered.exists():
            earlier = sum(1 for _ in self.path.glob("predictions-before-*"))
            answered.rename(self.path / f"predictions-before-{earlier + 1}")

    def log(self) -> RunLog:
        """What the run's processes print; empty until it has started."""
        return RunLog(self.path / "log.jsonl")

    def log_of(self, host: str, process: int) -> RunLog:
        """What a process of a further host prints."""
        return RunLog(self.path / f"log-{host}-{process}.jsonl")

    def describe(self, run: Run) -> None:
        """Write a run down, and its configuration alone, for who does without the database."""
        described = unstructure(run)
        stored.write(self.path / "config.json", described["config"], indent=2)
        stored.write(self.path / _RUN, described, indent=2)

    def run(self) -> Run | None:
        """The run as it was last described."""
        return stored.read(self.path / _RUN, Run)

    @property
    def metrics(self) -> Metrics:
        """The recorded steps."""
        return Metrics(self.path / "metrics.jsonl")

    def begin(self, plan: TrainingPlan) -> FileIO:
        """Note that training begins; returns the metrics, without later steps, to append to."""
        metrics = self.metrics.open_after(plan.resumed_from)
        stored.write(self._plan, unstructure(plan))
        return metrics

    def plan(self) -> TrainingPlan | None:
        """What the trainer said when it last began."""
        return stored.read(self._plan, TrainingPlan)

    def plan_version(self) -> tuple[int, int] | None:
        """Another one for each attempt that begins; None before the first."""
        try:
            status = self._plan.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def progress(self) -> RunProgress:
        """How far the run is, by what its reporter wrote."""
        plan = self.plan()
        if plan is None:
            return RunProgress()
        last = self.metrics.last() or {}
        loss = last.get("loss")
        return RunProgress(
            step=last.get("step", plan.resumed_from),
            total_steps=plan.total_steps,
            resumed_from=plan.resumed_from,
            loss=float(loss) if isinstance(loss, int | float) else None,
        )

    def result(self) -> RunResult | None:
        """What the trainer did; None until it has returned."""
        return stored.read(self._result, RunResult)

    def write_result(self, result: RunResult) -> None:
        """Leave what the trainer did for the worker."""
        stored.write(self._result, unstructure(result))

    def remove_result(self) -> None:
        """A new attempt has none."""
        self._result.unlink(missing_ok=True)

    @property
    def _plan(self) -> Path:
        return self.path / "progress.json"

    @property
    def _result(self) -> Path:
        return self.path / "result.json"


def described(runs: Path) -> Iterator[RunFolder]:
    """The directories of runs that have been written down.

    Args:
        runs: Where the runs of a workspace lie.
    """
    return (RunFolder(path.parent) for path in runs.glob(f"*/{_RUN}"))
