"""What all sides of a comparison get: one model directory, and the same examples as token ids."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tunix_jax.data.batches import Shuffle
from tunix_jax.data.packing import pack
from tunix_jax.data.token_cache import TokenizedExamples, read_examples, tokenized
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer

TEMPLATE = "show_your_work"
SEED = 0
_WORDS = 1024


@frozen
class Shape:
    """A Qwen 3 decoder with a tied head: a family that all sides have.

    Args:
        vocab_size: Rows of the embedding.
        layers: Number of blocks.
        d_model: Width of the residual stream.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a head.
        d_ff: Inner width of the MLP.
    """

    vocab_size: int
    layers: int = 4
    d_model: int = 256
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    d_ff: int = 768


@frozen
class Batches:
    """Files with the batches of each way to feed a trainer, and what they hold.

    Args:
        padded: ``tokens`` and ``targets``, int32[steps, examples, length], of google-tunix's way.
        packed: The same and ``segments`` and ``positions``, int32[steps, rows, length].
        examples: ``tokens``, ``lengths`` and ``prompt_lengths``; one after another.
        per_step: Examples in a padded batch: about as many as there are in a packed one.
        padding: Share of padding in padded and in packed batches.
    """

    padded: Path
    packed: Path
    examples: Path
    per_step: int
    padding: tuple[float, float]


def write_data(path: Path, count: int) -> None:
    """``count`` traces of dev-reasoning-v1, one a line."""
    command = [str(Path(sys.executable).with_name("tunix-rt")), "--workspace", str(path.parent)]
    command += ["traces", "generate", "dev-reasoning-v1", "--count", str(count), "-o", str(path)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def write_model(directory: Path, shape: Shape, data: Path) -> None:
    """Random weights and a tokenizer of the full vocabulary, as a Hugging Face directory.

    The tokenizer is trained on ``data``; words that nobody says fill its vocabulary up.
    """
    directory.mkdir()
    texts = (text for e in read_examples(data, TEMPLATE) for text in (e.prompt, e.completion))
    tokenizer = TextTokenizer.train(texts, _WORDS)
    _write_tokenizer(directory, tokenizer, shape.vocab_size)
    save_file(_weights(shape), directory / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        # google-tunix's Qwen 3 knows no other.
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "max_position_embeddings": 4096,
        "torch_dtype": "float32",
        "bos_token_id": tokenizer.begin,
        "eos_token_id": tokenizer.end,
        "pad_token_id": tokenizer.pad,
    }
    (directory / "config.json").write_text(json.dumps(config))


def widen(model: Path, directory: Path, vocab_size: int) -> None:
    """A copy of a model with a larger vocabulary; its new words have the logit 0."""
    shutil.copytree(model, directory)
    tensors = load_file(directory / "model.safetensors")
    table = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = np.pad(table, ((0, vocab_size - len(table)), (0, 0)))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"vocab_size": vocab_size}))
    _fill_tokenizer(directory / "tokenizer.json", vocab_size)


def _fill_tokenizer(path: Path, vocab_size: int) -> None:
    state = json.loads(path.read_text())
    words = state["model"]["vocab"]
    words.update({f"<unused {number}>": number for number in range(len(words), vocab_size)})
    path.write_text(json.dumps(state))


def _write_tokenizer(directory: Path, tokenizer: TextTokenizer, vocab_size: int) -> None:
    tokenizer.save(directory / "tokenizer.json")
    _fill_tokenizer(directory / "tokenizer.json", vocab_size)
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def _weights(shape: Shape) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(SEED)

    def matrix(outputs: int, inputs: int) -> NDArray[np.float32]:
        return random.standard_normal((outputs, inputs), np.float32) * np.float32(0.02)

    def scale(width: int) -> NDArray[np.float32]:
        return np.ones(width, np.float32)

    d, f = shape.d_model, shape.d_ff
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    tensors = {
        "model.embed_tokens.weight": matrix(shape.vocab_size, d),
        "model.norm.weight": scale(d),
    }
    for layer in range(shape.layers):
        parts = {
            "input_layernorm": scale(d),
            "post_attention_layernorm": scale(d),
            "self_attn.q_norm": scale(shape.head_dim),
            "self_attn.k_norm": scale(shape.head_dim),
            "self_attn.q_proj": matrix(queries, d),
            "self_attn.k_proj": matrix(keys, d),
            "self_attn.v_proj": matrix(keys, d),
            "self_attn.o_proj": matrix(d, queries),
            "mlp.gate_proj": matrix(f, d),
            "mlp.up_proj": matrix(f, d),
            "mlp.down_proj": matrix(d, f),
        }
        tensors |= {f"model.layers.{layer}.{name}.weight": part for name, part in parts.items()}
    return tensors


def write_batches(
    directory: Path, model: Path, data: Path, length: int, rows: int, steps: int
) -> Batches:
    """The batches of ``steps`` steps: packed as our trainer packs and shuffles them, and padded."""
    encoder = PromptEncoder(TextTokenizer.from_directory(model))
    assert encoder.tokenizer.pad == 0, "google-tunix takes 0 for padding"
    examples = tokenized(data, TEMPLATE, encoder)
    packed = pack(examples, length, encoder.tokenizer.pad)
    assert packed.too_long == 0
    per_step = round(rows * len(examples) / len(packed))
    shuffle = Shuffle(len(packed), rows, SEED)
    of_steps = [packed.take(shuffle.rows(step)) for step in range(steps)]
    columns = {name: np.stack([batch[name] for batch in of_steps]) for name in of_steps[0]}
    # The same examples in the same order, cut into batches of one size.
    chosen = [e for step in range(steps) for e in packed.examples_of(shuffle.rows(step))]
    padded = _padded(examples, chosen, length, per_step)
    paths = {name: directory / f"{name}.npz" for name in ("padded", "packed", "examples")}
    np.savez(paths["packed"], **columns)  # type: ignore[arg-type]
    np.savez(paths["padded"], **padded)  # type: ignore[arg-type]
    np.savez(
        paths["examples"],
        tokens=np.concatenate([examples.ids(e) for e in chosen]).astype(np.int32),
        lengths=examples.lengths[chosen],
        prompt_lengths=examples.prompt_lengths[chosen],
    )
    share = float(examples.lengths[chosen].mean()) / length
    return Batches(**paths, per_step=per_step, padding=(1 - share, packed.padding))


def _padded(
    examples: TokenizedExamples, chosen: list[int], length: int, per_step: int
) -> dict[str, NDArray[np.int32]]:
    shape = (len(chosen) // per_step, per_step, length)
    tokens, targets = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for place, example in enumerate(chosen[: shape[0] * per_step]):
        ids = examples.ids(example)
        at = divmod(place, per_step)
        tokens[at][: len(ids)] = ids
        targets[at][examples.prompt_lengths[example] : len(ids)] = 1
    return {"tokens": tokens, "targets": targets}
