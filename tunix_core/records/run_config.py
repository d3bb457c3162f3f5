"""What a run is asked to do, and what came of it: the records inside a run's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from attrs import Attribute, field, frozen

Device = Literal["cpu", "cuda", "auto"]
RunMode = Literal["local", "dry-run"]
StopReason = Literal["completed", "early_stopping", "cancelled", "time_budget", "terminated"]


@frozen(kw_only=True)
class TrainingRequest:
    """A training run as a client of the wire contract asks for it.

    Args:
        dataset_key: The dataset to train on.
        model_id: Preset or model to start from.
        output_dir: Where the run is found besides ``runs/<id>``, below ``outputs/``; or None.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay.
        num_epochs: Passes over the data.
        batch_size: Sequences in a step.
        max_seq_length: Longest sequence in tokens.
        device: Where to train.
        mode: ``local`` trains, ``dry-run`` only validates.
        trainer: Name of the trainer.
        settings: The trainer's own settings; they win over the fields above.
        seed: Seed of initialisation and data order.
        eval_dataset_key: Dataset for the loss during training.
        time_budget_s: Seconds after which training ends with a usable model.
    """

    dataset_key: str
    model_id: str
    output_dir: str | None = None
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    num_epochs: int = 3
    batch_size: int = 8
    max_seq_length: int = 2048
    device: Device = "auto"
    mode: RunMode = "local"
    trainer: str = "default"
    settings: Mapping[str, Any] = field(factory=dict)
    seed: int = 0
    eval_dataset_key: str | None = None
    time_budget_s: float | None = None


def _amounts(_: object, attribute: Attribute[Any], value: Mapping[str, float]) -> None:
    for name, amount in value.items():
        if not (name and math.isfinite(amount) and amount >= 0):
            raise ValueError(f"{attribute.name}: {name!r} must be a number from 0, got {amount}")


@frozen(kw_only=True)
class RunConfig:
    """The configuration that is stored with a run.

    Args:
        trainer: The trainer's settings, resolved: complete with defaults. None until the trainer
            has accepted what was asked for.
        requested: The settings that were asked for, by the trainer's names; None where they are
            those of ``request``, or were not kept.
        seed: Seed of initialisation and data order.
        template: Name of the rendering template.
        eval_dataset_key: Dataset for the loss during training, or None.
        time_budget_s: Seconds after which training ends with a usable model, or None.
        request: The wire contract's request that the run comes from, or None.
        resources: What its processes need, see :class:`~tunix_core.protocols.ProcessRequest`.
    """

    trainer: Mapping[str, Any] | None = None
    requested: Mapping[str, Any] | None = None
    seed: int = 0
    template: str = "show_your_work"
    eval_dataset_key: str | None = None
    time_budget_s: float | None = None
    request: TrainingRequest | None = None
    resources: Mapping[str, float] = field(factory=dict, validator=_amounts)


@frozen(kw_only=True)
class RunResult:
    """What a run's trainer did.

    Args:
        steps: Optimizer steps taken in all, resumed ones included.
        tokens: Tokens seen in all, padding excluded.
        stop_reason: Why training ended.
        metrics: Final figures by name; the same seed gives the same.
        timings: Final figures that a clock or the machine had a part in, by name.
        hardware: What it was computed on, by name.
        weights_sha256: Digest of the model's file tree when training ended; None where there is
            no model, or where it was trained before digests were kept.
    """

    steps: int
    tokens: int
    stop_reason: StopReason
    metrics: Mapping[str, int | float] = field(factory=dict)
    timings: Mapping[str, int | float] = field(factory=dict)
    hardware: Mapping[str, str | int | float] = field(factory=dict)
    weights_sha256: str | None = None
