"""The name of its hook has a letter too many."""

from __future__ import annotations

from tunix_core import hookimpl
from tunix_core.contributions import EvaluatorContribution


@hookimpl
def tunix_evaluatorss() -> list[EvaluatorContribution]:
    return []
