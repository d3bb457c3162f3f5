"""A trainer that does what its settings say: for what real trainers do to their surroundings."""

from __future__ import annotations

from attrs import frozen

from tunix_core import hookimpl
from tunix_core.contributions import TrainerContribution
from tunix_core.errors import UsageError
from tunix_core.protocols import LoadRequest, Predictor, Reporter, TrainJob, TrainResult


@frozen
class ScriptConfig:
    """Settings.

    Args:
        code: Python that is executed as training; it sees ``job`` and ``reporter``.
        epochs: A setting with a name of its own for what a request calls ``num_epochs``.
        learning_rate: A setting with the name that a request uses.
    """

    code: str = ""
    epochs: int = 1
    learning_rate: float = 0.5


class ScriptedTrainer:
    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult:
        reporter.begin(1, 0)
        exec(job.config.code, {"job": job, "reporter": reporter})  # noqa: S102
        model = job.output_dir / "model"
        model.mkdir(exist_ok=True)
        return TrainResult(model, 1, 1, reporter.stop_reason() or "completed")

    def load(self, request: LoadRequest) -> Predictor:
        raise UsageError(f"{request.model_dir} holds no model")


@hookimpl
def tunix_trainers() -> list[TrainerContribution]:
    return [
        TrainerContribution(
            name="scripted",
            summary="Does what its settings say",
            factory=ScriptedTrainer,
            config=ScriptConfig,
            request_fields={"num_epochs": "epochs"},
        )
    ]
