"""Weights on disk: streamed to their devices, written back, adapters, and what can be broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import load_file, save_file

from tunix_core.errors import TunixError, UsageError
from tunix_jax.models.adapters import write_adapter
from tunix_jax.models.decoder import Decoder
from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.huggingface import decoder_config
from tunix_jax.models.shapes import SHAPES
from tunix_jax.models.weight_table import Weight
from tunix_jax.models.weights import read_params, stored_dtype, write_model
from tunix_jax.testing import SMALL, merge_lora, small_tensors, write_small_model

LORA = Lora(rank=3, alpha=6.0, targets=("q_proj", "down_proj"))
LLAMA = decoder_config(SMALL["llama"])


def new_params(config: DecoderConfig, lora: Lora | None = None) -> Any:
    """Random parameters, made without a compilation."""
    random = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(random.standard_normal(leaf.shape, np.float32)),
        jax.eval_shape(Decoder(config, lora).init, 0),
    )


def files_of(directory: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor in a directory."""
    return {k: v for path in directory.glob("*.safetensors") for k, v in load_file(path).items()}


def assert_same(left: Any, right: Any) -> None:
    """The same tree with the same bits."""

    def check(one: Any, other: Any) -> None:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))

    jax.tree.map(check, left, right)


@pytest.mark.parametrize("kind", SMALL)
def test_what_is_written_is_what_was_read(kind: str, tmp_path: Path) -> None:
    config = decoder_config(write_small_model(tmp_path / "old", kind, shards=3))
    params = read_params(tmp_path / "old", config, np.float32)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, jax.eval_shape(Decoder(config).init, 0)
    )
    write_model(tmp_path / "new", params, config, {}, dtype=np.float32)
    written = files_of(tmp_path / "new")
    assert written.keys() == files_of(tmp_path / "old").keys()
    for name, tensor in small_tensors(SMALL[kind]).items():
        np.testing.assert_array_equal(written[name], tensor)


def test_shards_are_small_and_named_in_an_index(tmp_path: Path) -> None:
    write_small_model(tmp_path / "old", "llama")
    params = read_params(tmp_path / "old", LLAMA, np.float32)
    copied: dict[str, bytes | Path] = {
        "config.json": tmp_path / "old" / "config.json",
        "tunix.json": b"{}",
    }
    write_model(tmp_path / "new", params, LLAMA, copied, dtype="bfloat16", max_shard_bytes=20_000)
    shards = sorted((tmp_path / "new").glob("model-*.safetensors"))
    assert len(shards) > 2
    assert all(path.stat().st_size < 22_000 for path in shards)
    assert shards[-1].name == f"model-{len(shards):05}-of-{len(shards):05}.safetensors"
    index = json.loads((tmp_path / "new" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == files_of(tmp_path / "new").keys()
    assert index["metadata"]["total_size"] == sum(
        tensor.nbytes for tensor in files_of(tmp_path / "new").values()
    )
    assert stored_dtype(tmp_path / "new", LLAMA) == "bfloat16"
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    assert_same(read_params(tmp_path / "new", LLAMA, jnp.bfloat16), rounded)
    assert (tmp_path / "new" / "tunix.json").read_bytes() == b"{}"


def test_a_model_from_scratch_is_stored_too(tmp_path: Path) -> None:
    config = evolve(SHAPES["tiny"].decoder, vocab_size=50)
    params = new_params(config)
    write_model(tmp_path / "model", params, config, {}, dtype=np.float32)
    assert_same(read_params(tmp_path / "model", config, np.float32), params)


@pytest.mark.parametrize("prefix", ["model.language_model.", "language_model.model.", ""])
def test_the_text_part_of_other_checkpoints_is_found(prefix: str, tmp_path: Path) -> None:
    config = decoder_config(write_small_model(tmp_path / "text", "gemma3"))
    tensors = files_of(tmp_path / "text")
    renamed = {prefix + name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    renamed["vision_tower.vision_model.encoder.layers.0.layer_norm1.weight"] = np.ones(3)
    (tmp_path / "other").mkdir()
    save_file(renamed, tmp_path / "other" / "model.safetensors")
    expected = read_params(tmp_path / "text", config, np.float32)
    assert_same(read_params(tmp_path / "other", config, np.float32), expected)


def test_a_model_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    params = new_params(LLAMA)
    model = tmp_path / "model"
    write_model(model, params, LLAMA, {"old.json": b"1"}, dtype=np.float32)
    with pytest.raises(TunixError, match="cannot write") as caught:
        write_model(model, params, LLAMA, {"new.json": tmp_path / "none"}, dtype=np.float32)
    assert "\n" not in str(caught.value)
    assert {path.name for path in model.iterdir()} == {"old.json", "model.safetensors"}
    write_model(model, params, LLAMA, {"new.json": b"2"}, dtype=np.float32)
    assert {path.name for path in model.iterdir()} == {"new.json", "model.safetensors"}
    assert list(tmp_path.iterdir()) == [model]


def _edit_tensors(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = directory / "model-00002-of-00003.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def _tear(directory: Path) -> None:
    path = directory / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


_NORM = "model.layers.3.input_layernorm.weight"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda d: (d / "model-00002-of-00003.safetensors").unlink(),
            r"00002-of-00003.* is missing",
        ),
        (_tear, "00002-of-00003.safetensors is broken"),
        (lambda d: (d / "model.safetensors.index.json").write_text("{"), "index.json is broken"),
        (
            lambda d: _edit_tensors(d, lambda t: t.pop(_NORM)),
            "tensor model.layers.3.input_layernorm.weight is missing",
        ),
        (
            lambda d: _edit_tensors(d, lambda t: t.update({_NORM: np.ones(31, np.float32)})),
            r"00002-of.* tensor model.*input_layernorm.* has shape \(31,\), expected \(32,\)",
        ),
        (
            lambda d: _edit_tensors(d, lambda t: t.update({_NORM: np.ones(32, np.int8)})),
            "input_layernorm.weight has type I8",
        ),
        (
            lambda d: _edit_tensors(
                d, lambda t: t.update({"model.layers.0.self_attn.o_proj.bias": np.ones(32)})
            ),
            "unexpected tensor model.layers.0.self_attn.o_proj.bias",
        ),
    ],
)
def test_broken_weights_are_one_line(
    harm: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    write_small_model(tmp_path, "llama", shards=3)
    harm(tmp_path)
    with pytest.raises(TunixError, match=message) as caught:
        read_params(tmp_path, LLAMA, np.float32)
    assert "\n" not in str(caught.value)


def test_a_directory_without_weights_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no model: model\.safetensors is missing"):
        read_params(tmp_path, LLAMA, np.float32)


def test_merging_is_adding_the_product(tmp_path: Path) -> None:
    params = new_params(LLAMA, LORA)
    merged = merge_lora(params, alpha=6.0)
    for name in ("query", "down"):
        part = params["blocks"][name]
        product = np.einsum("lir,lro->lio", part["lora_a"], part["lora_b"])
        expected = part["weight"] + 2.0 * product
        assert merged["blocks"][name].keys() == {"weight"}
        np.testing.assert_allclose(merged["blocks"][name]["weight"], expected, atol=1e-5)
    write_model(tmp_path / "m", params, LLAMA, {}, dtype=np.float32, lora_alpha=6.0)
    written = read_params(tmp_path / "m", LLAMA, np.float32)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), written, merged)
    with pytest.raises(UsageError, match="no lora_alpha"):
        write_model(tmp_path / "m", params, LLAMA, {}, dtype=np.float32)


