"""``config.json`` of Hugging Face models to and from :class:`DecoderConfig`.

Families differ by the tables in this file. Both layouts are read: that of transformers 4, which
files on the Hub have (``rope_theta``, ``rope_scaling``, ``rope_local_base_freq``,
``sliding_window_pattern``), and that of transformers 5 (``rope_parameters``, ``layer_types``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from tunix_core.codec import structure, unstructure
from tunix_core.errors import InvalidRecordError, UsageError
from tunix_jax.models.decoder_config import DecoderConfig

OWN = "tunix_decoder"
SLIDING, FULL = "sliding_attention", "full_attention"


@frozen
class Family:
    """What sets a family apart.

    Args:
        architecture: Its class in transformers.
        fixed: Fields of :class:`DecoderConfig` that its code decides.
        defaults: What transformers takes for keys that ``config.json`` leaves out.
        activation: The key that names the activation.
        period: Every how many layers one has no window, where there are no ``layer_types``;
            0 where the family has no such rule.
        local_rope: Layers with a window have a rotary base of their own, which is not scaled.
    """

    architecture: str
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    activation: str = "hidden_act"
    period: int = 0
    local_rope: bool = False


_GEMMA = {"norm_plus_one": True, "post_norms": True, "embedding_scale": True}
_GEMMA_DEFAULTS = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
}
_DEFAULTS = {
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_theta": 10_000.0,
}
_QWEN_DEFAULTS = {
    **_DEFAULTS,
    "num_key_value_heads": 32,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
}

FAMILIES = {
    "gemma2": Family(
        "Gemma2ForCausalLM",
        _GEMMA,
        {
            **_GEMMA_DEFAULTS,
            "vocab_size": 256_000,
            "rope_theta": 10_000.0,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        "hidden_activation",
        period=2,
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        {**_GEMMA, "qk_norm": True},
        {
            **_GEMMA_DEFAULTS,
            "vocab_size": 262_208,
            "rope_theta": 1_000_000.0,
            "rope_local_base_freq": 10_000.0,
        },
        "hidden_activation",
        period=6,
        local_rope=True,
    ),
    "qwen3": Family("Qwen3ForCausalLM", {"qk_norm": True}, {**_QWEN_DEFAULTS, "head_dim": 128}),
    "qwen2": Family("Qwen2ForCausalLM", {"attention_bias": True}, _QWEN_DEFAULTS),
    "llama": Family("LlamaForCausalLM", {}, _DEFAULTS),
}
KNOWN = (*FAMILIES, "gemma3", OWN)

# Names of one function; the first of each is written.
_ACTIVATIONS = {
    "silu": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "swish": "silu",
    "gelu_new": "gelu_tanh",
}
# Fields that are one key of config.json each.
_PLAIN = {
    "vocab_size": "vocab_size",
    "layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "heads": "num_attention_heads",
    "d_ff": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "tied": "tie_word_embeddings",
}
_CAPS = {
    "attention_softcap": "attn_logit_softcapping",
    "logit_softcap": "final_logit_softcapping",
}
_SCALING = {
    "factor": "factor",
    "low_frequency_factor": "low_freq_factor",
    "high_frequency_factor": "high_freq_factor",
    "original_length": "original_max_position_embeddings",
}
# What this decoder does not have, and so must be absent or false.
_REFUSED = ("attention_bias", "mlp_bias", "use_bidirectional_attention", "quantization_config")
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that a ``config.json`` describes.

    Args:
        config: The parsed file; of a multimodal Gemma 3 its text part is taken.

    Raises:
        UsageError: The architecture is not known, a key is missing, or the model has something
            that this decoder does not.
        InvalidRecordError: A value is of the wrong type or out of range.
    """
    if config.get("model_type") == OWN:
        return structure(DecoderConfig, config.get("decoder"), "decoder in config.json")
    kind, text = text_part(config)
    family = FAMILIES[kind]
    for key in _REFUSED:
        if text.get(key):
            raise UsageError(f"config.json: {key} is {text[key]!r}; {kind} is read without it")
    try:
        fields = _fields({**family.defaults, **text}, family)
    except KeyError as missing:
        raise UsageError(f"config.json: {missing.args[0]} is missing") from None
    except (TypeError, ArithmeticError, AttributeError) as error:
        raise UsageError(f"config.json: a value is of the wrong type: {error}") from None
    return structure(DecoderConfig, fields, "config.json")


