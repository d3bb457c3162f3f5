"""Offers Optuna's samplers to tunix-rt; imports no Optuna."""

from __future__ import annotations

from tunix_core.contributions import TunerContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_tuners() -> list[TunerContribution]:
    return [
        TunerContribution(
            name="optuna",
            summary="Learns from the trials so far (tree-structured Parzen estimator)",
            factory="tunix_tune.sampling:learning_tuner",
            default=True,
        ),
        TunerContribution(
            name="random",
            summary="Draws every trial at random",
            factory="tunix_tune.sampling:random_tuner",
        ),
    ]
