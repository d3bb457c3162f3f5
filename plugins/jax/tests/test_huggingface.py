"""Models in Hugging Face's layout: read, computed and written back.

``golden_logits.json`` holds what transformers answers for the small models of
:mod:`tunix_jax.testing`; ``make_golden_logits.py`` in this folder writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attrs import evolve

from tunix_core.errors import InvalidRecordError, UsageError
from tunix_jax.models.decoder import Decoder
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.huggingface import decoder_config, hf_config
from tunix_jax.models.shapes import SHAPES
from tunix_jax.models.weights import read_params
from tunix_jax.testing import SMALL, small_tokens, write_small_model

GOLDEN = json.loads(Path(__file__).with_name("golden_logits.json").read_text(encoding="utf-8"))

# What the Hub has for some of the named shapes, without keys that do not matter here.
HUB: dict[str, dict[str, Any]] = {
    "gemma-2-2b": {
        "model_type": "gemma2",
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_attention_heads": 8,
        "num_hidden_layers": 26,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "vocab_size": 256000,
    },
    "gemma-3-1b": {
        "model_type": "gemma3_text",
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 1152,
        "intermediate_size": 6912,
        "num_attention_heads": 4,
        "num_hidden_layers": 26,
        "num_key_value_heads": 1,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06,
        "rope_local_base_freq": 10000,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "vocab_size": 262144,
    },
    "gemma-3-4b": {
        "model_type": "gemma3",
        "eos_token_id": [1, 106],
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "vision_config": {"hidden_size": 1152},
    },
    "llama-3.2-1b": {
        "model_type": "llama",
        "attention_bias": False,
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "num_attention_heads": 32,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "vocab_size": 128256,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "max_window_layers": 21,
        "num_attention_heads": 14,
        "num_hidden_layers": 24,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    "qwen3-0.6b": {
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_window_layers": 28,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
}


def logits_of(directory: Path, config: DecoderConfig) -> np.ndarray[Any, Any]:
    """float32[length, vocab_size] for the fixed tokens."""
    decoder = Decoder(config)
    tokens = jnp.asarray(small_tokens(config.vocab_size))
    positions = jnp.arange(tokens.shape[1])[None]

    @jax.jit
    def compute(params: Any) -> jax.Array:
        ones = jnp.ones_like(tokens)
        hidden = decoder.hidden(params, tokens, ones, positions, jnp.dtype("float32"))
        return decoder.logits(params, hidden)

    logits: np.ndarray[Any, Any] = np.asarray(compute(read_params(directory, config, np.float32)))
    return np.asarray(logits[0])


@pytest.mark.parametrize(("kind", "shards"), [(kind, 1 + 2 * (kind == "llama")) for kind in SMALL])
def test_logits_are_those_of_transformers(kind: str, shards: int, tmp_path: Path) -> None:
    config = decoder_config(write_small_model(tmp_path, kind, shards))
    golden = np.asarray(GOLDEN[kind])
    np.testing.assert_allclose(logits_of(tmp_path, config)[-len(golden) :], golden, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("gemma2", {"window": None}),
        ("gemma2", {"attention_softcap": None}),
        ("gemma2", {"attention_scale": None}),
        ("gemma3", {"rope_scaling": None}),
        ("gemma3", {"local_rope_theta": None}),
        ("llama", {"rope_scaling": None}),
        ("llama", {"norm_eps": 0.01}),
        ("qwen2", {"window": 6}),
    ],
)
def test_the_golden_logits_depend_on_what_families_differ_in(
    kind: str, change: Any, tmp_path: Path
) -> None:
    config = decoder_config(write_small_model(tmp_path, kind))
    golden = np.asarray(GOLDEN[kind])
    other = logits_of(tmp_path, evolve(config, **change))[-len(golden) :]
    assert np.abs(other - golden).max() > 2e-3


@pytest.mark.parametrize("name", HUB)
def test_named_shapes_are_those_of_the_hub(name: str) -> None:
    assert decoder_config(HUB[name]) == SHAPES[name].decoder


def test_both_layouts_of_rotary_settings_mean_the_same() -> None:
    gemma = {key: value for key, value in SMALL["gemma3"].items() if "rope" not in key}
    gemma["layer_types"] = [*["sliding_attention"] * 2, "full_attention", "sliding_attention"]
    del gemma["sliding_window_pattern"]
    gemma["rope_parameters"] = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10.0},
        "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
    }
    assert decoder_config(gemma) == decoder_config(SMALL["gemma3"])
    llama = {key: value for key, value in SMALL["llama"].items() if "rope" not in key}
    llama["rope_parameters"] = {**SMALL["llama"]["rope_scaling"], "rope_theta": 500.0}
    assert decoder_config(llama) == decoder_config(SMALL["llama"])


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_can_be_written_and_read(name: str) -> None:
    decoder = evolve(SHAPES[name].decoder, vocab_size=500)
    config = json.loads(json.dumps(hf_config(decoder, None, "bfloat16")))
    assert decoder_config(config) == decoder
    family = name.replace(".", "").partition("-")[0].rstrip("0123456789")
    assert config["model_type"].startswith("tunix" if SHAPES[name].repository is None else family)


def test_what_a_config_says_besides_the_shape_is_kept() -> None:
    base = HUB["gemma-3-4b"]
    config = hf_config(decoder_config(base), base, "float32")
    assert config["model_type"] == "gemma3_text"
    assert config["architectures"] == ["Gemma3ForCausalLM"]
    assert config["eos_token_id"] == [1, 106]
    assert config["torch_dtype"] == "float32"
    assert decoder_config(config) == decoder_config(base)
    larger = evolve(decoder_config(base), vocab_size=300_000)
    assert hf_config(larger, base, "float32")["eos_token_id"] == [1, 106]
    assert decoder_config(hf_config(larger, base, "float32")) == larger


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("llama", {"model_type": "mamba"}, r"unknown architecture mamba \(known are gemma2"),
        ("llama", {"model_type": None}, "unknown architecture LlamaForCausalLM"),
        ("llama", {"attention_bias": True}, "attention_bias is True; llama is read without"),
        ("llama", {"mlp_bias": True}, "mlp_bias"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("llama", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "unknown rope_type 'yarn'"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ("llama", {"hidden_act": "relu"}, "unknown hidden_act 'relu'"),
        ("qwen2", {"layer_types": ["chunked_attention"] * 4}, "layer_types"),
        ("qwen2", {"rope_scaling": {"type": "linear", "factor": 4.0}}, "sliding window"),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ],
)
def test_what_the_decoder_does_not_have_is_refused(kind: str, change: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        decoder_config({**SMALL[kind], **change})
    assert "\n" not in str(caught.value)


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="num_hidden_layers is missing"):
        decoder_config({"model_type": "llama", "vocab_size": 10})
    with pytest.raises(UsageError, match="a value is of the wrong type"):
        decoder_config({**SMALL["gemma2"], "query_pre_attn_scalar": "many"})
    with pytest.raises(InvalidRecordError, match="kv_heads: 3 does not divide heads 4"):
        decoder_config({**SMALL["llama"], "num_key_value_heads": 3})
    with pytest.raises(InvalidRecordError, match="vocab_size"):
        decoder_config({**SMALL["llama"], "vocab_size": "many"})