def test_an_adapter_is_stored_as_peft_reads_it(tmp_path: Path) -> None:
    params = new_params(LLAMA, LORA)
    write_adapter(tmp_path / "a", params, LLAMA, alpha=6.0, base_model="meta/llama")
    settings = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (3, 6.0)
    assert settings["target_modules"] == ["q_proj", "down_proj"]
    assert settings["base_model_name_or_path"] == "meta/llama"
    stored = files_of(tmp_path / "a")
    assert len(stored) == 2 * 2 * LLAMA.layers
    for ours, theirs in (("query", "self_attn.q_proj"), ("down", "mlp.down_proj")):
        for layer in range(LLAMA.layers):
            name = f"base_model.model.model.layers.{layer}.{theirs}"
            for key, factor in (("lora_a", "lora_A"), ("lora_b", "lora_B")):
                tensor = stored[f"{name}.{factor}.weight"]
                np.testing.assert_array_equal(tensor.T, params["blocks"][ours][key][layer])
    with pytest.raises(UsageError, match="no LoRA factors"):
        write_adapter(tmp_path / "a", new_params(LLAMA), LLAMA, alpha=1.0)


def test_an_array_may_stack_tensors_along_more_than_layers() -> None:
    name = "model.layers.{}.mlp.experts.{}.up_proj.weight"
    weight = Weight(("blocks", "up", "weight"), name, (4, 6), stacked=(2, 3), transposed=True)
    assert (weight.full_shape, weight.stored_shape) == ((2, 3, 4, 6), (6, 4))
    assert weight.tensors == [
        f"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight"
        for layer in range(2)
        for expert in range(3)
    ]


SHARDED = """
import sys
from pathlib import Path
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.huggingface import decoder_config
from tunix_jax.testing import SMALL
from tunix_jax.models.weights import read_params, write_model

source, target = map(Path, sys.argv[1:])
config = decoder_config(SMALL["qwen2"])
mesh = Mesh(np.array(jax.devices()).reshape(2, 2, 2), ("data", "fsdp", "tensor"))
spec = {1: P("fsdp"), 2: P("tensor", "fsdp"), 3: P(None, "fsdp", "tensor")}
alone = read_params(source, config, np.float32)
shardings = jax.tree.map(lambda x: NamedSharding(mesh, spec[x.ndim]), alone)
params = read_params(source, config, np.float32, shardings)
jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim) or exit(3), params, shardings)
jax.tree.map(np.testing.assert_array_equal, jax.device_get(params), jax.device_get(alone))
gate = params["blocks"]["gate"]["weight"]
assert gate.addressable_shards[0].data.shape == (4, 16, 24), gate.addressable_shards[0].data.shape
replicated = NamedSharding(mesh, P())
jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(read_params(source, config, np.float32, replicated)),
    jax.device_get(alone),
)
write_model(target, params, config, {}, dtype=np.float32)
"""


def test_devices_hold_only_their_part(tmp_path: Path) -> None:
    write_small_model(tmp_path / "old", "qwen2", shards=2)
    subprocess.run(
        [sys.executable, "-c", SHARDED, tmp_path / "old", tmp_path / "new"],
        check=True,
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"},
    )
    old, new = files_of(tmp_path / "old"), files_of(tmp_path / "new")
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[name], new[name]) for name in old)


def test_half_precision_files_become_what_is_asked_for(tmp_path: Path) -> None:
    config = write_small_model(tmp_path, "qwen3")
    tensors = {k: v.astype(ml_dtypes.bfloat16) for k, v in small_tensors(config).items()}
    save_file(tensors, tmp_path / "model.safetensors")
    decoder = decoder_config(config)
    wide, narrow = (read_params(tmp_path, decoder, kind) for kind in ("float32", "bfloat16"))
    assert_same(jax.tree.map(lambda x: x.astype(jnp.float32), narrow), wide)
