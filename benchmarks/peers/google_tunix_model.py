"""A Qwen 3 model directory as google-tunix's model, in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from tunix.models.qwen3 import model as qwen3
from tunix.models.qwen3 import params


def load(directory: Path) -> Any:
    """The model, with google-tunix's own reader of safetensors."""
    shape = json.loads((directory / "config.json").read_text())
    config = qwen3.ModelConfig(
        num_layers=shape["num_hidden_layers"],
        vocab_size=shape["vocab_size"],
        embed_dim=shape["hidden_size"],
        hidden_dim=shape["intermediate_size"],
        num_heads=shape["num_attention_heads"],
        head_dim=shape["head_dim"],
        num_kv_heads=shape["num_key_value_heads"],
        rope_theta=int(shape["rope_theta"]),
        norm_eps=shape["rms_norm_eps"],
        use_tied_embedding=True,
        dtype=jnp.float32,
        param_dtype=jnp.float32,
    )
    return params.create_model_from_safe_tensors(str(directory), config, dtype=jnp.float32)
