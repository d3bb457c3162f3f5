"""Generation: equal to whole forward passes, and deaf to whatever else is in the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Prompt
from tunix_jax.generation.predictor import JaxPredictor
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.models.decoder_config import DecoderConfig, RopeScaling
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer

WORDS = "one two three four five six seven eight nine ten and or not so"
TOKENIZER = TextTokenizer.train([WORDS * 3], 300)
ENCODER = PromptEncoder(TOKENIZER)

PLAIN = DecoderConfig(
    vocab_size=TOKENIZER.vocab_size,
    layers=2,
    d_model=32,
    heads=4,
    kv_heads=2,
    head_dim=8,
    d_ff=48,
)
FAMILIES = {
    "llama": evolve(PLAIN, tied=False, rope_scaling=RopeScaling("llama3", 8.0)),
    "qwen 2": evolve(PLAIN, attention_bias=True),
    "qwen 3": evolve(PLAIN, qk_norm=True, kv_heads=1),
    "gemma 2": evolve(
        PLAIN,
        layers=4,
        activation="gelu_tanh",
        norm_plus_one=True,
        post_norms=True,
        attention_softcap=2.0,
        logit_softcap=20.0,
        attention_scale=0.5,
        embedding_scale=True,
        window=7,
        windowed=(True, False),
    ),
    "gemma 3": evolve(
        PLAIN,
        layers=3,
        norm_plus_one=True,
        post_norms=True,
        qk_norm=True,
        local_rope_theta=100.0,
        window=20,
        windowed=(True, True, False),
    ),
    "from scratch": evolve(PLAIN, previous_token=True, embedding_scale=True, window=3),
}
PROMPTS = [
    Prompt(f"item {n}", " ".join(WORDS.split()[: 1 + n % 4] * (1 + n % 6))) for n in range(12)
]


@cache
def model(config: DecoderConfig) -> tuple[Decoder, Params]:
    """A random model, so wild that it does not repeat itself."""
    decoder = Decoder(config)
    random = np.random.default_rng(1)

    def draw(path: Any, leaf: Any) -> Any:
        scale = {"scale": 3.0, "embedding": 0.3}.get(path[-1].key, 0.7)
        return (random.standard_normal(leaf.shape) * scale).astype(np.float32)

    shapes = jax.eval_shape(decoder.init, 0)
    return decoder, jax.tree_util.tree_map_with_path(draw, shapes)


def complete(
    prompts: Sequence[Prompt] = PROMPTS,
    decoder_config: DecoderConfig = PLAIN,
    steps: int = 32,
    **changes: Any,
) -> list[Completion]:
    generation = GenerationConfig(**{"max_new_tokens": 12, "stop": (), "batch_size": 4, **changes})
    decoder, params = model(decoder_config)
    predictor = JaxPredictor(params, decoder, ENCODER, generation, "float32", steps)
    return list(predictor.complete(prompts))


def by_id(completion: Completion) -> Prompt:
    return next(prompt for prompt in PROMPTS if prompt.item_id == completion.item_id)


def by_item(completions: Sequence[Completion]) -> dict[tuple[str, int], Completion]:
    return {(c.item_id, c.sample): c for c in completions}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cache_gives_what_whole_forward_passes_give(family: str) -> None:
    """Token for token, texts shorter and longer than the window, and than its first filling."""
    config = FAMILIES[family]
    decoder, params = model(config)
    prompts = [PROMPTS[0], PROMPTS[3]]
    completions = complete(prompts, config, max_new_tokens=30)
    params = jax.device_put(params)

    @jax.jit
    def logits(tokens: Any) -> Any:
        places = jnp.arange(tokens.shape[1])[None]
        ones = jnp.ones_like(tokens)
        hidden = decoder.hidden(params, tokens, ones, places, jnp.dtype("float32"))
        return decoder.logits(params, hidden)

    for prompt, completion in zip(prompts, completions, strict=True):
        (ids,) = ENCODER.prompt_ids([prompt.text])
        made: list[int] = []
        while len(made) < 30 and (not made or made[-1] not in ENCODER.ends):
            row = np.zeros((1, 80), np.int32)
            row[0, : len(ids) + len(made)] = ids + made
            made.append(int(jnp.argmax(logits(row)[0, len(ids) + len(made) - 1])))
        assert completion.text == TOKENIZER.decode(made)
        assert completion.tokens == len(made)
        assert len(set(made)) > 3, "a model that repeats itself proves little"


@settings(max_examples=10)
@given(
    order=st.permutations(PROMPTS),
    count=st.integers(1, len(PROMPTS)),
    steps=st.sampled_from([1, 3, 32]),
    temperature=st.sampled_from([0.0, 1.0]),
)
def test_what_an_item_gets_does_not_depend_on_the_others(
    order: list[Prompt], count: int, steps: int, temperature: float
) -> None:
    """More prompts than rows, so that rows are filled again, in any order and number."""
    together = by_item(complete(temperature=temperature, seed=5))
    completions = complete(order[:count], temperature=temperature, seed=5, steps=steps)
    assert [c.item_id for c in completions] == [p.item_id for p in order[:count]]
    assert all(together[key] == made for key, made in by_item(completions).items())


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_number_of_rows_changes_nothing(batch_size: int) -> None:
    expected = complete(PROMPTS[:4], temperature=0.8)
    assert complete(PROMPTS[:4], temperature=0.8, batch_size=batch_size) == expected


def test_samples_of_a_prompt_differ_and_come_again() -> None:
    prompts = [Prompt("a", "one two", sample) for sample in range(6)]
    first = complete(prompts, temperature=1.0)
    assert [c.sample for c in first] == list(range(6))
    assert len({c.text for c in first}) > 3
    assert complete(prompts[::-1], temperature=1.0) == first[::-1]
    assert complete(prompts, temperature=1.0, seed=1) != first


@pytest.mark.parametrize("steps", [1, 2, 5, 32])
def test_a_stop_text_may_span_tokens_and_looks(steps: int) -> None:
    whole = complete(max_new_tokens=32)
    spans = [(c, begin) for c in whole for begin in range(0, len(c.text) - 4, 5)]
    legible = [(c, b) for c, b in spans if "\ufffd" not in c.text[b : b + 4]]
    assert len(legible) > 5
    for completion, begin in legible[:6]:
        stop = completion.text[begin : begin + 4]
        ends = [c.text.find(stop) + 4 if stop in c.text else None for c in whole]
        made = complete(max_new_tokens=32, stop=("never", stop), steps=steps)
        assert [c.text for c in made] == [c.text[:end] for c, end in zip(whole, ends, strict=True)]
        assert all((c.stop == "stop") for c, end in zip(made, ends, strict=True) if end)
        # One token less says less, and no more tokens count than were asked for.
        (shorter,) = (c for c in made if c.item_id == completion.item_id)
        (less,) = complete([by_id(completion)], max_new_tokens=shorter.tokens - 1)
        (same,) = complete([by_id(completion)], max_new_tokens=shorter.tokens)
        assert stop not in less.text
        assert stop in same.text


def test_completions_come_as_soon_as_those_before_them_are_out() -> None:
    decoder, params = model(PLAIN)
    config = GenerationConfig(max_new_tokens=8, stop=(), batch_size=2)
    predictor = JaxPredictor(params, decoder, ENCODER, config, "float32")
    asked = iter(PROMPTS * 100)
    first = next(iter(predictor.complete(asked)))
    assert first.item_id == PROMPTS[0].item_id
    assert next(asked, None) is not None, "prompts must not all be held before the first answer"


@pytest.mark.full
def test_eight_devices_share_the_rows() -> None:
    """The same tests where every device has its share, some of them of rows that stay empty."""
    compiled = os.environ.get("XLA_FLAGS", "")
    flags = f"{compiled} --xla_force_host_platform_device_count=8"
    chosen = "whole_forward_passes or depend_on_the_others or other_settings"
    command = [sys.executable, "-m", "pytest", "-q", "-k", chosen]
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*command, __file__], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_other_settings_need_no_new_compilation(caplog: pytest.LogCaptureFixture) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"temperature": 1.0, "top_k": 3},
        {"temperature": 0.5, "top_p": 0.5, "seed": 3, "max_new_tokens": 9},
        {"min_p": 0.2, "temperature": 2.0, "stop": ("x", "yz")},
    ]
    complete(PROMPTS)
    with jax.log_compiles():
        for change in changes:
            complete(PROMPTS[::-1], **change)
    assert not [r.getMessage() for r in caplog.records if "ompil" in r.getMessage()]
