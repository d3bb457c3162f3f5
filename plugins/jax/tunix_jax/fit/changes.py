"""What to change in a step that does not fit: estimated first, then compiled."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from tunix_core.errors import UsageError
from tunix_jax.config import MeshConfig, TrainerConfig
from tunix_jax.fit.memory import step_memory
from tunix_jax.models.costs import parameters
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.sharding import FSDP, TENSOR, make_mesh, row_shards
from tunix_jax.training.train_step import TrainProgram

_SHORTEST = 256
_ENOUGH = 3


@frozen
class Change:
    """A change of settings with which the step fits.

    Args:
        text: The settings as they are written: ``accumulation=4 remat=full``.
        config: All settings with the change.
        total_bytes: What a device then holds.
        compiled: Whether that was found by the compiler; else it is estimated.
    """

    text: str
    config: TrainerConfig
    total_bytes: int
    compiled: bool = False


def estimated_changes(program: TrainProgram, temporaries: int, limit: int | None) -> list[Change]:
    """Up to three changes with which a step is estimated to fit, the least first.

    Arguments are counted exactly. Of the temporaries, gradients and what belongs to the
    vocabulary are counted, and the rest is taken to grow with the tokens of a micro-batch on a
    device and with what rematerialisation keeps of each.

    Args:
        program: What does not fit.
        temporaries: Bytes of temporaries that it needs on a device.
        limit: Bytes that a device has; None when that is not known.
    """
    found: list[Change] = []
    for changes in _candidates(program):
        config = evolve(program.config, **changes)
        try:
            mesh = make_mesh(config.mesh.sizes, list(program.mesh.devices.flat))
            changed = evolve(program, config=config, mesh=mesh)
        except UsageError:
            continue
        total = step_memory(changed, _scaled(temporaries, program, changed)).total
        if limit is None or total <= limit:
            found.append(Change(_text(changes), config, total))
        if len(found) == _ENOUGH:
            break
    return found


def _candidates(program: TrainProgram) -> list[dict[str, Any]]:
    config, shards, devices = program.config, row_shards(program.mesh), program.mesh.size
    same: list[dict[str, Any]] = [{}] if config.remat == "full" else [{}, {"remat": "full"}]
    smaller = []
    count = 2 * config.accumulation
    while config.rows % count == 0 and config.rows // count % shards == 0:
        smaller.append({"accumulation": count})
        count *= 2
    harmless = [a | b for b in [{}, *smaller] for a in same]
    last = harmless[-1]
    cut = {"mesh": MeshConfig(data=1, fsdp=-1, tensor=2)}
    if config.mesh.tensor == 1 and devices % 2 == 0 and config.rows % (devices // 2) == 0:
        harmless.append(last | cut | {"accumulation": config.rows // (devices // 2)})
    others: list[dict[str, Any]] = []
    if not config.lora_rank:
        if config.optimizer != "adafactor":
            others.append(last | {"optimizer": "adafactor"})
        others.append(last | {"lora_rank": 16})
    length = config.max_length // 2
    while length >= _SHORTEST:
        others.append(last | {"max_length": length})
        length //= 2
    return [changes for changes in (*harmless, *others) if changes]


def _text(changes: dict[str, Any]) -> str:
    parts = []
    for name, value in changes.items():
        if isinstance(value, MeshConfig):
            parts.append(f"mesh.tensor={value.tensor}")
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)


def _scaled(temporaries: int, old: TrainProgram, new: TrainProgram) -> int:
    """Temporaries after a change, from those before it."""
    fixed = min(_fixed_bytes(old), temporaries)
    share = _token_bytes(new) / _token_bytes(old)
    return int(_fixed_bytes(new) + (temporaries - fixed) * share)


def _fixed_bytes(program: TrainProgram) -> int:
    """What does not grow with tokens: gradients on one device, twice when they are summed."""
    config, shape, cut = program.config, program.shape, program.mesh.shape
    groups = parameters(shape, config.lora)
    trained = groups["lora"] if config.lora else sum(groups.values())
    copies = 1 if config.accumulation == 1 else 2
    # The head's part of the table and of its gradient while they are made.
    table = shape.vocab_size * shape.d_model * (2 if config.lora else 6)
    return int((copies * 4 * trained + table) // (cut[FSDP] * cut[TENSOR]))


def _token_bytes(program: TrainProgram) -> float:
    """What grows with the tokens of a micro-batch on one device, up to a constant factor."""
    config = program.config
    tokens = config.rows * config.max_length / config.accumulation / row_shards(program.mesh)
    return float(tokens * _kept(program.shape, config.remat) / program.mesh.shape[TENSOR])


def _kept(shape: DecoderConfig, remat: str) -> float:
    """Numbers kept for each token: of every block, or its input and one block's all."""
    heads = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    block = 8 * shape.d_model + 2 * heads + 4 * shape.d_ff
    products = 2 * shape.d_model + heads + 2 * shape.d_ff
    return {
        "none": shape.layers * block,
        "dots": shape.layers * products + block,
        "full": shape.layers * shape.d_model + block,
    }[remat]
