"""Offers the JAX trainer to tunix-rt; imports no JAX."""

from __future__ import annotations

from tunix_core.contributions import CommandContribution, Finding, TrainerContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_trainers() -> list[TrainerContribution]:
    return [
        TrainerContribution(
            name="jax",
            summary="Decoder language models with JAX, Flax, Optax and Orbax",
            factory="tunix_jax.trainer:JaxTrainer",
            config="tunix_jax.config:TrainerConfig",
            request_fields={
                "num_epochs": "epochs",
                "batch_size": "rows",
                "max_seq_length": "max_length",
            },
            execution_settings=("checkpoint_every", "device", "keep_checkpoints", "mesh"),
            leaves=("model", "adapter"),
            scratch=("checkpoints", "profile"),
            default=True,
        )
    ]


@hookimpl
def tunix_commands() -> list[CommandContribution]:
    return [
        CommandContribution(
            name="fit",
            summary="Say whether a training step fits, and how long it takes at least",
            factory="tunix_jax.fit.command:fit",
        )
    ]


@hookimpl
def tunix_findings() -> list[Finding]:
    # Only the doctor asks.
    from tunix_jax.devices import found_devices

    return [found_devices()]
