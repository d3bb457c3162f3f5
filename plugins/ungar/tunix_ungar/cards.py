"""Cards, and the tensor through which a player sees them: 4 suits x 14 ranks x n planes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen
from attrs.validators import and_, ge, lt

SUITS = "SHDC"
RANKS = "23456789TJQKA"
# One more than there are letters: the last rank is that of the jokers, which some games use.
RANK_COUNT = 14
DECK_SIZE = len(SUITS) * len(RANKS)


@frozen
class Card:
    """A playing card.

    Args:
        suit: Place in :data:`SUITS`.
        rank: Place in :data:`RANKS`; a higher one wins.
    """

    suit: int = field(validator=and_(ge(0), lt(len(SUITS))))
    rank: int = field(validator=and_(ge(0), lt(len(RANKS))))

    def __str__(self) -> str:
        return RANKS[self.rank] + SUITS[self.suit]


DECK = tuple(Card(suit, rank) for suit in range(len(SUITS)) for rank in range(len(RANKS)))


@frozen
class CardTensor:
    """Which card lies in which plane, one byte a cell: 1 where it does, else 0.

    Args:
        planes: Names of the feature planes.
        cells: ``4 * 14 * n`` bytes; suit s, rank r, plane p is at ``(s * 14 + r) * n + p``.
    """

    planes: tuple[str, ...]
    cells: bytes

    @classmethod
    def of(cls, planes: Mapping[str, Iterable[Card]]) -> CardTensor:
        """The tensor with these cards in these planes."""
        depth = len(planes)
        cells = bytearray(len(SUITS) * RANK_COUNT * depth)
        for place, cards in enumerate(planes.values()):
            for card in cards:
                cells[(card.suit * RANK_COUNT + card.rank) * depth + place] = 1
        return cls(tuple(planes), bytes(cells))

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(SUITS), RANK_COUNT, len(self.planes)

    def cards(self, plane: str) -> tuple[Card, ...]:
        """The cards of a plane, by suit and then by rank."""
        cells = self._plane(plane)
        return tuple(card for card in DECK if cells[card.suit * RANK_COUNT + card.rank])

    def count(self, plane: str) -> int:
        """Number of cards in a plane."""
        return self._plane(plane).count(1)

    def _plane(self, plane: str) -> bytes:
        return self.cells[self.planes.index(plane) :: len(self.planes)]
