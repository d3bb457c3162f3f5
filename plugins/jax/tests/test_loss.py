"""The chunked loss gives what the plain one gives, wherever its parts lie."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunix_jax.config import TrainerConfig
from tunix_jax.data.packing import pack
from tunix_jax.data.token_cache import TokenizedExamples
from tunix_jax.models.decoder import Decoder, Execution
from tunix_jax.objectives.sft import cross_entropy, summed_loss


def plain(hidden: Any, table: Any, labels: Any, learned: Any, softcap: float | None) -> Any:
    """Sum of losses from all logits at once."""
    logits = hidden @ table.T
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(losses * learned)


def sample(seed: int, rows: int, length: int, words: int, share: float) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(rows, length, 8)).astype(np.float32)
    table = rng.normal(size=(words, 8)).astype(np.float32)
    labels = rng.integers(0, words, (rows, length)).astype(np.int32)
    return hidden, table, labels, rng.random((rows, length)) < share


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 3),
    length=st.integers(1, 9),
    words=st.integers(2, 40),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    chunk=st.integers(0, 30),
    softcap=st.sampled_from([None, 3.0]),
)
def test_loss_and_gradients_equal_the_plain_ones(
    seed: int,
    rows: int,
    length: int,
    words: int,
    share: float,
    chunk: int,
    softcap: float | None,
) -> None:
    hidden, table, labels, learned = sample(seed, rows, length, words, share)
    scale = 1.0 / max(1, learned.sum())

    def ours(hidden: Any, table: Any) -> Any:
        return scale * cross_entropy(hidden, table, labels, learned, softcap=softcap, chunk=chunk)

    def theirs(hidden: Any, table: Any) -> Any:
        return scale * plain(hidden, table, labels, learned, softcap)

    got = jax.jit(jax.value_and_grad(ours, (0, 1)))(hidden, table)
    want = jax.jit(jax.value_and_grad(theirs, (0, 1)))(hidden, table)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6)


def test_bfloat16_learns_what_float32_learns() -> None:
    hidden, table, labels, learned = sample(3, 4, 64, 50, 0.6)

    def gradient(dtype: Any) -> Any:
        return jax.grad(
            lambda table: cross_entropy(hidden.astype(dtype), table, labels, learned, chunk=32)
        )(table)

    exact, rough = gradient(jnp.float32), gradient(jnp.bfloat16)
    assert rough.dtype == jnp.float32, "gradients of master weights are added up in float32"
    assert float(optax.tree.norm(exact - rough) / optax.tree.norm(exact)) < 0.01


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_memory_does_not_grow_with_the_vocabulary_times_the_tokens(share: float) -> None:
    """At 32,768 words the step holds a few chunks of logits, not all of them."""
    hidden, table, labels, learned = sample(0, 1, 4096, 32_768, share)

    def peak(loss: Any) -> int:
        compiled: Any = jax.jit(jax.grad(loss, (0, 1))).lower(hidden, table).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    chunked = peak(lambda h, t: cross_entropy(h, t, labels, learned, chunk=256))
    whole = peak(lambda h, t: plain(h, t, labels, learned, None))
    assert chunked < 0.25 * whole


@pytest.mark.parametrize("attention", ["dense", "blockwise"])
@pytest.mark.parametrize("window", [None, 9])
def test_packed_examples_have_the_losses_of_rows_of_their_own(
    attention: Any, window: int | None
) -> None:
    rng = np.random.default_rng(4)
    lengths = rng.integers(8, 40, 30)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = rng.integers(1, 50, offsets[-1]).astype(np.uint32)
    examples = TokenizedExamples(tokens, offsets, (lengths // 3).astype(np.int64), key="")
    changes = {"window": window, "windowed": (True, False)}
    shape = TrainerConfig(model_id="tiny", decoder=changes).scratch_shape(50)
    decoder = Decoder(shape, None, Execution(attention=attention))
    params = decoder.init(3)

    def loss(length: int) -> tuple[float, float, int]:
        rows = pack(examples, length, 0, "drop")
        batch = rows.take(np.arange(len(rows)))
        total, count = summed_loss(decoder, params, batch, jnp.dtype("float32"))
        return float(total / count), float(count), len(rows)

    packed, alone = loss(160), loss(40)
    assert packed[2] < alone[2]
    assert packed[1] == alone[1] > 0
    assert packed[0] == pytest.approx(alone[0], abs=1e-5)
