"""Offers a command that the good plugin offers too; it comes second, so it gets nothing."""

from __future__ import annotations

from tunix_core import hookimpl
from tunix_core.contributions import CommandContribution, EvaluatorContribution


@hookimpl
def tunix_evaluators() -> list[EvaluatorContribution]:
    return [EvaluatorContribution(name="twin", summary="Never to be had", factory="nowhere:X")]


@hookimpl
def tunix_commands() -> list[CommandContribution]:
    return [CommandContribution(name="greet", summary="Greet", factory="nowhere:greet")]
