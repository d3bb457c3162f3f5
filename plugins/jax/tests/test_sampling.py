"""Sampling: the filters against a plain reference that sorts, and draws against shares."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.protocols import GenerationConfig
from tunix_jax.generation.sampling import Sampling, choose, row_key, weights

VOCAB = 700
DRAWS = 4000

_weights = jax.jit(weights)
_choose = jax.jit(choose)


def settings(**changes: Any) -> Sampling:
    return Sampling.of(GenerationConfig(**{"temperature": 1.0, **changes}))


def kept_by_sorting(probabilities: Any, top_k: int, top_p: float, min_p: float) -> set[int]:
    """Ids that the filters keep, in the order top-k, top-p, min-p."""
    order = np.argsort(-probabilities)[: top_k or None]
    shares = probabilities[order] / probabilities[order].sum()
    order = order[np.cumsum(shares) - shares < top_p]
    return set(order[probabilities[order] >= min_p * probabilities[order[0]]].tolist())


@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.01, 1.0, 5.0, 40.0]),
    top_k=st.sampled_from([0, 1, 2, 7, 50, VOCAB - 1, VOCAB, 5000]),
    top_p=st.sampled_from([1.0, 0.999, 0.9, 0.5, 1e-6]),
    min_p=st.sampled_from([0.0, 1e-9, 0.05, 0.5, 1.0]),
)
def test_the_filters_keep_what_sorting_keeps(
    seed: int, spread: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = np.random.default_rng(seed).standard_normal((2, VOCAB)).astype(np.float32) * spread
    scaled = logits - logits.max(axis=-1, keepdims=True)
    found = np.asarray(_weights(scaled, settings(top_k=top_k, top_p=top_p, min_p=min_p)))
    for row, mass in zip(scaled, found, strict=True):
        exact = np.exp(row.astype(np.float64))
        allowed = [
            kept_by_sorting(exact, top_k, top_p * (1 + error), min_p * (1 + error))
            for error in (-1e-5, 0.0, 1e-5)
        ]
        # Where rounding decides, either side is right.
        kept = set(np.flatnonzero(mass).tolist()) | {int(i) for i in np.flatnonzero(exact < 1e-37)}
        assert any(kept == ids | {int(i) for i in np.flatnonzero(exact < 1e-37)} for ids in allowed)
        np.testing.assert_allclose(mass[mass > 0], exact[mass > 0], rtol=1e-5)


def test_equals_of_the_last_one_kept_are_kept() -> None:
    scaled = np.array([[0.0, -1.0, -1.0, -1.0, -2.0]], np.float32)
    assert np.count_nonzero(_weights(scaled, settings(top_k=2))) == 4
    assert np.count_nonzero(_weights(scaled, settings(top_p=0.6))) == 4


@pytest.mark.parametrize(
    "changes", [{}, {"temperature": 0.3}, {"top_k": 5}, {"top_p": 0.7}, {"min_p": 0.2}]
)
def test_draws_come_as_often_as_their_share(changes: dict[str, Any]) -> None:
    """Chi-squared against the filtered distribution; the ids span several chunks of the draw."""
    sampling = settings(**changes)
    row = np.full(1600, -50.0, np.float32)
    row[::150] = np.linspace(0.0, 3.0, 11)
    scaled = (row - row.max()) / np.float32(sampling.temperature)
    shares = np.asarray(_weights(scaled[None], sampling))[0]
    shares = shares / shares.sum()
    keys = np.stack([row_key(0, str(n), 0) for n in range(DRAWS)])
    logits = np.broadcast_to(row, (DRAWS, row.size))
    drawn = np.asarray(_choose(logits, keys, np.arange(DRAWS, dtype=np.int32), sampling))
    seen = np.bincount(drawn, minlength=row.size)
    assert not seen[shares < 1e-12].any()
    likely = shares > 1e-3
    expected = DRAWS * shares[likely]
    chi_squared = ((seen[likely] - expected) ** 2 / expected).sum()
    # Mean n - 1, variance 2 (n - 1): five deviations above.
    freedom = likely.sum() - 1
    assert chi_squared < freedom + 5 * np.sqrt(2 * freedom) + 1


def test_a_draw_depends_on_seed_item_sample_and_position_alone() -> None:
    logits = np.random.default_rng(0).standard_normal((5, VOCAB)).astype(np.float32)
    logits[:] = logits[0]
    keys = np.stack(
        [
            row_key(seed, item, sample)
            for seed, item, sample in [(0, "a", 0)] * 2 + [(1, "a", 0), (0, "b", 0), (0, "a", 1)]
        ]
    )
    positions = np.full(5, 3, np.int32)
    drawn = np.asarray(_choose(logits, keys, positions, settings())).tolist()
    assert drawn[0] == drawn[1]
    later = np.asarray(_choose(logits, keys, positions + 1, settings())).tolist()
    assert len({*drawn, later[0]}) == 5
    alone = _choose(logits[:1], keys[:1], positions[:1], settings())
    assert alone.tolist() == drawn[:1]


def test_no_temperature_is_greedy_whatever_the_filters() -> None:
    logits = np.random.default_rng(0).standard_normal((3, VOCAB)).astype(np.float32)
    keys, positions = np.zeros((3, 2), np.uint32), np.zeros(3, np.int32)
    greedy = _choose(logits, keys, positions, settings(temperature=0.0, top_k=9, min_p=0.1))
    assert greedy.tolist() == logits.argmax(-1).tolist()
    cold = _choose(logits, keys, positions, settings(temperature=1e-6))
    assert cold.tolist() == greedy.tolist()


def test_nothing_is_sorted() -> None:
    """A sort of a large vocabulary takes many times as long as all the rest."""
    arguments = (np.zeros((2, 2**18), np.float32), np.zeros((2, 2), np.uint32))
    lowered = _choose.lower(*arguments, np.zeros(2, np.int32), settings(top_k=50))
    text = lowered.as_text()
    assert "while" in text
    assert "stablehlo.sort" not in text
    assert "top_k" not in text
