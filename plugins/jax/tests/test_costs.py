"""Counts and bounds: against published sizes, the real parameters, XLA's own count."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tunix_jax.chips import CHIPS, chip_of
from tunix_jax.config import TrainerConfig
from tunix_jax.fit.memory import step_memory
from tunix_jax.fit.roofline import roofline
from tunix_jax.models.costs import StepFlops, mfu, parameters, state_bytes, step_flops, visible
from tunix_jax.models.decoder import Decoder, Execution
from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.parts import join_params, split_params
from tunix_jax.models.shapes import SHAPES
from tunix_jax.sharding import make_mesh
from tunix_jax.training.train_step import TrainProgram

# As the models' publishers and their weight files have them.
PUBLISHED = {
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
}
SHAPE = DecoderConfig(
    vocab_size=768, layers=3, d_model=256, heads=4, kv_heads=2, head_dim=64, d_ff=768, qk_norm=True
)
ROWS, LENGTH = 2, 64


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_published_models(name: str) -> None:
    assert sum(parameters(SHAPES[name].decoder).values()) == PUBLISHED[name]


@pytest.mark.parametrize("lora", [None, Lora(8, 16.0), Lora(4, 8.0, ("q_proj", "down_proj"))])
@pytest.mark.parametrize("name", ["tiny", "gemma-2-2b", "llama-3.1-8b", "qwen2.5-0.5b"])
def test_parameters_are_those_of_the_decoder(name: str, lora: Lora | None) -> None:
    shape = evolve(SHAPES[name].decoder, layers=2, vocab_size=1000)
    made = jax.eval_shape(lambda: Decoder(shape, lora).init(0))
    counted = parameters(shape, lora)
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == sum(counted.values())
    trained, _ = split_params(made, lora=lora is not None)
    if lora is not None:
        assert sum(leaf.size for leaf in jax.tree.leaves(trained)) == counted["lora"]


@given(length=st.integers(1, 60), window=st.none() | st.integers(1, 60))
def test_visible_is_the_mean_over_the_row(length: int, window: int | None) -> None:
    seen = [min(place + 1, window or length) for place in range(length)]
    assert visible(length, window) == pytest.approx(sum(seen) / length)


def dense_flops(counted: StepFlops) -> float:
    """What dense attention computes: the whole square instead of the part that is seen."""
    square = LENGTH / visible(LENGTH, None)
    return counted.model + (square - 1) * counted.attention


def xla_flops(function: Any, *arguments: Any) -> float:
    costs: Any = jax.jit(function).lower(*arguments).compile().cost_analysis()
    return float(costs["flops"])


def hidden_sum(decoder: Decoder, params: Any) -> jax.Array:
    tokens = jnp.ones((ROWS, LENGTH), jnp.int32)
    places = jnp.broadcast_to(jnp.arange(LENGTH), tokens.shape)
    return jnp.sum(decoder.hidden(params, tokens, tokens, places, jnp.dtype("float32")) ** 2)


def decoder_of(lora: Lora | None) -> tuple[Decoder, Any]:
    decoder = Decoder(SHAPE, lora, Execution(attention="dense", unroll=SHAPE.layers))
    return decoder, jax.eval_shape(lambda: decoder.init(0))


def test_forward_flops_are_what_xla_counts() -> None:
    decoder, params = decoder_of(None)

    def logits(params: Any, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
        return hidden_sum(decoder, params), decoder.logits(params, hidden)

    hidden = jnp.zeros((ROWS, LENGTH, SHAPE.d_model))
    counted = dense_flops(step_flops(SHAPE, ROWS * LENGTH, LENGTH)) / 3
    assert xla_flops(logits, params, hidden) == pytest.approx(counted, rel=0.04)


@pytest.mark.parametrize("lora", [None, Lora(8, 16.0)])
def test_training_flops_are_what_xla_counts(lora: Lora | None) -> None:
    decoder, params = decoder_of(lora)
    trained, frozen = split_params(params, lora=lora is not None)

    def gradients(trained: Any, frozen: Any) -> Any:
        return jax.grad(lambda some: hidden_sum(decoder, join_params(some, frozen)))(trained)

    counted = dense_flops(step_flops(SHAPE, ROWS * LENGTH, LENGTH, learned=0, lora=lora))
    assert xla_flops(gradients, trained, frozen) == pytest.approx(counted, rel=0.06)


def test_training_is_six_flops_per_weight_and_learned_token() -> None:
    groups = parameters(SHAPE)
    blocks = groups["attention"] + groups["mlp"]
    head = SHAPE.vocab_size * SHAPE.d_model
    counted = step_flops(SHAPE, 100, LENGTH, learned=40)
    assert (counted.blocks, counted.head) == (6 * 100 * blocks, 6 * 40 * head)
    assert step_flops(SHAPE, 100, LENGTH, learned=40, lora=Lora(8, 8.0)).blocks == 400 * blocks
    again = step_flops(SHAPE, 100, LENGTH, learned=40, remat="full")
    assert again.model == counted.model
    assert again.hardware - again.model == 2 * 100 * blocks + counted.attention / 3


@pytest.mark.parametrize("rank", [0, 8])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor"])
def test_state_bytes_are_those_of_the_program(optimizer: Any, rank: int) -> None:
    config = TrainerConfig(
        model_id="gemma-3-270m", rows=1, optimizer=optimizer, lora_rank=rank, max_length=128
    )
    shape = SHAPES["gemma-3-270m"].decoder
    program = TrainProgram(config, shape, make_mesh(config.mesh.sizes, jax.devices()[:1]))
    memory, counted = step_memory(program, 0), state_bytes(shape, optimizer, config.lora)
    assert memory.weights == counted["weights"]
    # Counters and, under Adafactor, a number in place of what is not kept.
    assert memory.moments == pytest.approx(counted["moments"], abs=1000)


def test_mfu_is_a_share_of_the_peak_of_all_devices() -> None:
    chip = CHIPS["TPU v5e"]
    assert mfu(8 * chip.flops, 2.0, chip.flops, devices=8) == 0.5


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v5 lite", "TPU v5e"),
        ("TPU v5", "TPU v5p"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", None),
        ("cpu", None),
    ],
)
def test_chips_are_known_by_the_names_that_jax_gives_them(kind: str, name: str | None) -> None:
    chip = chip_of(kind)
    assert (None if chip is None else chip.name) == name


def test_the_slowest_of_three_bounds_the_step() -> None:
    shape, chip = SHAPES["gemma-2-2b"].decoder, CHIPS["TPU v5e"]
    config = TrainerConfig(model_id="gemma-2-2b", rows=8, max_length=2048)
    one = roofline(config, shape, chip, 1, 1, 1)
    assert one.links_seconds == 0
    assert one.compute_seconds == one.flops.hardware / chip.flops
    eight = roofline(config, shape, chip, 1, 8, 1)
    assert eight.compute_seconds == one.compute_seconds / 8
    assert eight.binds == "compute"
    # With few tokens, moving the weights takes longer than using them.
    few = roofline(evolve(config, max_length=128), shape, chip, 1, 8, 1)
    assert few.binds == "links"
    assert few.seconds == few.links_seconds > few.memory_seconds > few.compute_seconds
