"""One mesh over every device, and how parameters, rows and optimizer state lie on it.

Axes: ``data`` repeats the parameters, ``fsdp`` cuts them and gathers them when they are used
(Rajbhandari et al., 2020), ``tensor`` cuts heads, MLP and vocabulary (Shoeybi et al., 2019).
Rows are spread over ``data`` and ``fsdp``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tunix_core.errors import UsageError

DATA, FSDP, TENSOR = "data", "fsdp", "tensor"
ROWS = (DATA, FSDP)

# Axis of the mesh for each axis of a parameter, the axis of layers left out.
_RULES: dict[str, tuple[str | None, ...]] = {
    "embedding": (TENSOR, FSDP),
    "previous_embedding": (TENSOR, FSDP),
    "head": (TENSOR, FSDP),
    "query": (FSDP, TENSOR),
    "key": (FSDP, TENSOR),
    "value": (FSDP, TENSOR),
    "attention_out": (TENSOR, FSDP),
    "gate": (FSDP, TENSOR),
    "up": (FSDP, TENSOR),
    "down": (TENSOR, FSDP),
}


def make_mesh(wanted: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh over all devices, or the given ones.

    Args:
        wanted: Size of each axis; one of them may be -1 for what is left.
        devices: Devices, all of the process group by default.

    Raises:
        UsageError: The sizes do not multiply to the number of devices.
    """
    chosen = list(present_devices() if devices is None else devices)
    sizes = {axis: wanted[axis] for axis in (DATA, FSDP, TENSOR)}
    fixed = int(np.prod([size for size in sizes.values() if size != -1]))
    text = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    sizes = {axis: len(chosen) // fixed if size == -1 else size for axis, size in sizes.items()}
    if int(np.prod(list(sizes.values()))) != len(chosen):
        raise UsageError(
            f"mesh: {text} does not make {len(chosen)} devices",
            "let the sizes multiply to it, or give one of them as -1",
        )
    kinds = (AxisType.Auto,) * 3
    shape, names = tuple(sizes.values()), tuple(sizes)
    return jax.make_mesh(shape, names, axis_types=kinds, devices=chosen)


def present_devices(platform: str | None = None) -> list[Any]:
    """The devices of this process group.

    Args:
        platform: ``cpu``, ``gpu`` or ``tpu``; None for the best that is there.

    Raises:
        UsageError: There is none of that kind, or of the kind that was chosen for the process.
    """
    try:
        return list(jax.devices(platform))
    except (RuntimeError, AssertionError):
        wanted = platform or jax.config.values["jax_platforms"] or "device"
        raise UsageError(
            f"there is no {wanted.partition(',')[0]} here",
            "unset JAX_PLATFORMS and the setting device, or name a kind that is here, as cpu",
        ) from None


def describe(mesh: Mesh) -> dict[str, str | int]:
    """What a mesh is made of, for the records of a run."""
    device = mesh.devices.flat[0]
    return {
        "platform": str(device.platform),
        "device_kind": str(device.device_kind),
        "devices": int(mesh.size),
        "hosts": jax.process_count(),
    }


def row_shards(mesh: Mesh) -> int:
    """Over how many shards rows are spread."""
    return int(mesh.shape[DATA] * mesh.shape[FSDP])


def constrain_rows(x: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Say that the first axis of ``x`` is spread over the shards of rows."""
    if mesh is None or mesh.size == 1:
        return x
    spec = P(ROWS, *(None,) * (x.ndim - 1))
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))


def look_up(table: jax.Array, tokens: jax.Array, dtype: jnp.dtype, mesh: Mesh | None) -> jax.Array:
    """Rows of a table, wherever its parts lie; they move, the table does not.

    Args:
        table: [words, width], cut along ``tensor`` and ``fsdp``.
        tokens: int32[rows, length], spread over the shards of rows.
        dtype: Type of the result.
        mesh: Devices, or None.

    Returns:
        dtype[rows, length, width].
    """
    words, width = table.shape
    if mesh is None or mesh.size == 1 or words % mesh.shape[TENSOR] or width % mesh.shape[FSDP]:
        return table[tokens].astype(dtype)

    def on_device(part: jax.Array, own: jax.Array) -> jax.Array:
        wanted = jax.lax.all_gather(own, FSDP, axis=0, tiled=True)
        wanted = wanted - jax.lax.axis_index(TENSOR) * part.shape[0]
        here = (wanted >= 0) & (wanted < part.shape[0])
        found = part[jnp.clip(wanted, 0, part.shape[0] - 1)].astype(dtype)
        found = jax.lax.psum(jnp.where(here[..., None], found, 0), TENSOR)
        return jax.lax.all_to_all(found, FSDP, split_axis=0, concat_axis=2, tiled=True)

    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(P(TENSOR, FSDP), P(ROWS, None)),
        out_specs=P(ROWS, None, None),
        check_vma=False,
    )(table, tokens)


def param_shardings(params: Any, mesh: Mesh) -> Any:
    """The sharding of each parameter (arrays or their abstract shapes), as a tree like them."""

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        return NamedSharding(mesh, _spec([key.key for key in path], leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(sharding, params)


def state_shardings(state: Any, params: Any, mesh: Mesh) -> Any:
    """Shardings of an optimizer's state: moments lie as their parameters, the rest everywhere."""
    lying = {
        jax.tree_util.keystr(path): (leaf.shape, sharding)
        for (path, leaf), sharding in zip(
            jax.tree_util.tree_leaves_with_path(params),
            jax.tree.leaves(param_shardings(params, mesh)),
            strict=True,
        )
    }
    everywhere = NamedSharding(mesh, P())

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        # A moment's path ends with its parameter's path.
        for start in range(len(path)):
            shape, found = lying.get(jax.tree_util.keystr(path[start:]), (None, None))
            if found is not None and shape == leaf.shape:
                return found
        return everywhere

    return jax.tree_util.tree_map_with_path(sharding, state)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of batches [accumulation, rows, length]."""
    return NamedSharding(mesh, P(None, ROWS, None))


def _spec(path: Sequence[str], shape: Sequence[int], mesh: Mesh) -> P:
    name = next((part for part in path if part in _RULES), None)
    if name is None or path[-1] in ("scale", "bias"):
        return P()
    axes = _RULES[name]
    # An adapter's inner axis stays whole.
    axes = {"lora_a": (axes[0], None), "lora_b": (None, axes[1])}.get(path[-1], axes)
    axes = (None,) * (len(shape) - 2) + axes
    # An axis that a parameter cannot be cut along stays whole.
    return P(
        *(
            axis if axis and size % mesh.shape[axis] == 0 else None
            for axis, size in zip(axes, shape, strict=True)
        )
    )
