"""A training request in the words of the wire contract: as settings of a trainer, as a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import fields_dict

from tunix_core.plugins import ProvidedTrainer
from tunix_core.records import TrainingRequest

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


def trainer_settings(provided: ProvidedTrainer, request: TrainingRequest) -> dict[str, Any]:
    """A request as settings of a trainer.

    Raises:
        UsageError: The trainer's plugin is broken.
    """
    meant = {setting: getattr(request, name) for name, setting in setting_names(provided).items()}
    return {**meant, **request.settings}


def without_effect(provided: ProvidedTrainer) -> str | None:
    """A line about the fields of a request for which a trainer has no setting.

    Raises:
        UsageError: The trainer's plugin is broken.
    """
    names = setting_names(provided)
    left_out = ", ".join(name for name in SETTING_FIELDS if name not in names)
    return f"{provided.full_name} has no setting for: {left_out}" if left_out else None


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
