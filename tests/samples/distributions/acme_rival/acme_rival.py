"""Offers an evaluator whose bare name the good plugin uses too, and whose code is missing."""

from __future__ import annotations

from tunix_core import hookimpl
from tunix_core.contributions import EvaluatorContribution


@hookimpl
def tunix_evaluators() -> list[EvaluatorContribution]:
    return [
        EvaluatorContribution(
            name="brevity", summary="Also short", factory="acme_rival_gone:Brief"
        ),
        EvaluatorContribution(name="soul-of-wit", summary="Short", factory="acme_rival_gone:Wit"),
    ]
