"""Batched generation with a key-value cache; what a row says does not depend on its batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tunix_core.errors import UsageError
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Prompt
from tunix_jax.config import ModelConfig
from tunix_jax.model import Decoder, before, make_model, merge
from tunix_jax.tokenizer import TextTokenizer

# Prompts are padded to a multiple of this; each multiple is compiled once.
BUCKET = 32
MAX_STOPS = 8


class JaxPredictor:
    """Completes prompts with a model held in memory.

    Args:
        params: Parameters of the model.
        shape: Its shape.
        tokenizer: Its tokenizer.
        config: How to sample.
        dtype: Type of the computation and the cache.
    """

    def __init__(
        self,
        params: Any,
        shape: ModelConfig,
        tokenizer: TextTokenizer,
        config: GenerationConfig,
        dtype: str,
    ) -> None:
        self._params = jax.device_put(params)
        self._tokenizer = tokenizer
        self._config = config
        graph, _ = make_model(shape, 0)
        self._generate = jax.jit(
            partial(_generate, graph, jnp.dtype(dtype)), static_argnames=("max_new", "greedy")
        )
        # A stop text that is one token ends a row on the device; others are looked for here.
        ids = [tokenizer.single(text) for text in config.stop]
        stops = [tokenizer.end, *(number for number in ids if number is not None)]
        if len(stops) > MAX_STOPS:
            raise UsageError(f"at most {MAX_STOPS - 1} stop texts")
        self._stops = np.full(MAX_STOPS, -1, np.int32)
        self._stops[: len(stops)] = stops

    def complete(self, prompts: Iterable[Prompt]) -> Iterator[Completion]:
        """Completions in the order of the prompts."""
        held = list(prompts)
        encoded = [
            [self._tokenizer.begin, *ids] for ids in self._tokenizer.encode([p.text for p in held])
        ]
        buckets = [-(-len(ids) // BUCKET) * BUCKET for ids in encoded]
        done: dict[int, Completion] = {}
        upcoming = 0
        # Work bucket by bucket, and hand out each completion as soon as those before it are out.
        for bucket in sorted(set(buckets)):
            places = [place for place, size in enumerate(buckets) if size == bucket]
            for begin in range(0, len(places), self._config.batch_size):
                chosen = places[begin : begin + self._config.batch_size]
                rows = [encoded[place] for place in chosen]
                chosen_prompts = [held[place] for place in chosen]
                for place, made in zip(
                    chosen, self._batch(chosen_prompts, rows, bucket), strict=True
                ):
                    done[place] = made
                while upcoming in done:
                    yield done.pop(upcoming)
                    upcoming += 1

    def _batch(
        self, prompts: Sequence[Prompt], rows: Sequence[Sequence[int]], bucket: int
    ) -> Iterator[Completion]:
        config = self._config
        tokens = np.full((config.batch_size, bucket), self._tokenizer.pad, np.int32)
        lengths = np.ones(config.batch_size, np.int32)
        keys = np.zeros((config.batch_size, 2), np.uint32)
        for place, (prompt, ids) in enumerate(zip(prompts, rows, strict=True)):
            tokens[place, : len(ids)] = ids
            lengths[place] = len(ids)
            keys[place] = _row_key(config.seed, prompt)
        made, counts = self._generate(
            self._params,
            tokens,
            lengths,
            np.arange(config.batch_size) < len(rows),
            keys,
            self._stops,
            np.float32(config.temperature),
            np.int32(config.top_k),
            np.float32(config.top_p),
            max_new=config.max_new_tokens,
            greedy=config.temperature == 0.0,
        )
        generated, numbers = np.asarray(made), np.asarray(counts)
        for place, prompt in enumerate(prompts):
            yield self._completion(prompt, generated[place, : numbers[place]].tolist())

    def _completion(self, prompt: Prompt, ids: Sequence[int]) -> Completion:
        text = self._tokenizer.decode(ids)
        stopped = bool(ids) and ids[-1] in self._stops
        ends = [text.find(stop) + len(stop) for stop in self._config.stop if stop in text]
        if ends:
            text, stopped = text[: min(ends)], True
        return Completion(
            item_id=prompt.item_id,
            text=text,
            stop="stop" if stopped else "length",
            tokens=len(ids),
            sample=prompt.sample,
        )


def _row_key(seed: int, prompt: Prompt) -> Any:
    """64 bits that depend on the seed, the item and the sample, and on nothing else."""
    text = f"{seed}/{prompt.item_id}/{prompt.sample}".encode()
    return np.frombuffer(blake2b(text, digest_size=8).digest(), ">u4").astype(np.uint32)


def _generate(
    graph: Any,
    dtype: jnp.dtype,
    params: Any,
    tokens: jax.Array,
    lengths: jax.Array,
    wanted: jax.Array,
    keys: jax.Array,
    stops: jax.Array,
    temperature: jax.Array,
    top_k: jax.Array,
    top_p: jax.Array,
    *,
    max_new: int,
    greedy: bool,
) -> tuple[jax.Array, jax.Array]:
    """Prefill, then decode until every row has stopped.

    Args:
        graph: Graph definition of the model.
        dtype: Type of the computation.
        params: Parameters.
        tokens: int32[batch, prompt]; right-padded prompts.
        lengths: int32[batch]; their lengths.
        wanted: bool[batch]; False for rows that only fill the batch.
        keys: uint32[batch, 2]; randomness of each row.
        stops: int32[8]; ids that end a row.
        temperature: float32; unused when ``greedy``.
        top_k: int32; 0 keeps all.
        top_p: float32; 1 keeps all.
        max_new: Most tokens to make.
        greedy: Take the most likely token.

    Returns:
        int32[batch, max_new] tokens and int32[batch] how many of them count.
    """
    model = merge(graph, params)
    batch, prompt = tokens.shape
    places = jnp.arange(prompt + max_new)

    def choose(hidden: jax.Array, position: jax.Array) -> jax.Array:
        logits = model.logits(hidden)
        if greedy:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return jax.vmap(_sample, in_axes=(0, 0, 0, None, None, None))(
            logits, keys, position, temperature, top_k, top_p
        )

    cache, last = _prefill(model, dtype, tokens, lengths, max_new)
    first = choose(last, lengths)

    def going(carry: Any) -> Any:
        count, *_, stopped = carry
        return (count < max_new) & ~jnp.all(stopped)

    def step(carry: Any) -> Any:
        count, made, counts, cache, previous, token, stopped = carry
        made = made.at[:, count].set(jnp.where(stopped, made[:, count], token))
        counts = jnp.where(stopped, counts, count + 1)
        stopped |= jnp.any(token[:, None] == stops[None], axis=1)
        # Prompts end where they end, but every row writes its new tokens at the same place.
        at, position = prompt + count, lengths + count
        mask = (places < lengths[:, None]) | ((places >= prompt) & (places <= at))
        hidden, cache = model.step(
            token[:, None], previous[:, None], position[:, None], cache, mask[:, None], at
        )
        following = choose(hidden[:, 0], position + 1)
        return count + 1, made, counts, cache, token, following, stopped

    made = jnp.zeros((batch, max_new), jnp.int32)
    counts = jnp.zeros(batch, jnp.int32)
    last_of_prompt = tokens[jnp.arange(batch), lengths - 1]
    begin = (jnp.zeros((), jnp.int32), made, counts, cache, last_of_prompt, first, ~wanted)
    _, made, counts, *_ = jax.lax.while_loop(going, step, begin)
    return made, counts


def _prefill(
    model: Decoder, dtype: jnp.dtype, tokens: jax.Array, lengths: jax.Array, max_new: int
) -> tuple[Any, jax.Array]:
    """The cache after the prompts, and the hidden state of each prompt's last token."""
    batch, prompt = tokens.shape
    cache = model.empty_cache(batch, prompt + max_new, dtype)
    positions = jnp.broadcast_to(jnp.arange(prompt), tokens.shape)
    mask = jnp.arange(prompt + max_new)[None, None, :] <= positions[..., None]
    hidden, cache = model.step(tokens, before(tokens, positions), positions, cache, mask, 0)
    return cache, hidden[jnp.arange(batch), lengths - 1]


def _sample(
    logits: jax.Array,
    key: jax.Array,
    position: jax.Array,
    temperature: jax.Array,
    top_k: jax.Array,
    top_p: jax.Array,
) -> jax.Array:
    """One token of one row, by temperature, top-k and nucleus (Holtzman et al., 2020)."""
    order = jnp.argsort(-logits)
    scaled = logits[order] / temperature
    ranks = jnp.arange(logits.shape[0])
    kept = (top_k <= 0) | (ranks < top_k)
    scaled = jnp.where(kept, scaled, -jnp.inf)
    probabilities = jax.nn.softmax(scaled)
    before = jnp.cumsum(probabilities) - probabilities
    scaled = jnp.where(before < top_p, scaled, -jnp.inf)
    drawn = jax.random.categorical(
        jax.random.fold_in(jax.random.wrap_key_data(key, impl="threefry2x32"), position), scaled
    )
    return order[drawn].astype(jnp.int32)
