"""Which of the matching traces a dataset takes: the newest, a seeded sample, or a mix."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isfinite
from typing import Literal

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_core.store.labels import Matches

Strategy = Literal["latest", "random"]


@frozen
class Selection:
    """Which traces, and out of how many.

    Args:
        sequences: Their places in the store, in the order of the dataset.
        stored: Number of traces in the store.
        matched: Number of traces that matched.
        strategy: What the manifest calls the choice.
    """

    sequences: Sequence[int]
    stored: int
    matched: int
    strategy: Literal["latest", "random", "explicit", "mix"]


def choose(
    matches: Matches, stored: int, strategy: Strategy, seed: int | None, limit: int | None
) -> Selection:
    """``limit`` of the matches, or all: the newest first, or a sample in random order.

    A sample depends on the seed and on which traces are stored, on nothing else.
    """
    matched = len(matches)
    count = matched if limit is None else min(limit, matched)
    return Selection(_take(matches, strategy, f"{seed}", count), stored, matched, strategy)


def choose_mix(
    matches: Mapping[str, Matches],
    mix: Mapping[str, float],
    stored: int,
    strategy: Strategy,
    seed: int | None,
    limit: int | None,
) -> Selection:
    """Shares of several sources, exact by largest remainder, evenly interleaved.

    Args:
        matches: What each source has.
        mix: Share of each source; they are divided by their sum.
        stored: Number of traces in the store.
        strategy: How to choose within a source.
        seed: Seed of the samples; each source has its own stream.
        limit: How many in all; by default the most that the sources can fill.

    Raises:
        UsageError: A share is not positive, or a source has too few traces.
    """
    if not mix or not all(isfinite(share) and share > 0 for share in mix.values()):
        raise UsageError("every share of a mix must be a number above 0")
    shares = {source: Fraction(share) for source, share in sorted(mix.items())}
    whole = sum(shares.values())
    available = {source: len(matches[source]) for source in shares}
    if limit is None:
        limit = min(int(available[source] * whole / shares[source]) for source in shares)
        while any(n > available[source] for source, n in apportion(shares, limit).items()):
            limit -= 1
    placed: list[tuple[Fraction, str, int]] = []
    for source, count in apportion(shares, limit).items():
        if count > available[source]:
            raise UsageError(
                f"source {source!r} has {available[source]} matching traces, the mix needs {count}",
                "lower the limit or its share",
            )
        taken = _take(matches[source], strategy, f"{seed}:{source}", count)
        placed += [
            (Fraction(2 * n + 1, 2 * count), source, sequence) for n, sequence in enumerate(taken)
        ]
    sequences = [sequence for _, _, sequence in sorted(placed)]
    return Selection(sequences, stored, sum(available.values()), "mix")


def apportion(shares: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Whole numbers in proportion to ``shares`` that add up to ``total``, by largest remainder."""
    whole = sum(shares.values())
    exact = {source: total * share / whole for source, share in shares.items()}
    counts = {source: int(value) for source, value in exact.items()}
    order = sorted(exact, key=lambda source: (counts[source] - exact[source], source))
    for source in order[: total - sum(counts.values())]:
        counts[source] += 1
    return counts


def _take(matches: Matches, strategy: Strategy, stream: str, count: int) -> list[int]:
    if strategy == "latest":
        return matches.newest(count)
    ranks = random.Random(f"dataset:{stream}").sample(range(len(matches)), count)  # noqa: S311
    return matches.at(ranks)