def _fields(values: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Fields of :class:`DecoderConfig` from the keys of ``config.json`` and their defaults."""
    fields = dict(family.fixed) | {name: values[key] for name, key in _PLAIN.items()}
    fields |= _heads(values) | _rope(values, family) | _windows(values, family)
    fields["activation"] = _activation(values, family)
    if "query_pre_attn_scalar" in family.defaults:
        fields["attention_scale"] = values["query_pre_attn_scalar"] ** -0.5
        fields |= {name: values.get(key) for name, key in _CAPS.items()}
    if fields["rope_scaling"] and fields["window"] and not family.local_rope:
        raise UsageError("config.json: rope_scaling together with a sliding window is not known")
    return fields


def text_part(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model type of the language model in a ``config.json``, and its keys.

    Raises:
        UsageError: The architecture is not known.
    """
    kind = config.get("model_type")
    text = dict(config)
    if kind == "gemma3":
        inherited = (*_TOKEN_IDS, "tie_word_embeddings", "quantization_config")
        shared = {key: config[key] for key in inherited if key in config}
        kind, text = "gemma3_text", shared | dict(config.get("text_config") or {})
    if kind not in FAMILIES:
        named = kind or ", ".join(config.get("architectures") or ()) or "none"
        raise UsageError(f"unknown architecture {named}", f"known are {', '.join(KNOWN)}")
    return str(kind), text


def hf_config(decoder: DecoderConfig, base: Mapping[str, Any] | None, dtype: str) -> dict[str, Any]:
    """The ``config.json`` of a decoder, loadable by transformers where it knows the family.

    Args:
        decoder: The shape.
        base: The ``config.json`` of the pretrained model, whose other keys are kept; None when
            there was none.
        dtype: Of the stored weights, such as ``bfloat16``.
    """
    kept: dict[str, Any] = {}
    kinds = list(FAMILIES)
    if base is not None and base.get("model_type") != OWN:
        kind, kept = text_part(base)
        kept |= {"model_type": kind, "architectures": [FAMILIES[kind].architecture]}
        kept.pop("dtype", None)
        if _describes(kept, decoder):
            return {**kept, "torch_dtype": dtype}
        kinds = [kind]
    for kind in kinds:
        written = _written(decoder, kind, dtype)
        if _describes(written, decoder):
            return written | {key: kept[key] for key in _TOKEN_IDS if key in kept}
    return {
        "architectures": ["TunixDecoder"],
        "model_type": OWN,
        "torch_dtype": dtype,
        "decoder": unstructure(decoder),
    }


def _describes(config: Mapping[str, Any], decoder: DecoderConfig) -> bool:
    try:
        read = decoder_config(config)
    except (UsageError, InvalidRecordError):
        return False
    same = unstructure(read) | {"windowed": None, "attention_scale": read.scale}
    wanted = unstructure(decoder) | {"windowed": None, "attention_scale": decoder.scale}
    return bool(same == wanted and read.windows == decoder.windows)


def _heads(values: Mapping[str, Any]) -> dict[str, Any]:
    heads, head_dim = values["num_attention_heads"], values["head_dim"]
    kv_heads = values["num_key_value_heads"]
    return {
        "kv_heads": heads if kv_heads is None else kv_heads,
        "head_dim": values["hidden_size"] // heads if head_dim is None else head_dim,
    }


def _activation(values: Mapping[str, Any], family: Family) -> str:
    name = values[family.activation]
    if name not in _ACTIVATIONS:
        raise UsageError(
            f"config.json: unknown {family.activation} {name!r}",
            f"known are {', '.join(_ACTIVATIONS)}",
        )
    return _ACTIVATIONS[name]


def _rope(values: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Rotary bases and scaling from either layout."""
    rope = values.get("rope_parameters")
    local: Mapping[str, Any] = {}
    if rope is None:
        rope = values.get("rope_scaling") or {}
    elif FULL in rope or SLIDING in rope:
        local, rope = rope.get(SLIDING) or {}, rope.get(FULL) or {}
        if not family.local_rope and local not in ({}, rope):
            raise UsageError("config.json: rope_parameters differ between layers")
    read = {
        "rope_theta": rope.get("rope_theta", values["rope_theta"]),
        "rope_scaling": _scaling(values, rope),
    }
    if family.local_rope:
        if _scaling(values, local) is not None:
            raise UsageError(f"config.json: rope scaling in {SLIDING} is not known")
        read["local_rope_theta"] = local.get("rope_theta", values["rope_local_base_freq"])
    return read


def _scaling(values: Mapping[str, Any], rope: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", values.get("partial_rotary_factor")) not in (None, 1):
        raise UsageError("config.json: partial_rotary_factor other than 1 is not known")
    if kind == "default":
        return None
    if kind == "linear":
        return {"kind": kind, "factor": rope.get("factor")}
    if kind == "llama3":
        lengths = {"original_max_position_embeddings": values.get("max_position_embeddings")}
        given = {**lengths, **rope}
        return {"kind": kind} | {name: given.get(key) for name, key in _SCALING.items()}
    raise UsageError(
        f"config.json: unknown rope_type {kind!r}", "known are default, linear and llama3"
    )


def _windows(values: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """The window and the shortest pattern of layers that have it."""
    window = values.get("sliding_window") if "sliding_window" in family.defaults else None
    if window is None or not values.get("use_sliding_window", True):
        return {"window": None}
    layers = range(values["num_hidden_layers"])
    kinds = values.get("layer_types")
    if kinds is not None:
        if set(kinds) - {SLIDING, FULL} or len(kinds) != len(layers):
            raise UsageError(
                f"config.json: layer_types must be {len(layers)} times {SLIDING} or {FULL}"
            )
        pattern = [kind == SLIDING for kind in kinds]
    elif family.period:
        given = values.get("sliding_window_pattern") or values.get("_sliding_window_pattern")
        period = given or family.period
        pattern = [bool((layer + 1) % period) for layer in layers]
    else:
        pattern = [layer >= values["max_window_layers"] for layer in layers]
    if not any(pattern):
        return {"window": None}
    return {"window": window, "windowed": _shortest(pattern)}


def _shortest(pattern: list[bool]) -> list[bool]:
    """The shortest beginning that, repeated, gives the pattern."""
    length = next(
        n
        for n in range(1, len(pattern) + 1)
        if all(value == pattern[i % n] for i, value in enumerate(pattern))
    )
    return pattern[:length]


def _written(decoder: DecoderConfig, kind: str, dtype: str) -> dict[str, Any]:
    """The decoder in the words of a family, whether or not it can say everything."""
    family = FAMILIES[kind]
    names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
    config: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": kind,
        **{key: getattr(decoder, name) for name, key in _PLAIN.items()},
        "num_key_value_heads": decoder.kv_heads,
        "head_dim": decoder.head_dim,
        family.activation: names[decoder.activation],
        "rope_theta": decoder.rope_theta,
        "torch_dtype": dtype,
    }
    if decoder.rope_scaling is not None:
        scaling = unstructure(decoder.rope_scaling)
        keys = _SCALING if scaling["kind"] == "llama3" else {"factor": "factor"}
        config["rope_scaling"] = {"rope_type": scaling["kind"]} | {
            key: scaling[name] for name, key in keys.items()
        }
        if scaling["kind"] == "llama3":
            stretched = scaling["original_length"] * scaling["factor"]
            config["max_position_embeddings"] = int(stretched)
    if family.local_rope:
        config["rope_local_base_freq"] = decoder.local_rope_theta
    if "query_pre_attn_scalar" in family.defaults:
        config["query_pre_attn_scalar"] = round(decoder.scale**-2)
        config |= {key: getattr(decoder, name) for name, key in _CAPS.items()}
    if "sliding_window" in family.defaults:
        kinds = [FULL if window is None else SLIDING for window in decoder.windows]
        config |= {"sliding_window": decoder.window, "layer_types": kinds}
    if "use_sliding_window" in family.defaults:
        config["use_sliding_window"] = decoder.window is not None
    return config
