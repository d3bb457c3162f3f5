"""From traces to packed rows: tokenised once, packed first-fit, addressed by step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from tunix_core.codec import trace_from_data
from tunix_core.errors import UsageError
from tunix_core.rendering import Rendered, render
from tunix_jax.tokenizer import TextTokenizer

IntArray = NDArray[np.int32]
# First-fit looks back over this many open rows; more would find little room for much time.
_OPEN_ROWS = 64


@frozen
class Example:
    """Token ids of an example, and how many of them are prompt.

    Args:
        ids: ``<bos>``, prompt, completion, ``<eos>``.
        prompt_length: Number of ids before the completion.
    """

    ids: Sequence[int]
    prompt_length: int


@frozen
class PackedRows:
    """Examples laid side by side in rows of one length.

    Args:
        tokens: int32[rows, length]; padding is ``<pad>``.
        segments: int32[rows, length]; 1, 2, ... for the examples of a row, 0 for padding.
        positions: int32[rows, length]; position within the example, from 0.
        targets: int32[rows, length]; 1 where the token is to be learned: completion and end.
        too_long: Number of examples that were left out because they exceed a row.
    """

    tokens: IntArray
    segments: IntArray
    positions: IntArray
    targets: IntArray
    too_long: int

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    def take(self, rows: IntArray) -> dict[str, IntArray]:
        """The arrays of some rows, as the training step wants them."""
        return {
            "tokens": self.tokens[rows],
            "segments": self.segments[rows],
            "positions": self.positions[rows],
            "targets": self.targets[rows],
        }


def read_examples(path: Path, template: str) -> Iterator[Rendered]:
    """The rendered traces of a data file, one at a time.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                yield render(trace_from_data(json.loads(line)), template)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def tokenize(examples: Sequence[Rendered], tokenizer: TextTokenizer) -> list[Example]:
    """Token ids of examples, in their order."""
    prompts = tokenizer.encode([example.prompt for example in examples])
    completions = tokenizer.encode([example.completion for example in examples])
    return [
        Example([tokenizer.begin, *prompt, *completion, tokenizer.end], 1 + len(prompt))
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def pack(examples: Sequence[Example], length: int, pad: int) -> PackedRows:
    """Lay examples into rows, each into the first open row with room for it.

    Args:
        examples: What to pack; one longer than ``length`` is left out and counted.
        length: Tokens in a row.
        pad: Id of padding.

    Raises:
        UsageError: No example fits.
    """
    rows: list[list[Example]] = []
    space: list[int] = []
    too_long = 0
    for example in examples:
        size = len(example.ids)
        if size > length:
            too_long += 1
            continue
        first_open = max(0, len(rows) - _OPEN_ROWS)
        place = next((r for r in range(first_open, len(rows)) if space[r] >= size), None)
        if place is None:
            place = len(rows)
            rows.append([])
            space.append(length)
        rows[place].append(example)
        space[place] -= size
    if not rows:
        raise UsageError(
            f"none of {len(examples)} examples fits into {length} tokens", "raise max_length"
        )
    return _fill(rows, length, pad, too_long)


def _fill(rows: Sequence[Sequence[Example]], length: int, pad: int, too_long: int) -> PackedRows:
    shape = (len(rows), length)
    tokens = np.full(shape, pad, np.int32)
    segments, positions, targets = (np.zeros(shape, np.int32) for _ in range(3))
    for row, held in enumerate(rows):
        begin = 0
        for segment, example in enumerate(held, start=1):
            end = begin + len(example.ids)
            tokens[row, begin:end] = example.ids
            segments[row, begin:end] = segment
            positions[row, begin:end] = np.arange(end - begin)
            targets[row, begin + example.prompt_length : end] = 1
            begin = end
    return PackedRows(tokens, segments, positions, targets, too_long)


def rows_of_step(step: int, rows_per_step: int, count: int, seed: int) -> IntArray:
    """Indices of the rows of a step (from 0): epoch after epoch, each in an order of its own.

    The order depends on ``seed`` and the epoch alone, so that the step is the whole cursor.
    """
    wanted = np.arange(step * rows_per_step, (step + 1) * rows_per_step)
    epochs, places = np.divmod(wanted, count)
    rows = np.empty(rows_per_step, np.int32)
    for epoch in np.unique(epochs):
        order = np.random.Generator(np.random.Philox(key=[seed, int(epoch)])).permutation(count)
        rows[epochs == epoch] = order[places[epochs == epoch]]
    return rows
