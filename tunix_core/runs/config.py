"""The configuration that is stored with a run, and how its trainer's settings follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from tunix_core.codec import structure
from tunix_core.contributions import TRAINER
from tunix_core.plugins import Plugins, ProvidedTrainer
from tunix_core.runs.requests import TrainingRequest, trainer_settings


@frozen
class RunConfig:
    """The resolved configuration that is stored with a run.

    Args:
        trainer: The trainer's own settings, complete with defaults; empty while those of a
            request have not been accepted.
        seed: Seed of initialisation and data order.
        template: Name of the rendering template.
        eval_dataset_key: Dataset for the loss during training, or None.
        time_budget_s: Seconds after which training ends with a usable model, or None.
        request: The request that the settings come from, or None.
    """

    trainer: dict[str, Any]
    seed: int = 0
    template: str = "show_your_work"
    eval_dataset_key: str | None = None
    time_budget_s: float | None = None
    request: Mapping[str, Any] | None = None


def requested(config: RunConfig) -> TrainingRequest | None:
    """The request that a configuration comes from."""
    if config.request is None:
        return None
    return structure(TrainingRequest, config.request, "training request")


def trainer_config(
    plugins: Plugins, trainer: str, config: RunConfig
) -> tuple[ProvidedTrainer, Any, str | None]:
    """A run's trainer, the instance of its config class, and a line about what has no effect.

    Args:
        plugins: Where the trainer is.
        trainer: Its name.
        config: The run's configuration.

    Raises:
        UsageError: There is no such trainer, or it refuses a setting.
    """
    provided = plugins.find(TRAINER, trainer)
    request = requested(config)
    if request is None:
        return provided, provided.config(config.trainer), None
    settings, left_out = trainer_settings(provided, request)
    note = f"{provided.full_name} has no setting for: {', '.join(left_out)}" if left_out else None
    return provided, provided.config(config.trainer or settings), note
