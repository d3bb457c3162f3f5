"""The public interface of ungar's high card duel, and its way to deal from a seed."""

from __future__ import annotations

import random
from enum import Enum
from types import SimpleNamespace

Suit = Enum("Suit", "SPADES HEARTS DIAMONDS CLUBS")
Rank = Enum("Rank", "ACE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN JACK QUEEN KING JOKER")
REVEAL = SimpleNamespace(id=0, name="reveal")


class State:
    """Two hands, and how many of them are revealed."""

    def __init__(self, hands: tuple[SimpleNamespace, SimpleNamespace], revealed: int = 0) -> None:
        self.hands = hands
        self._revealed = revealed

    def is_terminal(self) -> bool:
        return self._revealed == 2

    def legal_moves(self) -> tuple[SimpleNamespace, ...]:
        return () if self.is_terminal() else (REVEAL,)

    def apply_move(self, move: SimpleNamespace) -> State:
        if move not in self.legal_moves():
            raise RuntimeError(f"illegal move {move}")
        return State(self.hands, self._revealed + 1)

    def returns(self) -> tuple[float, float]:
        # An ace is the highest of the cards that are dealt.
        mine, other = (14 if c.rank is Rank.ACE else c.rank.value for c in self.hands)
        won = float((mine > other) - (mine < other))
        return won, -won


class Spec:
    """Deals."""

    def initial_state(self, seed: int | None = None) -> State:
        deck = [
            SimpleNamespace(suit=suit, rank=rank)
            for suit in Suit
            for rank in Rank
            if rank is not Rank.JOKER
        ]
        random.Random(seed).shuffle(deck)
        return State((deck[0], deck[1]))


def make_high_card_duel_spec() -> Spec:
    return Spec()
