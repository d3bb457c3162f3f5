"""Weights from Hugging Face's safetensors files straight to their devices, and back."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from safetensors.numpy import save_file

from tunix_jax.models.adapters import merged
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.directories import replacing
from tunix_jax.models.tensor_files import TensorFiles
from tunix_jax.models.weight_table import Weight, weight_table

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# A tensor: its weight, and its place on the stacked axes of that.
_Place = tuple[Weight, tuple[int, ...]]


def read_params(
    directory: Path,
    config: DecoderConfig,
    dtype: Any,
    shardings: Any = None,
) -> dict[str, Any]:
    """Parameters of a model directory, each part read by the device that holds it.

    Every tensor is checked before the first is loaded; the host holds one array at a time.

    Args:
        directory: Holds ``model.safetensors``, or shards and ``model.safetensors.index.json``.
        config: The decoder; says which tensors there must be.
        dtype: Of the parameters, whatever the files have.
        shardings: A sharding for each parameter, nested as they are; or one for all; None for
            the first device.

    Returns:
        Nested dictionary of arrays; tensors of the blocks are stacked on a leading layer axis,
        and weights are [inputs, outputs].

    Raises:
        UsageError: The directory has no weights.
        TunixError: A shard or tensor is missing, of the wrong shape, unexpected or torn.
    """
    table = weight_table(config)
    files = TensorFiles(directory)
    files.check(table)
    if shardings is None:
        shardings = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    params: dict[str, Any] = {}
    for weight in table:
        sharding = shardings
        if not isinstance(sharding, jax.sharding.Sharding):
            sharding = functools.reduce(lambda node, key: node[key], weight.path, shardings)
        insert(params, weight.path, _read(files, weight, np.dtype(dtype), sharding))
    return params


def check_weights(directory: Path, config: DecoderConfig) -> None:
    """Refuse a model directory that lacks something, without loading anything.

    Raises:
        UsageError: The directory has no weights.
        TunixError: A shard or tensor is missing, of the wrong shape, unexpected or torn.
    """
    TensorFiles(directory).check(weight_table(config))


def stored_dtype(directory: Path, config: DecoderConfig) -> str:
    """The type of a model's weights in its files, such as ``bfloat16``.

    Raises:
        UsageError: The directory has no weights.
        TunixError: A shard or tensor is missing, of the wrong shape, unexpected or torn.
    """
    table = weight_table(config)
    files = TensorFiles(directory)
    files.check(table)
    return files.dtype(table[0].name)


def insert(params: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value in nested dictionaries, making those on the way."""
    *parents, last = path
    for key in parents:
        params = params.setdefault(key, {})
    params[last] = value


def _read(
    files: TensorFiles, weight: Weight, dtype: np.dtype[Any], sharding: jax.sharding.Sharding
) -> jax.Array:
    depth = len(weight.stacked)

    # Devices that hold the same part share one copy of it.
    @functools.cache
    def part(bounds: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
        axes = [range(*pair) for pair in bounds]
        out = np.empty([len(axis) for axis in axes], dtype)
        inner = bounds[depth:]
        stored = tuple(slice(*pair) for pair in (inner[::-1] if weight.transposed else inner))
        one_by_one = out.reshape(-1, *out.shape[depth:])
        for target, place in zip(one_by_one, product(*axes[:depth]), strict=True):
            values = files.read(weight.tensor(place), stored)
            target[...] = values.T if weight.transposed else values
        return out

    def callback(index: tuple[slice, ...] | None) -> np.ndarray[Any, Any]:
        index = index or tuple(slice(None) for _ in weight.full_shape)
        sizes = zip(index, weight.full_shape, strict=True)
        return part(tuple(axis.indices(size)[:2] for axis, size in sizes))

    return jax.make_array_from_callback(weight.full_shape, sharding, callback)


def write_model(
    directory: Path,
    params: Mapping[str, Any],
    config: DecoderConfig,
    files: Mapping[str, bytes | Path],
    *,
    dtype: Any,
    lora_alpha: float | None = None,
    max_shard_bytes: int = 2_000_000_000,
) -> None:
    """Replace a model directory by these weights and files; it is the old one or the new, whole.

    The host holds one shard at a time. With several processes each must call this; the first
    one writes.

    Args:
        directory: What to replace; its parent must exist.
        params: As :func:`read_params` gives them; may be sharded. LoRA factors beside a weight
            are merged into it.
        config: The decoder.
        files: Name and content, or the file to copy, of everything else: ``config.json``,
            ``tokenizer.json`` and so on.
        dtype: Of the stored tensors.
        lora_alpha: Scale of LoRA factors, if there are any.
        max_shard_bytes: Largest size of a file, unless one tensor alone is larger.

    Raises:
        TunixError: The disk is full or the directory cannot be written.
    """
    shards = _shards(weight_table(config), np.dtype(dtype).itemsize, max_shard_bytes)
    first = jax.process_index() == 0
    with replacing(directory) if first else nullcontext() as temporary:
        for name, shard in shards.items():
            tensors = {}
            for weight, place in shard:
                value = _tensor(params, weight, place, dtype, lora_alpha)
                if temporary is not None:
                    tensors[weight.tensor(place)] = value
            if temporary is not None:
                save_file(tensors, temporary / name, metadata={"format": "pt"})
        if temporary is not None:
            write_files(temporary, {**files, **_index(shards, np.dtype(dtype).itemsize)})
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"wrote {directory.name}")


