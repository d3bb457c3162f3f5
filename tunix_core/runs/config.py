"""How the settings of a run's trainer follow from what was asked for, once."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from tunix_core.codec import unstructure
from tunix_core.errors import ConflictError
from tunix_core.plugins import ProvidedTrainer
from tunix_core.records import Run, RunConfig
from tunix_core.runs.requests import trainer_settings


def resolve(provided: ProvidedTrainer, config: RunConfig) -> RunConfig:
    """A configuration with its trainer's settings; as it is when it has them already.

    Args:
        provided: The trainer.
        config: The configuration.

    Raises:
        UsageError: The trainer refuses a setting that was asked for.
    """
    if config.trainer is not None:
        return config
    asked = config.requested
    if config.request is not None:
        asked = trainer_settings(provided, config.request)
    return evolve(config, trainer=unstructure(provided.config(asked)) or {})


def accepted_settings(provided: ProvidedTrainer, run: Run) -> Any:
    """The instance of the trainer's config class for a run.

    Raises:
        ConflictError: What was asked for has not been accepted yet.
        UsageError: The trainer has changed since, and refuses a setting.
    """
    if run.config.trainer is None:
        raise ConflictError(
            f"the settings of run {run.id} have not been accepted yet",
            "execute it on the first host, then join",
        )
    return provided.config(run.config.trainer)
