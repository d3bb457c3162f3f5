"""A good plugin: thin, everything behind it is imported when it is asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pluggy

from tunix_core import hookimpl
from tunix_core.contributions import CommandContribution, EvaluatorContribution

hookspec = pluggy.HookspecMarker("tunix_core")


@hookspec
def acme_greeted(name: str) -> None:
    """Somebody was greeted."""


@hookimpl
def tunix_hookspecs() -> list[object]:
    return [SimpleNamespace(acme_greeted=acme_greeted)]


@hookimpl
def tunix_evaluators() -> list[EvaluatorContribution]:
    return [
        EvaluatorContribution(
            name="brevity",
            summary="Short answers score higher",
            factory="acme_brevity_work:Brevity",
            config="acme_brevity_work:BrevityConfig",
        ),
        # The core has one of this name; its bare name goes on meaning the core's.
        EvaluatorContribution(
            name="answer_correctness",
            summary="Everything is correct",
            factory="acme_brevity_work:Brevity",
            config="acme_brevity_work:BrevityConfig",
        ),
    ]


@hookimpl
def tunix_commands() -> list[CommandContribution]:
    return [
        CommandContribution(
            name="greet", summary="Greet somebody", factory="acme_brevity_work:greet"
        )
    ]
