"""Losses of log-probabilities, their gradients, and what a program makes of an objective."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunix_core.protocols import TrainJob
from tunix_jax.config import MeshConfig, TrainerConfig
from tunix_jax.data.training_rows import TrainingRows, read_texts, training_rows
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.parts import join_params
from tunix_jax.objectives.objective import PACKED, Batch, Weighted
from tunix_jax.objectives.token_losses import (
    Head,
    next_tokens,
    summed_token_loss,
    token_logprobs,
)
from tunix_jax.sharding import make_mesh
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.training.train_step import TrainProgram


def sample(seed: int, rows: int, length: int, words: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(rows, length, 8)).astype(np.float32)
    table = rng.normal(size=(words, 8)).astype(np.float32)
    labels = rng.integers(0, words, (rows, length)).astype(np.int32)
    gains = rng.normal(size=(rows, length)).astype(np.float32)
    return hidden, table, labels, rng.random((rows, length)) < 0.6, gains


def plain_logprobs(hidden: Any, table: Any, labels: Any, softcap: float | None) -> Any:
    """From all logits at once."""
    logits = hidden @ table.T
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1)[..., 0]


def clipped(logprobs: jax.Array, gains: jax.Array, old: jax.Array) -> jax.Array:
    """A loss of a token that is neither linear nor smooth: a clipped ratio with an advantage."""
    ratio = jnp.exp(logprobs - old)
    return -jnp.minimum(ratio * gains, jnp.clip(ratio, 0.8, 1.2) * gains)


def squared_sums(logprobs: jax.Array, learned: Any) -> jax.Array:
    """A loss that needs sums over a row first."""
    return jnp.sum(jnp.sum(jnp.where(learned, logprobs, 0.0), axis=1) ** 2)


def check_equal(ours: Any, theirs: Any, *arguments: Any) -> None:
    """Values and gradients by the first two arguments."""
    got = jax.jit(jax.value_and_grad(ours, (0, 1)))(*arguments)
    want = jax.value_and_grad(theirs, (0, 1))(*arguments)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=2e-5)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**31),
    chunk=st.integers(0, 30),
    softcap=st.sampled_from([None, 3.0]),
)
def test_any_loss_of_log_probabilities_has_its_gradient(
    seed: int, chunk: int, softcap: float | None
) -> None:
    hidden, table, labels, learned, gains = sample(seed, 2, 7, 11)
    old = plain_logprobs(hidden, table, labels, softcap) + 0.3 * gains[:, ::-1]
    head = Head(softcap, chunk)
    check_equal(
        lambda h, t: summed_token_loss(h, t, labels, learned, head, clipped, gains, old),
        lambda h, t: jnp.sum(clipped(plain_logprobs(h, t, labels, softcap), gains, old) * learned),
        hidden,
        table,
    )
    check_equal(
        lambda h, t: squared_sums(token_logprobs(h, t, labels, learned, head), learned),
        lambda h, t: squared_sums(plain_logprobs(h, t, labels, softcap), learned),
        hidden,
        table,
    )


def distance(logprobs: jax.Array, reference: jax.Array) -> jax.Array:
    """The estimate of the divergence from a reference that is never negative (Schulman, 2020)."""
    return jnp.exp(reference - logprobs) - (reference - logprobs) - 1


@pytest.mark.parametrize("chunk", [0, 2])
def test_what_is_not_learned_cannot_overflow_a_gradient(chunk: int) -> None:
    hidden, table, labels, learned, _ = sample(7, 3, 8, 11)
    # So unlikely that the loss of these tokens is infinite.
    hidden = np.where(learned[..., None], hidden, 200 * table[(labels + 1) % 11])
    reference = np.zeros_like(hidden[..., 0])

    def loss(h: Any, t: Any) -> Any:
        return summed_token_loss(h, t, labels, learned, Head(None, chunk), distance, reference)

    value, gradients = jax.value_and_grad(loss, (0, 1))(jnp.asarray(hidden), jnp.asarray(table))
    assert jnp.isfinite(value)
    assert all(bool(jnp.isfinite(gradient).all()) for gradient in gradients)


def test_rows_and_words_may_lie_on_any_devices() -> None:
    """On those that there are; the test below brings eight."""
    tensor = 2 if jax.device_count() % 2 == 0 else 1
    mesh = make_mesh({"data": tensor, "fsdp": -1, "tensor": tensor})
    hidden, table, labels, learned, gains = sample(5, 8, 9, 13)
    spread, alone = Head(3.0, 4, mesh), Head(3.0, 4)
    for head in (spread, alone):
        check_equal(
            lambda h, t, head=head: summed_token_loss(
                h, t, labels, learned, head, clipped, gains, gains
            ),
            lambda h, t: jnp.sum(
                clipped(plain_logprobs(h, t, labels, 3.0), gains, gains) * learned
            ),
            hidden,
            table,
        )
        check_equal(
            lambda h, t, head=head: squared_sums(
                token_logprobs(h, t, labels, learned, head), learned
            ),
            lambda h, t: squared_sums(plain_logprobs(h, t, labels, 3.0), learned),
            hidden,
            table,
        )


@pytest.mark.full
def test_eight_devices_give_the_same() -> None:
    flags = "--xla_force_host_platform_device_count=8"
    command = [sys.executable, "-m", "pytest", "-q", "-k", "any_devices"]
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*command, __file__], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


class Anchored:
    """Sums over rows first, a reference, a weight that is no number of tokens, and a figure."""

    figure = "distance"
    columns = PACKED
    reference = True

    def texts(self, job: TrainJob) -> Iterator[str]:
        return read_texts(job)

    def rows(self, job: TrainJob, encoder: PromptEncoder, config: TrainerConfig) -> TrainingRows:
        return training_rows(job, encoder, config)

    def loss(
        self, decoder: Decoder, params: Params, frozen: Params, batch: Batch, config: TrainerConfig
    ) -> Weighted:
        labels, learned = next_tokens(batch)
        reference = Decoder(decoder.config, None, decoder.execution)

        def scores(decoder: Decoder, params: Params) -> jax.Array:
            hidden = decoder.hidden(
                params, batch["tokens"], batch["segments"], batch["positions"], jnp.dtype("float32")
            )
            table = decoder.table(params)
            return token_logprobs(hidden, table, labels, learned, Head.of(decoder, 0)).sum(axis=1)

        own = scores(decoder, join_params(params, frozen))
        away = own - jax.lax.stop_gradient(scores(reference, frozen))
        total = jnp.sum((away + 1.0) ** 2)
        rows, tokens = jnp.float32(len(away)), jnp.sum(learned, dtype=jnp.float32)
        return Weighted(total, rows, {"drift": (jnp.sum(away), tokens)})

    def bound(self, shape: DecoderConfig) -> float:
        return float("inf")


def steps_of(**changes: Any) -> tuple[list[dict[str, float]], Params]:
    """Figures of three steps on rows with unequal numbers of learned tokens, and the result."""
    config = TrainerConfig(
        model_id="tiny",
        max_length=12,
        rows=4,
        optimizer="adamw",
        learning_rate=1e-5,
        warmup_steps=0,
        **changes,
    )
    mesh = make_mesh(MeshConfig().sizes, jax.devices()[:1])
    program = TrainProgram(config, config.scratch_shape(40), mesh, 3, Anchored())
    trained, frozen = program.new_params(0)
    state, step = program.new_state(trained), program.step()
    places = jnp.broadcast_to(jnp.arange(12, dtype=jnp.int32), (4, 12))
    batch = {
        "tokens": (places * 7 + jnp.arange(4)[:, None]) % 40,
        "segments": jnp.ones_like(places),
        "positions": places,
        "targets": (places > 2 * jnp.arange(4)[:, None]).astype(jnp.int32),
    }
    shape = program.abstract_batch()["tokens"].shape
    batch = {name: column.reshape(shape) for name, column in batch.items()}
    found = []
    for _ in range(3):
        state, metrics = step(state, frozen, batch)
        found.append({name: float(value) for name, value in metrics.items()})
    return found, state["params"]


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2}])
def test_a_reference_stays_what_the_model_was(changes: dict[str, Any]) -> None:
    found, _ = steps_of(**changes)
    assert found[0]["distance"] == pytest.approx(1.0, abs=1e-4), "nothing is trained yet"
    assert found[0]["drift"] == pytest.approx(0.0, abs=1e-5)
    assert found[2]["distance"] < found[1]["distance"] < found[0]["distance"]


def test_micro_batches_of_unequal_weight_are_one_batch() -> None:
    (whole, params), (cut, cut_params) = steps_of(), steps_of(accumulation=4)
    for a, b in zip(whole, cut, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, cut_params)


def test_a_scaled_sum_has_scaled_gradients_in_bfloat16() -> None:
    """A factor that is rounded itself would be off by up to 0.4% everywhere."""
    hidden, table, labels, learned, _ = sample(3, 4, 32, 50)
    half = jnp.asarray(hidden, jnp.bfloat16)

    def gradient(scale: float) -> Any:
        return jax.grad(
            lambda h: scale * summed_token_loss(h, table, labels, learned, Head(), jnp.negative)
        )(half).astype(jnp.float32)

    whole, part = gradient(1.0), gradient(1 / 259)
    assert float(jnp.sum(whole * part) / jnp.sum(whole * whole)) == pytest.approx(1 / 259, rel=1e-3)