def write_files(directory: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write contents, or copies of files, under their names."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        (directory / name).write_bytes(data)


def _shards(table: list[Weight], itemsize: int, max_bytes: int) -> dict[str, list[_Place]]:
    """Names of the files, and the tensors of each."""
    groups: list[list[_Place]] = [[]]
    size = 0
    for weight, place in _in_order(table):
        nbytes = int(np.prod(weight.shape)) * itemsize
        if groups[-1] and size + nbytes > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append((weight, place))
        size += nbytes
    if len(groups) == 1:
        return {SINGLE: groups[0]}
    total = len(groups)
    return {f"model-{n:05}-of-{total:05}.safetensors": g for n, g in enumerate(groups, start=1)}


def _in_order(table: list[Weight]) -> Iterator[_Place]:
    """Block by block, so that a block's tensors lie together."""
    blocks = [(weight, place) for weight in table if weight.stacked for place in weight.places]
    for weight in table:
        if not weight.stacked:
            yield weight, ()
        elif weight is blocks[0][0]:
            yield from sorted(blocks, key=lambda tensor: tensor[1][0])


def _index(shards: Mapping[str, list[_Place]], itemsize: int) -> dict[str, bytes | Path]:
    """The file that says which shard has a tensor; none for a single one."""
    if len(shards) == 1:
        return {}
    elements = sum(int(np.prod(weight.shape)) for shard in shards.values() for weight, _ in shard)
    names = {
        weight.tensor(place): name for name, shard in shards.items() for weight, place in shard
    }
    index = {"metadata": {"total_size": elements * itemsize}, "weight_map": names}
    return {INDEX: json.dumps(index, indent=2).encode()}


def _tensor(
    params: Mapping[str, Any],
    weight: Weight,
    place: tuple[int, ...],
    dtype: Any,
    alpha: float | None,
) -> np.ndarray[Any, Any]:
    """One tensor as files have it, on the host."""
    *parents, last = weight.path
    node: Mapping[str, Any] = functools.reduce(lambda inner, key: inner[key], parents, params)
    wanted = (last, "lora_a", "lora_b") if last == "weight" else (last,)
    parts = {key: node[key] for key in wanted if key in node}
    take = _taker(last, weight.transposed, alpha, np.dtype(dtype))
    value = take(parts, tuple(jnp.int32(axis) for axis in place))
    if jax.process_count() > 1:
        value = multihost_utils.process_allgather(value, tiled=True)
    return np.ascontiguousarray(np.asarray(value))


@functools.cache
def _taker(
    last: str, transposed: bool, alpha: float | None, dtype: np.dtype[Any]
) -> Callable[..., jax.Array]:
    """A compiled function that takes one place, merges LoRA factors, turns and converts it."""

    def take(parts: Mapping[str, jax.Array], place: tuple[jax.Array, ...]) -> jax.Array:
        for axis in place:
            parts = {
                key: jax.lax.dynamic_index_in_dim(value, axis, keepdims=False)
                for key, value in parts.items()
            }
        value = merged(parts, alpha) if last == "weight" else parts[last]
        return (value.T if transposed else value).astype(dtype)

    return jax.jit(take)
