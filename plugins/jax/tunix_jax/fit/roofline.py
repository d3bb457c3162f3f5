"""The shortest time that a training step can take on a chip; imports no JAX.

Three things go on at once, and the slowest of them bounds the step (Williams et al., 2009): the
matrix units compute, device memory is read and written, and shards travel between devices. What
is counted is what no implementation of the step can do without, so a real step takes longer.
"""

from __future__ import annotations

from attrs import frozen

from tunix_jax.chips import Chip
from tunix_jax.config import TrainerConfig
from tunix_jax.models.costs import StepFlops, parameters, state_bytes, step_flops
from tunix_jax.models.decoder_config import DecoderConfig

_BYTES = {"float32": 4, "bfloat16": 2}


@frozen
class Roofline:
    """Bounds of one step.

    Args:
        flops: Over all devices.
        compute_seconds: FLOPs, recomputed ones included, at the peak of the matrix units.
        memory_seconds: Bytes to and from device memory at its bandwidth: weights once for each
            pass of each micro-batch, state and gradients once, the inputs of the blocks.
        links_seconds: Bytes that a device receives from others, over all its links at once:
            the blocks' weights and gradients, and sums of activations under tensor sharding.
    """

    flops: StepFlops
    compute_seconds: float
    memory_seconds: float
    links_seconds: float

    @property
    def seconds(self) -> float:
        """No step is shorter."""
        return max(self.compute_seconds, self.memory_seconds, self.links_seconds)

    @property
    def binds(self) -> str:
        """What bounds the step: ``compute``, ``memory`` or ``links``."""
        named = {
            "compute": self.compute_seconds,
            "memory": self.memory_seconds,
            "links": self.links_seconds,
        }
        return max(named, key=lambda name: named[name])


def planned_flops(config: TrainerConfig, shape: DecoderConfig) -> StepFlops:
    """FLOPs of a full step of the settings, every token learned, over all devices."""
    return step_flops(
        shape,
        config.rows * config.max_length,
        config.max_length,
        lora=config.lora,
        remat=config.remat,
    )


def roofline(
    config: TrainerConfig, shape: DecoderConfig, chip: Chip, data: int, fsdp: int, tensor: int
) -> Roofline:
    """Bounds of a step on a mesh.

    Args:
        config: Settings of the run.
        shape: Shape of the model.
        chip: What each device is.
        data: Copies of the model.
        fsdp: Shards of every parameter.
        tensor: Shards of heads, MLP and vocabulary.
    """
    flops = planned_flops(config, shape)
    memory = _memory_bytes(config, shape, data, fsdp, tensor)
    links = _link_bytes(config, shape, data, fsdp, tensor)
    devices = data * fsdp * tensor
    return Roofline(
        flops,
        flops.hardware / devices / chip.flops,
        memory / chip.memory_bandwidth,
        links / chip.link_bandwidth,
    )


def _weights(config: TrainerConfig, shape: DecoderConfig) -> tuple[int, int]:
    """Bytes of all weights in the type of the computation, and of the trained weights alone."""
    groups = parameters(shape, config.lora)
    every = sum(groups.values())
    size = _BYTES[config.dtype]
    return size * every, size * (groups["lora"] if config.lora else every)


def _memory_bytes(
    config: TrainerConfig, shape: DecoderConfig, data: int, fsdp: int, tensor: int
) -> float:
    """Bytes that one device reads and writes."""
    every, trained = _weights(config, shape)
    passes = config.accumulation * (3 if config.remat == "full" else 2)
    state = sum(state_bytes(shape, config.optimizer, config.lora).values())
    kept = _activation_bytes(config, shape, data * fsdp) * shape.layers
    return passes * every / tensor + 2 * (state + trained) / (fsdp * tensor) + 2 * kept


def _activation_bytes(config: TrainerConfig, shape: DecoderConfig, shards: int) -> float:
    """Bytes of the residual stream of a step's tokens on one device."""
    tokens = config.rows * config.max_length / shards
    return tokens * shape.d_model * _BYTES[config.dtype]


def _link_bytes(
    config: TrainerConfig, shape: DecoderConfig, data: int, fsdp: int, tensor: int
) -> float:
    """Bytes that one device receives.

    Weights of the blocks are gathered in the forward and in the backward pass, and gradients
    scattered. Tables stay where they are: hidden states can go to them.
    """
    groups, size = parameters(shape, config.lora), _BYTES[config.dtype]
    blocks = size * (groups["attention"] + groups["mlp"]) / tensor
    trained = size * groups["lora"] / tensor if config.lora else blocks
    received = config.accumulation * (2 * blocks + trained) * (fsdp - 1) / fsdp
    received += 2 * trained / fsdp * (data - 1) / data
    sums = shape.layers * (6 if config.remat == "full" else 4)
    stream = _activation_bytes(config, shape, data * fsdp)
    return received + sums * stream * 2 * (tensor - 1) / tensor
