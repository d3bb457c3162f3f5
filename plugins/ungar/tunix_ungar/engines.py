"""Two engines for the high card duel: our own, and the ungar package where it is installed."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_ungar.cards import DECK_SIZE, RANKS
from tunix_ungar.duel import deal

_RANK_NAMES = "TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN JACK QUEEN KING ACE"
_RANKS = dict(zip(_RANK_NAMES.split(), RANKS, strict=True))
_SUITS = {"SPADES": "S", "HEARTS": "H", "DIAMONDS": "D", "CLUBS": "C"}


@frozen
class Episode:
    """What the first player saw, did and got.

    Args:
        my_card: The first player's card, such as ``TS``.
        opponent_card: The other one.
        legal_moves: What could be done.
        unseen: Number of cards that the player had not seen.
        action: What was done.
        reward: Above 0 when it won, below when it lost.
    """

    my_card: str
    opponent_card: str
    legal_moves: tuple[str, ...]
    unseen: int
    action: str
    reward: float


class BuiltinEngine:
    """Deals from a keyed hash of seed and index."""

    @property
    def version(self) -> str:
        return metadata.version("tunix-ungar")

    def play(self, seed: int, index: int) -> Episode:
        """Play one episode; both players take the first legal move."""
        start = state = deal(seed, index)
        while state.player is not None:
            state = state.play(state.legal_moves()[0])
        seen = start.observe(0)
        return Episode(
            my_card=str(seen.cards("my_hand")[0]),
            opponent_card=str(start.hands[1]),
            legal_moves=start.legal_moves(),
            unseen=seen.count("unseen"),
            action=start.legal_moves()[0],
            reward=state.rewards()[0],
        )


class UngarEngine:
    """Deals with the ungar package, whose seed of an episode is ``seed + index``.

    So its episodes are those that others know by their seeds, and neighbouring seeds share
    nearly all of them.

    Raises:
        UsageError: The package is not installed, or is not the one that is meant.
    """

    def __init__(self) -> None:
        try:
            self._package: Any = import_module("ungar")
            self._spec: Any = import_module("ungar.games.high_card_duel").make_high_card_duel_spec()
        except ImportError as error:
            raise UsageError(
                f"the package ungar is not installed: {error}",
                "install it from its repository, or leave engine at builtin",
            ) from error
        except AttributeError as error:
            raise _unlike(error) from error

    @property
    def version(self) -> str:
        return str(getattr(self._package, "__version__", "unknown"))

    def play(self, seed: int, index: int) -> Episode:
        """Play one episode; both players take the first legal move."""
        try:
            start = state = self._spec.initial_state(seed=seed + index)
            while not state.is_terminal():
                state = state.apply_move(state.legal_moves()[0])
            legal = tuple(str(move.name) for move in start.legal_moves())
            mine, other = (_card(card) for card in start.hands)
            reward = float(state.returns()[0])
        except (AttributeError, TypeError, ValueError) as error:
            raise _unlike(error) from error
        return Episode(mine, other, legal, DECK_SIZE - 1, legal[0], reward)


def _card(card: Any) -> str:
    """Rank and suit as two letters; ``??`` for a card that has none."""
    rank, suit = _RANKS.get(card.rank.name), _SUITS.get(card.suit.name)
    return "??" if rank is None or suit is None else rank + suit


def _unlike(error: Exception) -> UsageError:
    return UsageError(
        f"the installed package ungar cannot be used: {error}", "leave engine at builtin"
    )
