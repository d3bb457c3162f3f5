"""Where a family's items lie: its splits, and the order in which its levels are used."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_generators.family import Family
from tunix_generators.permutation import permute

# Parts of the shared shuffle in percent, in order.
SPLITS = {"train": 90, "validation": 5, "test": 5}


def split_range(size: int, split: str) -> tuple[int, int]:
    """First place and number of places of a split in a shuffle of ``size``.

    Raises:
        UsageError: No such split.
    """
    begin = 0
    for name, percent in SPLITS.items():
        end = begin + percent
        first, last = size * begin // 100, size * end // 100
        if name == split:
            return first, last - first
        begin = end
    raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")


@frozen
class Shelf:
    """The points of one level that belong to one split.

    Args:
        level: The level.
        size: Number of points of the level, all splits together.
        first: First place of the split in the shared shuffle.
        count: Number of places of the split.
        split: Name of the split.
        key: Names the shared shuffle.
    """

    level: int
    size: int
    first: int
    count: int
    split: str
    key: str

    def point(self, seed: int, place: int) -> int:
        """The point at ``place < count`` in the order of a seed."""
        own = permute(place, self.count, f"{self.key}/{self.split}/{seed}")
        return permute(self.first + own, self.size, self.key)


@frozen
class _Stretch:
    """Running indices over which the same levels take turns.

    Args:
        length: Number of running indices.
        used: Places that each of its levels has given before.
        shelves: The levels that are not used up.
    """

    length: int
    used: int
    shelves: tuple[Shelf, ...]


@frozen
class Layout:
    """What a family holds for one split.

    Args:
        stretches: In the order of running indices.
        capacity: Number of distinct items.
    """

    stretches: tuple[_Stretch, ...]
    capacity: int

    def find(self, running: int) -> tuple[Shelf, int]:
        """The shelf of the family's item ``running < capacity``, and its place there."""
        for stretch in self.stretches:
            if running < stretch.length:
                turn, which = divmod(running, len(stretch.shelves))
                return stretch.shelves[which], stretch.used + turn
            running -= stretch.length
        raise IndexError(running)


def lay_out(family: Family, split: str, levels: Sequence[int], prefix: str) -> Layout:
    """Levels take turns; one that is used up drops out.

    Args:
        family: The family.
        split: Name of the split.
        levels: The levels to use.
        prefix: Names the generator and its version in the keys of the shuffles.

    Raises:
        UsageError: No such split.
    """
    left = []
    for level in levels:
        size = family.cardinality(level)
        key = f"{prefix}/{family.name}/{level}"
        left.append(Shelf(level, size, *split_range(size, split), split, key))
    capacity = sum(shelf.count for shelf in left)
    stretches = []
    used = 0
    while left:
        shortest = min(shelf.count for shelf in left)
        stretches.append(_Stretch((shortest - used) * len(left), used, tuple(left)))
        used = shortest
        left = [shelf for shelf in left if shelf.count > shortest]
    return Layout(tuple(stretches), capacity)
