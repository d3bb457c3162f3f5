"""Offers the card games to tunix-rt; imports no engine."""

from __future__ import annotations

from tunix_core.contributions import GameContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_games() -> list[GameContribution]:
    return [
        GameContribution(
            name="high-card-duel",
            summary="Two players, one hidden card each; the higher rank wins",
            factory="tunix_ungar.game:HighCardDuel",
            config="tunix_ungar.game:HighCardDuelConfig",
        )
    ]
