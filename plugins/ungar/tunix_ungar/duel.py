"""High card duel: each of two players gets one hidden card and reveals it; the higher rank wins."""

from __future__ import annotations

import hashlib

from attrs import evolve, frozen

from tunix_core.errors import UsageError
from tunix_ungar.cards import DECK, Card, CardTensor

PLAYERS = 2
REVEAL = "reveal"
_KEY = b"tunix-ungar high-card-duel 1"


@frozen
class Duel:
    """A state of the game; a move makes the next one.

    Args:
        hands: The card of each player.
        revealed: How many players have shown theirs; they do so in turn.
    """

    hands: tuple[Card, Card]
    revealed: int = 0

    @property
    def player(self) -> int | None:
        """Whose turn it is, or None when the game is over."""
        return self.revealed if self.revealed < PLAYERS else None

    def legal_moves(self) -> tuple[str, ...]:
        """What the player whose turn it is may do."""
        return () if self.player is None else (REVEAL,)

    def play(self, move: str) -> Duel:
        """The state after a move.

        Raises:
            UsageError: The move is not legal.
        """
        if move not in self.legal_moves():
            legal = ", ".join(self.legal_moves()) or "the game is over"
            raise UsageError(f"{move!r} is not a legal move", f"legal: {legal}")
        return evolve(self, revealed=self.revealed + 1)

    def observe(self, player: int) -> CardTensor:
        """What a player knows: every card of the deck lies in exactly one of three planes.

        ``my_hand`` is the own card while it is hidden, ``played`` the revealed ones, ``unseen``
        all others, the opponent's hidden card among them.
        """
        played = self.hands[: self.revealed]
        mine = [self.hands[player]] if player >= self.revealed else []
        seen = {*played, *mine}
        unseen = [card for card in DECK if card not in seen]
        return CardTensor.of({"my_hand": mine, "played": played, "unseen": unseen})

    def rewards(self) -> tuple[float, float]:
        """1 for the winner, -1 for the loser, 0 for both when the ranks are equal.

        Raises:
            UsageError: The game is not over.
        """
        if self.player is not None:
            raise UsageError("there is no reward before both players have revealed")
        mine, other = (card.rank for card in self.hands)
        won = float((mine > other) - (mine < other))
        return won, 0.0 - won


def deal(seed: int, index: int) -> Duel:
    """The first state of an episode, from a keyed hash: no two addresses share a stream.

    Args:
        seed: Any integer.
        index: Number of the episode.
    """
    address = f"{seed:x}:{index:x}".encode()
    number = int.from_bytes(hashlib.blake2b(address, key=_KEY, digest_size=64).digest(), "big")
    deck = list(DECK)
    hands = []
    for _ in range(PLAYERS):
        # 512 bits are so many that the remainder favours no card that anyone could notice.
        number, place = divmod(number, len(deck))
        hands.append(deck.pop(place))
    return Duel((hands[0], hands[1]))
