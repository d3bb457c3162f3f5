"""How parameters and optimizer state lie on a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tunix_jax.models.matrices import MATRICES
from tunix_jax.sharding import FSDP, TENSOR

# The axis of the mesh along which each axis of a parameter is cut; others stay whole.
_CUT = {"d_model": FSDP, "vocab_size": TENSOR, "queries": TENSOR, "keys": TENSOR, "d_ff": TENSOR}
_TABLE: tuple[str, ...] = ("vocab_size", "d_model")
_AXES = {
    **dict.fromkeys(("embedding", "previous_embedding", "head"), _TABLE),
    **{matrix.name: matrix.axes for matrix in MATRICES},
}
_INNER = {"lora_a": -1, "lora_b": -2}


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


def _spec(path: Sequence[str], shape: Sequence[int], mesh: Mesh) -> P:
    name = next((part for part in path if part in _AXES), None)
    if name is None or path[-1] == "bias":
        return P()
    cut = [_CUT.get(axis) for axis in _AXES[name]]
    # An adapter's inner axis stays whole.
    if path[-1] in _INNER:
        cut[_INNER[path[-1]]] = None
    layers: list[str | None] = [None] * (len(shape) - len(cut))
    # An axis that a parameter cannot be cut along stays whole.
    return P(
        *(
            axis if axis and size % mesh.shape[axis] == 0 else None
            for axis, size in zip(layers + cut, shape, strict=True)
        )
    )
