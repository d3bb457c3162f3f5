"""Episodes of the high card duel as traces."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_core.records import Step, Trace
from tunix_ungar.engines import BuiltinEngine, UngarEngine

PROMPT = (
    "You are playing High Card Duel. You have one hidden card. "
    "The only action is reveal. Choose your action."
)


@frozen
class HighCardDuelConfig:
    """Settings of the high card duel.

    Args:
        engine: ``builtin`` deals here, from a keyed hash; ``ungar`` has the package of that name
            deal, which must be installed.
    """

    engine: Literal["builtin", "ungar"] = "builtin"


class HighCardDuel:
    """Plays the high card duel and writes down what the first player saw and did.

    Args:
        config: Which engine deals.

    Raises:
        UsageError: The engine is not installed.
    """

    def __init__(self, config: HighCardDuelConfig | None = None) -> None:
        chosen = config or HighCardDuelConfig()
        self._engine = UngarEngine() if chosen.engine == "ungar" else BuiltinEngine()

    @property
    def version(self) -> str:
        """Version of the engine."""
        return self._engine.version

    def episode(self, seed: int, index: int) -> Trace:
        """Play one episode.

        Args:
            seed: Any integer.
            index: Number of the episode, from 0.

        Raises:
            UsageError: ``index`` is negative.
        """
        if index < 0:
            raise UsageError(f"index {index} must be 0 or more")
        played = self._engine.play(seed, index)
        shown = (
            ("legal_moves", f"Legal moves: [{', '.join(played.legal_moves)}]"),
            ("observation", f"My hand: {played.my_card}"),
            ("unseen", f"Unseen cards: {played.unseen}"),
            ("decision", f"Action chosen: {played.action}"),
        )
        return Trace(
            prompt=PROMPT,
            final_answer=played.action,
            steps=tuple(Step(i, kind, content) for i, (kind, content) in enumerate(shown)),
            meta={
                "source": "ungar",
                "game": "high_card_duel",
                "episode_index": index,
                "my_card": played.my_card,
                "opponent_card": played.opponent_card,
                "result": _result(played.reward),
            },
        )


def _result(reward: float) -> str:
    if reward == 0:
        return "tie"
    return "win" if reward > 0 else "loss"
