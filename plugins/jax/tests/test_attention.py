"""Block by block gives what the whole square of scores gives, gradients included."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attrs import evolve

from tunix_jax.config import TrainerConfig
from tunix_jax.models.attention import attend

SHAPE = evolve(TrainerConfig(model_id="tiny").scratch_shape(0), heads=4, kv_heads=2)


def sample(length: int, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(2, length, 4, 16)).astype(np.float32)
    key, value = (rng.normal(size=(2, length, 2, 16)).astype(np.float32) for _ in range(2))
    segments = np.sort(rng.integers(0, 4, (2, length)), axis=1).astype(np.int32)
    return query, key, value, segments


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("length", "window"), [(256, 256), (256, 40), (300, 300), (300, 1)])
def test_blocks_equal_the_whole(length: int, window: int, softcap: float | None) -> None:
    config = evolve(SHAPE, attention_softcap=softcap)
    *inputs, segments = sample(length)
    weights = np.random.default_rng(1).normal(size=(2, length, 64)).astype(np.float32)

    def said(kind: str) -> Any:
        def total(query: Any, key: Any, value: Any) -> Any:
            out = attend(query, key, value, segments, jnp.int32(window), config=config, kind=kind)
            return jnp.sum(out * weights), out

        return jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))(*inputs)

    blocks, whole = said("blockwise"), said("dense")
    for a, b in zip(jax.tree.leaves(blocks), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("windowed", [(False,), (True,)])
def test_the_kernel_equals_the_whole(windowed: tuple[bool, ...], softcap: float | None) -> None:
    """The TPU kernel, interpreted."""
    config = evolve(SHAPE, window=40, windowed=windowed, attention_softcap=softcap, head_dim=128)
    rng = np.random.default_rng(2)
    inputs = [rng.normal(size=(1, 256, n, 128)).astype(np.float32) for n in (4, 2, 2)]
    segments: Any = np.sort(rng.integers(0, 3, (1, 256)), axis=1).astype(np.int32)
    window = jnp.int32(config.windows[0] or 256)

    def said(kind: str) -> Any:
        def total(query: Any, key: Any, value: Any) -> Any:
            out = attend(query, key, value, segments, window, config=config, kind=kind)
            return jnp.sum(out * jnp.cos(out)), out

        return jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))(*inputs)

    kernel, whole = said("splash"), said("dense")
    for a, b in zip(jax.tree.leaves(kernel), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4, rtol=1e-3)


def test_memory_is_linear_in_the_length() -> None:
    def peak(length: int, kind: str) -> int:
        *inputs, segments = sample(length)

        def total(query: Any, key: Any, value: Any) -> Any:
            window = jnp.int32(length)
            return jnp.sum(attend(query, key, value, segments, window, config=SHAPE, kind=kind))

        compiled: Any = jax.jit(jax.grad(total, (0, 1, 2))).lower(*inputs).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    assert peak(4096, "blockwise") < 3 * peak(2048, "blockwise")
    assert peak(4096, "blockwise") < 0.2 * peak(4096, "dense")
