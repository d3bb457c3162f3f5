"""The safetensors files of a model directory, memory-mapped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - teaches numpy bfloat16, which most files have
import numpy as np
from safetensors import SafetensorError, safe_open

from tunix_core.errors import TunixError, UsageError
from tunix_jax.models.weight_table import Weight

# What stands before ``model.`` or instead of it in multimodal checkpoints and headless ones.
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")
_TEXT = re.compile(r"^(embed_tokens|embed_previous_tokens|layers\.\d+|norm)\.")
_DERIVED = re.compile(r"rotary_emb\.inv_freq$")
_FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}


class TensorFiles:
    """Tensors by name over one or many files.

    Args:
        directory: Holds ``model.safetensors``, or shards and ``model.safetensors.index.json``.

    Raises:
        UsageError: It holds neither.
        TunixError: A shard is missing or torn.
    """

    def __init__(self, directory: Path) -> None:
        self._files: dict[str, Path] = {}
        self._handles: dict[Path, Any] = {}
        self._stored: dict[str, str] = {}
        for path in _paths(directory):
            try:
                handle: Any = safe_open(path, framework="np")
            except SafetensorError as error:
                raise TunixError(f"{path} is broken: {error}", "copy it again") from None
            self._handles[path] = handle
            for name in handle.keys():  # noqa: SIM118 - it is not a dictionary
                self._files[name] = path
                self._stored[canonical(name)] = name
        self._where = directory

    def check(self, table: Iterable[Weight]) -> None:
        """Compare the files with what must be in them.

        Raises:
            TunixError: A tensor is missing, of the wrong shape or type, or not expected.
        """
        expected = {name: weight for weight in table for name in weight.tensors}
        for name, weight in expected.items():
            if name not in self._stored:
                raise TunixError(
                    f"{self._where}: tensor {name} is missing", "config.json and weights differ"
                )
            self._check_one(name, weight)
        for name, stored in self._stored.items():
            of_text = _TEXT.match(name.removeprefix("model.")) and not _DERIVED.search(name)
            if of_text and name not in expected:
                raise TunixError(
                    f"{self._files[stored]}: unexpected tensor {stored}",
                    "config.json and weights differ",
                )

    def _check_one(self, name: str, weight: Weight) -> None:
        stored = self._stored[name]
        path = self._files[stored]
        view = self._handles[path].get_slice(stored)
        if tuple(view.get_shape()) != weight.stored_shape:
            raise TunixError(
                f"{path}: tensor {stored} has shape {tuple(view.get_shape())}, "
                f"expected {weight.stored_shape}",
                "config.json and weights differ",
            )
        if view.get_dtype() not in _FLOATS:
            raise TunixError(
                f"{path}: tensor {stored} has type {view.get_dtype()}",
                f"known are {', '.join(_FLOATS)}",
            )

    def dtype(self, name: str) -> str:
        """The type of a tensor in its file, such as ``bfloat16``."""
        stored = self._stored[name]
        return _FLOATS[self._handles[self._files[stored]].get_slice(stored).get_dtype()]

    def read(self, name: str, part: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """A part of a tensor, in the type of the file."""
        stored = self._stored[name]
        values: np.ndarray[Any, Any] = self._handles[self._files[stored]].get_slice(stored)[part]
        return values


def canonical(name: str) -> str:
    """The name that a tensor of the language model has in a text-only checkpoint."""
    if name.endswith("lm_head.weight"):
        return "lm_head.weight"
    for prefix in _PREFIXES:
        if name.startswith(prefix) and _TEXT.match(name[len(prefix) :]):
            return "model." + name[len(prefix) :]
    return name


def _paths(directory: Path) -> list[Path]:
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise UsageError(f"{directory} is no model: model.safetensors is missing")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise TunixError(f"{index} is broken", "copy it again") from None
    for name in names:
        if not (directory / name).is_file():
            raise TunixError(f"{directory / name} is missing", f"{index.name} names it")
    return [directory / name for name in names]
