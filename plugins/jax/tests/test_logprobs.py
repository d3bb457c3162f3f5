"""Log-probabilities of drawn tokens, against float64 and against scoring the same tokens."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Prompt
from tunix_jax.generation.decoding import params_mesh
from tunix_jax.generation.predictor import JaxPredictor
from tunix_jax.generation.sampler import Sampler
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.rotary import rotary_frequencies
from tunix_jax.objectives.token_losses import Head, next_tokens, token_logprobs
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer

TOKENIZER = TextTokenizer.train(["one two three four five six seven eight nine ten" * 3], 280)
ENCODER = PromptEncoder(TOKENIZER)
SHAPE = DecoderConfig(
    vocab_size=TOKENIZER.vocab_size,
    layers=2,
    d_model=32,
    heads=4,
    kv_heads=2,
    head_dim=8,
    d_ff=48,
)
DECODER = Decoder(SHAPE)
PROMPTS = [Prompt(f"item {n}", "one two three four"[: 4 * n + 3]) for n in range(4)]
SAMPLINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.7, "top_k": 5, "seed": 3},
    {"temperature": 1.5, "top_p": 0.8, "min_p": 0.01},
]


def random_params(seed: int) -> Params:
    random = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> Any:
        scale = {"scale": 2.0, "embedding": 0.3}.get(path[-1].key, 0.5)
        return (random.standard_normal(leaf.shape) * scale).astype(np.float32)

    made: Params = jax.tree_util.tree_map_with_path(draw, jax.eval_shape(DECODER.init, 0))
    return made


PARAMS = random_params(1)


def complete(logprobs: bool = True, **changes: Any) -> list[Completion]:
    settings = {"max_new_tokens": 20, "stop": (), "batch_size": 2, **changes}
    predictor = JaxPredictor(
        PARAMS, DECODER, ENCODER, GenerationConfig(**settings), "float32", logprobs=logprobs
    )
    return list(predictor.complete(PROMPTS))


def sequence(completion: Completion) -> tuple[list[int], int]:
    """Tokens of prompt and completion, and where the completion begins."""
    text = next(prompt.text for prompt in PROMPTS if prompt.item_id == completion.item_id)
    (ids,) = ENCODER.prompt_ids([text])
    return [*ids, *completion.token_ids], len(ids)


def reference_logits(tokens: list[int]) -> np.ndarray[Any, Any]:
    """float64[length, vocab_size]: the whole model in numpy."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), PARAMS)
    length, half = len(tokens), SHAPE.head_dim // 2
    angles = np.arange(length)[:, None] * rotary_frequencies(8, SHAPE.rope_theta, None)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def norm(x: Any, scale: Any) -> Any:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + SHAPE.norm_eps) * scale

    def turned(x: Any) -> Any:
        first, second = x[..., :half], x[..., half:]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

    x = params["embedding"][tokens]
    for layer in range(SHAPE.layers):
        block = jax.tree.map(lambda stacked, layer=layer: stacked[layer], params["blocks"])
        normed = norm(x, block["attention_norm"]["scale"])
        query, key, value = (
            (normed @ block[name]["weight"]).reshape(length, -1, SHAPE.head_dim)
            for name in ("query", "key", "value")
        )
        query, key = turned(query), turned(key)
        key, value = (np.repeat(part, SHAPE.heads // SHAPE.kv_heads, 1) for part in (key, value))
        scores = np.einsum("qhd,khd->hqk", query, key) * SHAPE.head_dim**-0.5
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = np.einsum("hqk,khd->qhd", weights, value).reshape(length, -1)
        x = x + attended @ block["attention_out"]["weight"]
        normed = norm(x, block["mlp_norm"]["scale"])
        gate = normed @ block["gate"]["weight"]
        gate = gate / (1 + np.exp(-gate)) * (normed @ block["up"]["weight"])
        x = x + gate @ block["down"]["weight"]
    logits: np.ndarray[Any, Any] = norm(x, params["final_norm"]["scale"]) @ params["embedding"].T
    return logits


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_they_are_those_of_the_distribution_after_temperature_and_before_cuts(
    sampling: dict[str, Any],
) -> None:
    for completion in complete(**sampling):
        tokens, begin = sequence(completion)
        logits = reference_logits(tokens)[begin - 1 : -1] / (sampling.get("temperature") or 1.0)
        logits -= logits.max(-1, keepdims=True)
        expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        drawn = expected[np.arange(len(expected)), list(completion.token_ids)]
        np.testing.assert_allclose(completion.logprobs, drawn, atol=1e-4)
        assert np.ptp(drawn) > 0.1, "tokens that are all alike show nothing"


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0}])
def test_scoring_the_same_tokens_agrees(sampling: dict[str, Any]) -> None:
    for completion in complete(**sampling):
        tokens, begin = sequence(completion)
        row = jnp.asarray([tokens])
        places = jnp.arange(len(tokens))[None]
        batch = {"tokens": row, "positions": places, "targets": places >= begin}
        hidden = DECODER.hidden(
            jax.device_put(PARAMS), row, jnp.ones_like(row), places, jnp.dtype("float32")
        )
        labels, learned = next_tokens(batch)
        scored = token_logprobs(hidden, PARAMS["embedding"], labels, learned, Head(chunk=8))
        np.testing.assert_allclose(scored[0, begin - 1 : -1], completion.logprobs, atol=1e-4)
        assert not np.asarray(scored[0, : begin - 1]).any()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_asking_changes_nothing_else(sampling: dict[str, Any]) -> None:
    asked, plain = complete(**sampling), complete(logprobs=False, **sampling)
    for with_them, without in zip(asked, plain, strict=True):
        assert (with_them.text, with_them.stop, with_them.tokens) == (
            without.text,
            without.stop,
            without.tokens,
        )
        assert (without.token_ids, without.logprobs) == ((), ())
        kept = [token for token in with_them.token_ids if token not in ENCODER.ends]
        assert TOKENIZER.decode(kept) == with_them.text


def test_tokens_after_a_stop_text_are_left_out() -> None:
    whole = complete(max_new_tokens=20)[0]
    spans = [whole.text[begin : begin + 2] for begin in range(4, len(whole.text) - 4)]
    stop = next(span for span in spans if "\ufffd" not in span)
    (stopped,) = (c for c in complete(stop=(stop,)) if c.item_id == whole.item_id)
    assert stopped.tokens < whole.tokens
    assert stopped.token_ids == whole.token_ids[: stopped.tokens]
    assert stopped.logprobs == whole.logprobs[: stopped.tokens]


def test_other_parameters_of_a_sampler_need_no_new_compilation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mesh = params_mesh(PARAMS)
    sampler = Sampler(DECODER, ENCODER, "float32", mesh)
    config = GenerationConfig(max_new_tokens=12, stop=(), batch_size=2)
    first = list(sampler.complete(sampler.place(PARAMS), PROMPTS, config))
    with jax.log_compiles():
        other = list(sampler.complete(sampler.place(random_params(2)), PROMPTS, config))
        again = list(sampler.complete(sampler.place(PARAMS), PROMPTS, config))
    assert not [r.getMessage() for r in caplog.records if "ompil" in r.getMessage()]
    assert again == first
    assert all(a.text != b.text for a, b in zip(first, other, strict=True))
