"""Small models of every family in Hugging Face's layout, for tests: the same bytes every time."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

from tunix_jax.models.adapters import merged
from tunix_jax.models.huggingface import decoder_config
from tunix_jax.models.weight_table import Weight, weight_table
from tunix_jax.text.tokenizer import TextTokenizer

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

# The turns of Gemma's and of Qwen's chat templates: how they begin, end, and call the model.
_TURNS = {
    "gemma": ("<start_of_turn>", "<end_of_turn>", "model"),
    "other": ("<|im_start|>", "<|im_end|>", "assistant"),
}


def small_tensors(config: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor of a small model by name, float32; norms and biases are not trivial."""
    table = weight_table(decoder_config(config))
    return {name: _draw(weight, name, config) for weight in table for name in weight.tensors}


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


def write_small_pretrained(
    directory: Path, kind: str, texts: Iterable[str], vocab_size: int = 512
) -> dict[str, Any]:
    """Write what training goes on from: a small random model, its tokenizer and chat template.

    Args:
        directory: Where to; made if it is not there.
        kind: Name of the family.
        texts: What the tokenizer is trained on.
        vocab_size: Largest vocabulary, the two tokens of turns left out.

    Returns:
        The ``config.json``.
    """
    begin, end, model = _TURNS["gemma" if kind.startswith("gemma") else "other"]
    tokenizer = _with_tokens(TextTokenizer.train(texts, vocab_size), [begin, end])
    config = {**SMALL[kind], "vocab_size": tokenizer.vocab_size, "max_position_embeddings": 4096}
    config |= {"num_hidden_layers": 2}
    config |= {"sliding_window_pattern": 2} if "sliding_window_pattern" in config else {}
    # Sharp attention over random features, softcaps and short windows leave little to learn.
    config |= {name: None for name in config if name.endswith("softcapping")}
    config |= {"sliding_window": 256} if config.get("sliding_window") else {}
    tensors = small_tensors(config)
    for name in tensors:
        if name.endswith("embed_tokens.weight"):
            tensors[name] *= np.float32(0.25)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(directory / "tokenizer.json")
    template = (
        "{{ bos_token }}{% for message in messages %}"
        f"{begin}{{{{ '{model}' if message.role == 'assistant' else message.role }}}}\n"
        f"{{{{ message.content | trim }}}}{end}\n{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{begin}{model}\n{{% endif %}}"
    )
    settings = {"bos_token": "<bos>", "eos_token": end, "pad_token": "<pad>"}
    settings["chat_template"] = template
    for file, content in (("config.json", config), ("tokenizer_config.json", settings)):
        (directory / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return config


def _with_tokens(tokenizer: TextTokenizer, tokens: list[str]) -> TextTokenizer:
    """A tokenizer with further control tokens."""
    state = json.loads(tokenizer.files()["tokenizer.json"])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for number, token in enumerate(tokens, start=tokenizer.vocab_size):
        state["added_tokens"].append({"id": number, "content": token, "special": True, **flags})
    return TextTokenizer({"tokenizer.json": json.dumps(state, ensure_ascii=False).encode()})


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


_merge = jax.jit(merged, static_argnames="alpha")


def merge_lora(params: Mapping[str, Any], alpha: float) -> dict[str, Any]:
    """Parameters without LoRA factors: each merged into its weight, which becomes float32."""

    def merge(node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        if "lora_a" in node:
            rest = {key: node[key] for key in node if key not in ("weight", "lora_a", "lora_b")}
            return {**rest, "weight": _merge(dict(node), alpha)}
        return {key: merge(value) for key, value in node.items()}

    result: dict[str, Any] = merge(params)
    return result
