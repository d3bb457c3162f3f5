"""Examples laid side by side in rows of one length, first-fit, without touching their tokens."""

from __future__ import annotations

from typing import Literal

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from tunix_core.errors import UsageError
from tunix_jax.data.token_cache import TokenizedExamples

IntArray = NDArray[np.int32] | NDArray[np.int64]
Batch = dict[str, NDArray[np.int32]]


@frozen(eq=False)
class PackedRows:
    """A plan of which examples lie in which row; tokens are gathered when they are asked for.

    Args:
        examples: What is packed.
        length: Tokens in a row.
        pad: Id of padding.
        order: int64[packed]; examples in the order of the rows, and in their order within one.
        bounds: int64[rows + 1]; where the examples of each row begin in ``order``.
        too_long: Number of examples left out: longer than a row, or, when such are cut, with a
            prompt that fills a row by itself.
        truncated: Number of examples cut at the end.
        together: Examples that a line of the data file holds.
    """

    examples: TokenizedExamples
    length: int
    pad: int
    order: NDArray[np.int64]
    bounds: NDArray[np.int64]
    too_long: int
    truncated: int
    together: int = 1
    tokens_per_row: NDArray[np.int64] = field(init=False)
    learned_per_row: NDArray[np.int64] = field(init=False)

    @tokens_per_row.default
    def _tokens_per_row(self) -> NDArray[np.int64]:
        """int64[rows]: tokens that are no padding."""
        return np.add.reduceat(self._sizes(self.order), self.bounds[:-1])

    @learned_per_row.default
    def _learned_per_row(self) -> NDArray[np.int64]:
        """int64[rows]: tokens to be learned."""
        learned = self._sizes(self.order) - self._first_learned(self.order)
        return np.add.reduceat(learned, self.bounds[:-1])

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def padding(self) -> float:
        """Share of padding in all rows."""
        return 1.0 - float(self.tokens_per_row.sum()) / (len(self) * self.length)

    @property
    def learned(self) -> int:
        """Number of tokens to be learned in all rows."""
        return int(self.learned_per_row.sum())

    def take(self, rows: IntArray) -> Batch:
        """Some rows, as the training step wants them.

        Args:
            rows: int[n]; indices of rows.

        Returns:
            int32[n, length] each: ``tokens``; ``segments``, 1, 2, ... for the examples of a row
            and 0 for padding; ``positions`` within the example, from 0; ``targets``, 1 where the
            token is to be learned: completion and end.
        """
        counts = np.diff(self.bounds)[rows]
        segments = _ramp(counts)
        chosen = self.order[np.repeat(self.bounds[:-1][rows], counts) + segments]
        sizes = self._sizes(chosen)
        positions = _ramp(sizes)
        begins = np.cumsum(sizes) - sizes
        # Where each row's tokens begin, if there were no padding.
        in_row = np.cumsum(self.tokens_per_row[rows]) - self.tokens_per_row[rows]
        shifts = np.repeat(np.arange(len(rows)) * self.length - in_row, counts)
        places = np.repeat(begins + shifts, sizes) + positions
        sources = np.repeat(self.examples.offsets[chosen], sizes) + positions
        targets = positions >= np.repeat(self._first_learned(chosen), sizes)
        return {
            "tokens": self._spread(places, self.examples.tokens[sources], len(rows), self.pad),
            "segments": self._spread(places, np.repeat(segments + 1, sizes), len(rows)),
            "positions": self._spread(places, positions, len(rows)),
            "targets": self._spread(places, targets, len(rows)),
        }

    def examples_of(self, rows: IntArray) -> list[int]:
        """Which examples, as lines of the data file from 0, lie in some rows, in their order."""
        parts = [self.order[self.bounds[row] : self.bounds[row + 1]] for row in rows]
        return [int(example) // self.together for part in parts for example in part]

    def _sizes(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(self.examples.lengths[examples], self.length)

    def _first_learned(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        # Nothing comes before the first token of an example that could tell it.
        return np.maximum(self.examples.prompt_lengths[examples], 1).astype(np.int64)

    def _spread(
        self, places: NDArray[np.int64], values: NDArray[np.generic], rows: int, fill: int = 0
    ) -> NDArray[np.int32]:
        spread = np.full(rows * self.length, fill, np.int32)
        spread[places] = values
        return spread.reshape(rows, self.length)


def pack(
    examples: TokenizedExamples,
    length: int,
    pad: int,
    overlong: Literal["drop", "truncate"] = "drop",
    together: int = 1,
) -> PackedRows:
    """Lay examples, in their order, each into the first row with room for it.

    Args:
        examples: What to pack.
        length: Tokens in a row.
        pad: Id of padding.
        overlong: What becomes of an example longer than a row: ``drop`` leaves it out,
            ``truncate`` cuts its end, if that leaves something to be learned.
        together: So many examples in a row belong together: they lie side by side, and are left
            out together where a row does not hold them all; only single ones are cut.

    Raises:
        UsageError: No example fits.
    """
    lengths = examples.lengths.reshape(-1, together).sum(axis=1)
    over = left_out = lengths > length
    if overlong == "truncate" and together == 1:
        left_out = over & (examples.prompt_lengths >= length)
    kept = np.flatnonzero(~left_out)
    if not len(kept):
        raise UsageError(
            f"none of {len(examples)} examples fits into {length} tokens", "raise max_length"
        )
    sizes = np.minimum(lengths[kept], length)
    rows = first_fit(sizes, length)
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows[order], np.arange(rows.max() + 2))
    return PackedRows(
        examples,
        length,
        pad,
        order=(kept[order][:, None] * together + np.arange(together)).ravel(),
        bounds=bounds.astype(np.int64) * together,
        too_long=int(left_out.sum()) * together,
        truncated=int((over & ~left_out).sum()),
        together=together,
    )


def first_fit(sizes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The row of each item: the first with room for it, a new one when there is none.

    A tree of the largest room below each node finds the row in logarithmic time
    (Johnson, 1974), so that every row stays open.

    Args:
        sizes: int[n]; none more than ``length``.
        length: Room of an empty row.

    Returns:
        int64[n]; rows are numbered in the order in which they are opened.
    """
    leaves = 1
    room = [length, length]
    rows: list[int] = []
    for size in sizes.tolist():
        if room[1] < size:
            room = _doubled(room, leaves, length)
            leaves *= 2
        node = 1
        while node < leaves:
            node *= 2
            if room[node] < size:
                node += 1
        rows.append(node - leaves)
        left = room[node] - size
        room[node] = left
        while node > 1:
            # The larger of the two children of the node above.
            other = room[node ^ 1]
            left = max(left, other)
            node //= 2
            if room[node] == left:
                break
            room[node] = left
    return np.asarray(rows, np.int64)


def _doubled(room: list[int], leaves: int, length: int) -> list[int]:
    """A tree with twice the leaves; the new ones are empty rows."""
    doubled = [length] * (4 * leaves)
    width = 1
    while width <= leaves:
        doubled[2 * width : 3 * width] = room[width : 2 * width]
        width *= 2
    return doubled


def _ramp(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... ``count - 1`` for each count, one after another."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - counts, counts)
