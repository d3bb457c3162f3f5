"""Small models of every family in Hugging Face's layout, for tests: the same bytes every time."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tunix_jax.models.huggingface import decoder_config
from tunix_jax.models.weight_table import Weight, weight_table

LENGTH = 24

_SIZE = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
_GEMMA = {
    **_SIZE,
    "head_dim": 12,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 20,
    "sliding_window": 6,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

# ``config.json`` as files on the Hub have it. Windows are shorter than LENGTH, softcaps low and
# contexts stretched, so that a model that ignores them gives other logits.
SMALL: dict[str, dict[str, Any]] = {
    "gemma2": {
        **_GEMMA,
        "model_type": "gemma2",
        "architectures": ["Gemma2ForCausalLM"],
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 4.0,
    },
    "gemma3": {
        **_GEMMA,
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "rope_theta": 1000.0,
        "rope_local_base_freq": 10.0,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
        "sliding_window_pattern": 3,
    },
    "llama": {
        **_SIZE,
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "rms_norm_eps": 1e-5,
        "rope_theta": 500.0,
        "rope_scaling": _LLAMA3,
        "tie_word_embeddings": False,
    },
    "llama-tied": {
        **_SIZE,
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "head_dim": 16,
        "rope_scaling": {"type": "linear", "factor": 3.0},
        "tie_word_embeddings": True,
    },
    "qwen2": {
        **_SIZE,
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
    },
    "qwen3": {
        **_SIZE,
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "head_dim": 16,
        "rope_theta": 1_000_000,
        "use_sliding_window": False,
        "sliding_window": None,
        "tie_word_embeddings": False,
    },
}


def small_tensors(config: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor of a small model by name, float32; norms and biases are not trivial."""
    table = weight_table(decoder_config(config))
    return {name: _draw(weight, name, config) for weight in table for name in weight.names}


def write_small_model(directory: Path, kind: str, shards: int = 1) -> dict[str, Any]:
    """Write ``config.json`` and safetensors of a family of ``SMALL``.

    Args:
        directory: Where to; made if it is not there.
        kind: Name of the family.
        shards: Number of files.

    Returns:
        The ``config.json``.
    """
    config = SMALL[kind]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = small_tensors(config)
    if shards == 1:
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        return config
    names: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = dict(list(tensors.items())[shard::shards])
        names |= dict.fromkeys(part, file)
        save_file(part, directory / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": names}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return config


def small_tokens(vocab_size: int = 40, length: int = LENGTH) -> np.ndarray[Any, Any]:
    """int32[1, length] token ids."""
    draws = np.random.Generator(np.random.Philox(1)).integers(0, vocab_size, (1, length))
    return draws.astype(np.int32)


def _draw(weight: Weight, name: str, config: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    generator = np.random.Generator(np.random.Philox(zlib.crc32(name.encode())))
    values = generator.standard_normal(weight.stored_shape)
    if weight.transposed:
        values *= weight.shape[0] ** -0.5
    elif weight.path[-1] == "scale":
        values = 0.3 * values + (not str(config["model_type"]).startswith("gemma"))
    else:
        values *= 0.4
    return values.astype(np.float32)
