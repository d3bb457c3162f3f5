"""Batched generation: rows that are finished make room for the next prompts at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Prompt
from tunix_jax.generation.decoding import Choice, Engine, Rows, place_params, row_sharding
from tunix_jax.generation.sampling import Sampling, row_key
from tunix_jax.generation.stop_texts import StopTexts
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.text.prompt_encoder import PromptEncoder

# Prompts are padded to 32, 48, 64, 96, 128 ... tokens; each of these lengths is compiled once.
_SHORTEST = 32
# Steps between two looks at what was made.
STEPS = 32
# Prompts that are read at once, for every row.
_AHEAD = 64
# Prompts that enter together, at most: so many rows must be free before more can.
_ENTERING = 8


class _Waiting(NamedTuple):
    """A prompt, its tokens, and its place among those that were read with it."""

    place: int
    prompt: Prompt
    ids: Sequence[int]


class Sampler:
    """Draws completions from a decoder with whatever parameters it is given.

    What was compiled is kept between calls: parameters are arguments of it.

    Args:
        decoder: The model.
        encoder: Encodes prompts; its tokenizer decodes completions.
        dtype: Type of the computation and the cache.
        mesh: Devices that share the rows.
        steps: Steps between two looks at what was made; changes no completion.
        logprobs: Let completions carry token ids and log-probabilities.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: PromptEncoder,
        dtype: str,
        mesh: Mesh,
        steps: int = STEPS,
        *,
        logprobs: bool = False,
    ) -> None:
        self._engine = Engine(decoder, jnp.dtype(dtype), row_sharding(mesh), logprobs)
        self._encoder, self._mesh, self._steps = encoder, mesh, steps

    def place(self, params: Params) -> Params:
        """Parameters as :meth:`complete` takes them.

        Args:
            params: Parameters of the model, blocks stacked; on the host or on devices.
        """
        return place_params(params, self._engine.dtype, self._mesh)

    def complete(
        self, params: Params, prompts: Iterable[Prompt], config: GenerationConfig
    ) -> Iterator[Completion]:
        """Completions in the order of the prompts, each as soon as those before it are out.

        Args:
            params: What :meth:`place` returned.
            prompts: What to complete; read a bounded number ahead.
            config: How to sample.
        """
        call = _Call(self._engine, self._encoder, self._steps, params, config)
        return call.complete(prompts)


class _Call:
    """One call of a sampler.

    Shapes are those of a prompt's own length, and every row draws from a generator of its own.
    """

    def __init__(
        self,
        engine: Engine,
        encoder: PromptEncoder,
        steps: int,
        params: Params,
        config: GenerationConfig,
    ) -> None:
        self._engine, self._encoder, self._steps = engine, encoder, steps
        self._params, self._config = params, config
        self._stops = StopTexts(encoder, config.stop)
        devices = int(engine.by_row.mesh.size)
        self._size = -(-config.batch_size // devices) * devices
        entering = max(1, min(_ENTERING, self._size // 4))
        self._entering = -(-entering // devices) * devices
        # A little room to spare lets configs share what was compiled.
        self._room = -(-config.max_new_tokens // 32) * 32
        self._choice = Choice(Sampling.of(config), self._stops.ids, np.int32(config.max_new_tokens))

    def complete(self, prompts: Iterable[Prompt]) -> Iterator[Completion]:
        """Completions in the order of the prompts, each as soon as those before it are out."""
        source = iter(prompts)
        while held := list(islice(source, _AHEAD * self._size)):
            done: dict[int, Completion] = {}
            upcoming = 0
            for bucket, waiting in self._buckets(held).items():
                for place, completion in self._bucket(bucket, waiting):
                    done[place] = completion
                    while upcoming in done:
                        yield done.pop(upcoming)
                        upcoming += 1

    def _buckets(self, prompts: Sequence[Prompt]) -> dict[int, deque[_Waiting]]:
        """Prompts by the length to which they are padded."""
        buckets: dict[int, deque[_Waiting]] = {}
        encoded = self._encoder.prompt_ids([prompt.text for prompt in prompts])
        for place, (prompt, ids) in enumerate(zip(prompts, encoded, strict=True)):
            # Without any token to go on, a text begins where another ends.
            waiting = _Waiting(place, prompt, ids or [self._encoder.tokenizer.end])
            buckets.setdefault(_padded(len(waiting.ids)), deque()).append(waiting)
        return buckets

    def _bucket(self, bucket: int, waiting: deque[_Waiting]) -> Iterator[tuple[int, Completion]]:
        """Completions of prompts of about one length, with their places, as they finish."""
        rows = self._engine.empty(self._size, bucket + self._room, self._room)
        running: dict[int, _Waiting] = {}
        looked_at = np.zeros(self._size, np.int32)
        finished = np.ones(self._size, bool)
        while waiting or running:
            while waiting and finished.sum() >= (entering := min(self._entering, len(waiting))):
                entered = [waiting.popleft() for _ in range(entering)]
                places = np.flatnonzero(finished)[:entering]
                rows = self._enter(rows, entered, places, bucket)
                running.update(zip(places.tolist(), entered, strict=True))
                finished[places], looked_at[places] = False, 0
            rows = self._engine.decode(
                self._params,
                rows,
                finished,
                self._choice,
                np.int32(self._steps),
                np.int32(self._size - entering if waiting else 0),
            )
            active, counts, made, logprobs = jax.device_get(
                (rows.active, rows.counts, rows.made, rows.logprobs)
            )
            for place, (index, prompt, _) in list(running.items()):
                ids = made[place, : counts[place]].tolist()
                if not active[place] or self._stops.seen(ids, looked_at[place]):
                    finished[place] = True
                    del running[place]
                    said = None if logprobs is None else logprobs[place].tolist()
                    yield index, self._stops.completion(prompt, ids, said)
            looked_at = counts.copy()

    def _enter(
        self, rows: Rows, entered: Sequence[_Waiting], places: np.ndarray, bucket: int
    ) -> Rows:
        """Put prompts into rows; the group is filled up with rows that are dropped."""
        tokens = np.full((self._entering, bucket), self._encoder.tokenizer.pad, np.int32)
        lengths = np.ones(self._entering, np.int32)
        keys = np.zeros((self._entering, 2), np.uint32)
        targets = np.full(self._entering, self._size, np.int32)
        targets[: len(places)] = places
        for number, (_, prompt, ids) in enumerate(entered):
            tokens[number, : len(ids)] = ids
            lengths[number] = len(ids)
            keys[number] = row_key(self._config.seed, prompt.item_id, prompt.sample)
        return self._engine.prefill(
            self._params, rows, tokens, lengths, keys, targets, self._choice
        )


def _padded(length: int) -> int:
    """The next of 32, 48, 64, 96, 128 ... that is not below ``length``."""
    bucket = _SHORTEST
    while bucket < length:
        # Powers of two alternate with what lies half-way to the next one.
        power_of_two = bucket & (bucket - 1) == 0
        bucket = bucket * 3 // 2 if power_of_two else bucket * 4 // 3
    return bucket
