"""LoRA (Hu et al., 2021): merged into the weights, and in files as PEFT has them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from safetensors.numpy import save_file

from tunix_core.errors import UsageError
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.directories import replacing
from tunix_jax.models.weight_table import Weight, weight_table

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Ours, PEFT's.
_FACTORS = (("lora_a", "lora_A"), ("lora_b", "lora_B"))


def merged(parts: Mapping[str, jax.Array], alpha: float | None) -> jax.Array:
    """``W + A B alpha / r`` in float32, or ``W`` as it is where there are no factors.

    Args:
        parts: ``weight`` [..., inputs, outputs] and, perhaps, ``lora_a`` [..., inputs, r] and
            ``lora_b`` [..., r, outputs].
        alpha: Scale of the factors.

    Raises:
        UsageError: There are factors and no ``alpha``.
    """
    weight = parts["weight"]
    if "lora_a" not in parts:
        return weight
    if alpha is None:
        raise UsageError("there are LoRA factors and no lora_alpha")
    a, b = (parts[name].astype(jnp.float32) for name in ("lora_a", "lora_b"))
    product = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
    return weight.astype(jnp.float32) + product * (alpha / a.shape[-1])


def write_adapter(
    directory: Path,
    params: Mapping[str, Any],
    config: DecoderConfig,
    *,
    alpha: float,
    base_model: str | None = None,
) -> None:
    """Replace a directory by the LoRA factors, loadable by PEFT.

    With several processes each must call this; the first one writes.

    Args:
        directory: What to replace.
        params: With ``lora_a`` [L, inputs, r] and ``lora_b`` [L, r, outputs] beside weights.
        config: The decoder.
        alpha: Scale of the factors.
        base_model: What they belong to: a directory or an id on the Hub.

    Raises:
        UsageError: There are no factors.
        TunixError: The disk is full or the directory cannot be written.
    """
    adapted = [weight for weight in weight_table(config) if "lora_a" in _node(params, weight)]
    if not adapted:
        raise UsageError("these parameters have no LoRA factors")
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for weight in adapted:
        for ours, theirs in _FACTORS:
            stacked = _on_host(_node(params, weight)[ours])
            for place in weight.places:
                name = _peft_name(weight.tensor(place), theirs)
                tensors[name] = np.ascontiguousarray(stacked[place].T)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": int(_node(params, adapted[0])["lora_a"].shape[-1]),
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": [weight.name.split(".")[-2] for weight in adapted],
    }
    with replacing(directory) if jax.process_index() == 0 else nullcontext() as temporary:
        if temporary is not None:
            save_file(tensors, temporary / _WEIGHTS, metadata={"format": "pt"})
            text = json.dumps(settings, indent=2) + "\n"
            (temporary / _CONFIG).write_text(text, encoding="utf-8")


def _peft_name(name: str, factor: str) -> str:
    return f"base_model.model.{name.removesuffix('.weight')}.{factor}.weight"


def _node(params: Mapping[str, Any], weight: Weight) -> Mapping[str, Any]:
    """The dictionary that an array of a block is in; nothing for one outside the blocks."""
    if not weight.stacked or weight.path[-1] != "weight":
        return {}
    node: Mapping[str, Any] = functools.reduce(
        lambda inner, key: inner[key], weight.path[:-1], params
    )
    return node


def _on_host(value: Any) -> np.ndarray[Any, Any]:
    if jax.process_count() > 1:
        value = multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(value, np.float32)
