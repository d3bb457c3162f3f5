"""Which rows a step learns from, and their arrays, ready before the step wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from types import TracebackType
from typing import Generic, TypeVar

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

T = TypeVar("T")

# One is being computed on, the other is ready.
_AHEAD = 2


@frozen
class Shuffle:
    """Rows by step: epoch after epoch, each in an order of its own.

    The order depends on ``seed`` and the epoch alone, so that the step is the whole cursor.

    Args:
        count: Number of rows.
        rows_per_step: How many rows a step takes; may be more than ``count``.
        seed: Of the order; 0 or more.
    """

    count: int
    rows_per_step: int
    seed: int
    _order: Callable[[int], NDArray[np.int64]] = field(init=False, eq=False, repr=False)

    @_order.default
    def _orders(self) -> Callable[[int], NDArray[np.int64]]:
        # A step touches two epochs at most, unless an epoch is shorter than a step.
        return lru_cache(maxsize=2)(self._permutation)

    def rows(self, step: int) -> NDArray[np.int64]:
        """int64[rows_per_step]: indices of the rows of a step (from 0)."""
        begin = step * self.rows_per_step
        epochs, places = np.divmod(np.arange(begin, begin + self.rows_per_step), self.count)
        parts = [self._order(int(e))[places[epochs == e]] for e in range(epochs[0], epochs[-1] + 1)]
        return np.concatenate(parts)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.count)


class Prefetch(Generic[T]):
    """Makes batches in a thread, two steps ahead, and gives them out in the order of the steps.

    Use it as a context manager; leaving it ends the thread.

    Args:
        make: The batch of a step. What it raises is raised where the batch is asked for.
        start: First step.
        stop: Step before which to end.
    """

    def __init__(self, make: Callable[[int], T], start: int, stop: int) -> None:
        self._make, self._next, self._stop = make, start, stop
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
        self._made: deque[tuple[int, Future[T]]] = deque()

    def __enter__(self) -> Prefetch[T]:
        for _ in range(_AHEAD):
            self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._made.clear()

    def __iter__(self) -> Iterator[tuple[int, T]]:
        while self._made:
            step, batch = self._made.popleft()
            made = batch.result()
            self._begin()
            yield step, made

    def _begin(self) -> None:
        if self._next < self._stop:
            self._made.append((self._next, self._pool.submit(self._make, self._next)))
            self._next += 1
