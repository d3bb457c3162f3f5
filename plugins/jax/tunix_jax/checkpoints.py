"""Checkpoints of the training state, and models on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from attrs import asdict
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tunix_core.codec import structure
from tunix_core.errors import ConflictError, TunixError, UsageError
from tunix_core.files import sync_directory
from tunix_jax.config import ModelConfig, TrainerConfig
from tunix_jax.tokenizer import TextTokenizer
from tunix_jax.train_step import TrainState

# Settings that may change between a stop and a resume without changing what is computed.
_FREE = frozenset({"checkpoint_every", "keep_checkpoints", "eval_every"})


class Checkpoints:
    """The newest states of a run, written in the background, whole or not at all.

    Args:
        directory: Where they lie.
        config: Stored with them; a resume with another one is refused.
        data_key: What the rows were made of; as ``config``.
    """

    def __init__(self, directory: Path, config: TrainerConfig, data_key: str) -> None:
        self._identity = {
            **{key: value for key, value in asdict(config).items() if key not in _FREE},
            "data": data_key,
        }
        options = ocp.CheckpointManagerOptions(
            max_to_keep=config.keep_checkpoints, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def save(self, step: int, state: TrainState) -> None:
        """Begin to write a state; does nothing when this step is written already."""
        if self._manager.latest_step() != step:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    identity=ocp.args.JsonSave(self._identity),
                ),
            )

    def restore(self, like: TrainState) -> TrainState | None:
        """The newest state, or None when there is none.

        Raises:
            ConflictError: It was written under another config or for other data.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        stored = self._manager.restore(
            step, args=ocp.args.Composite(identity=ocp.args.JsonRestore())
        )["identity"]
        wanted = json.loads(json.dumps(self._identity))
        differing = sorted(k for k in wanted if stored.get(k) != wanted[k])
        if differing:
            raise ConflictError(
                f"the checkpoint was made with another {', '.join(differing)}",
                "resume with the same settings, or start a new run",
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        )
        state: TrainState = restored["state"]
        return state

    def close(self) -> None:
        """Wait until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()


def save_model(
    directory: Path, params: Any, shape: ModelConfig, tokenizer: TextTokenizer, dtype: str
) -> None:
    """Write ``model.safetensors``, ``config.json`` and ``tokenizer.json``; replaces all or none."""
    temporary = directory.with_name(f".{directory.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    flat = traverse_util.flatten_dict(params)
    arrays = {".".join(map(str, path)): np.asarray(value) for path, value in flat.items()}
    save_file(arrays, temporary / "model.safetensors")
    config = {"architecture": "tunix_jax.decoder", "dtype": dtype, "model": asdict(shape)}
    (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(temporary / "tokenizer.json")
    shutil.rmtree(directory, ignore_errors=True)
    temporary.rename(directory)
    sync_directory(directory.parent)


def load_model(directory: Path) -> tuple[Any, ModelConfig, TextTokenizer, str]:
    """Parameters, shape, tokenizer and compute type of a saved model.

    Raises:
        UsageError: A file is missing.
        TunixError: A file does not belong to the others.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (directory / name).is_file():
            raise UsageError(f"{directory} is no model: {name} is missing")
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    shape = structure(ModelConfig, config["model"], "model config")
    tokenizer = TextTokenizer.load(directory / "tokenizer.json")
    if tokenizer.vocab_size != shape.vocab_size:
        raise TunixError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} tokens, "
            f"the model {shape.vocab_size}"
        )
    try:
        flat = load_file(directory / "model.safetensors")
    except SafetensorError as error:
        raise TunixError(f"{directory}/model.safetensors is broken: {error}") from error
    keyed = {tuple(_key(part) for part in name.split(".")): v for name, v in flat.items()}
    return traverse_util.unflatten_dict(keyed), shape, tokenizer, str(config["dtype"])


def _key(part: str) -> str | int:
    """Members of a list have numbers for names."""
    return int(part) if part.isdigit() else part
