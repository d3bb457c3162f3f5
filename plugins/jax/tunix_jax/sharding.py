"""One mesh over every device, and how rows lie on it.

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


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of batches [accumulation, rows, length]."""
    return NamedSharding(mesh, P(None, ROWS, None))
