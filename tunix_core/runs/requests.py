"""What a client asks a trainer for in the words of the wire contract, and its translation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, fields_dict, frozen

from tunix_core.plugins import ProvidedTrainer

Device = Literal["cpu", "cuda", "auto"]
Mode = Literal["local", "dry-run"]

# The fields that a trainer's settings may obey, in the order of the training manifest.
SETTING_FIELDS = (
    "model_id",
    "learning_rate",
    "weight_decay",
    "num_epochs",
    "batch_size",
    "max_seq_length",
    "device",
)


@frozen(kw_only=True)
class TrainingRequest:
    """A training run as it was asked for.

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
    mode: Mode = "local"
    trainer: str = "jax"
    settings: Mapping[str, Any] = field(factory=dict)
    seed: int = 0
    eval_dataset_key: str | None = None
    time_budget_s: float | None = None


def setting_names(provided: ProvidedTrainer) -> dict[str, str]:
    """The trainer's setting for each field of a request that it can obey.

    Args:
        provided: A trainer.

    Returns:
        Names of settings by names of fields.

    Raises:
        UsageError: The trainer's plugin is broken.
    """
    cls = provided.config_class()
    known = {} if cls is None else fields_dict(cls)
    mapped = provided.contribution.request_fields
    names = {name: mapped.get(name, name) for name in SETTING_FIELDS}
    return {name: setting for name, setting in names.items() if setting in known}


def trainer_settings(
    provided: ProvidedTrainer, request: TrainingRequest
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A request as settings of a trainer, and the fields for which it has no setting.

    Raises:
        UsageError: The trainer's plugin is broken.
    """
    names = setting_names(provided)
    settings = {setting: getattr(request, name) for name, setting in names.items()}
    left_out = tuple(name for name in SETTING_FIELDS if name not in names)
    return {**settings, **request.settings}, left_out


def training_manifest(request: TrainingRequest) -> dict[str, Any]:
    """The manifest of a training run; the order of its keys is kept.

    Args:
        request: With an ``output_dir``, or the manifest's is ``outputs``.
    """
    return {
        "version": "1.0",
        "runner": "tunix",
        "mode": "sft",
        "model": {"model_id": request.model_id},
        "dataset": {"format": "tunix_sft", "path": f"./datasets/{request.dataset_key}.jsonl"},
        "training": {name: getattr(request, name) for name in SETTING_FIELDS if name != "model_id"},
        "output": {"output_dir": request.output_dir or "outputs"},
    }


def manifest_yaml(manifest: Mapping[str, Any]) -> str:
    """A manifest as YAML that versions 1.1 and 1.2 read alike.

    Raises:
        ValueError: A value is no number, text or section, or not finite.
    """
    lines: list[str] = []
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            lines.append(f"{key}:")
            lines += [f"  {name}: {_scalar(entry)}" for name, entry in value.items()]
        else:
            lines.append(f"{key}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} has no place in a manifest")
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    if isinstance(value, str):
        # What JSON escapes YAML reads alike; it may hold fewer characters as they are.
        return "".join(c if " " <= c <= "~" else f"\\U{ord(c):08x}" for c in text)
    # YAML 1.1 takes 2e-05 for text.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
