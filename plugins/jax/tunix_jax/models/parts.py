"""Parameters in two parts: what is trained, and what is frozen."""

from __future__ import annotations

from flax import traverse_util

from tunix_jax.models.decoder import Params


def split_params(params: Params, *, lora: bool) -> tuple[Params, Params]:
    """What is trained and what is frozen: everything and nothing, or adapters and the rest."""
    if not lora:
        return params, {}
    flat = traverse_util.flatten_dict(params)
    adapters = {path: leaf for path, leaf in flat.items() if path[-1].startswith("lora_")}
    frozen = {path: leaf for path, leaf in flat.items() if path not in adapters}
    return traverse_util.unflatten_dict(adapters), traverse_util.unflatten_dict(frozen)


def join_params(trained: Params, frozen: Params) -> Params:
    """The parameters of the model from both parts; what is in both is trained."""
    if not frozen:
        return trained
    flat = {**traverse_util.flatten_dict(frozen), **traverse_util.flatten_dict(trained)}
    joined: Params = traverse_util.unflatten_dict(flat)
    return joined
