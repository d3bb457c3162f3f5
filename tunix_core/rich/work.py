"""A question, the work shown, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunix_core.evaluation.shown_steps import ShownStep
from tunix_core.rich.markup import Html, note, span, text

MOST_STEPS = 30

_MARKS = {"holds": ("✓", "good"), "fails": ("✗", "bad"), "unchecked": ("·", "soft")}


def work(question: str, steps: Sequence[Html], answers: Sequence[tuple[str, Any]]) -> Html:
    """One item.

    Args:
        question: What was asked.
        steps: The lines of the reasoning.
        answers: What each answer is, and the answer.
    """
    lines = "".join(f'<li class="text">{step}</li>' for step in steps[:MOST_STEPS])
    rest = len(steps) - MOST_STEPS
    more = note(f"and {rest:,} more lines") if rest > 0 else ""
    ends = "".join(f"<p>{span(name, 'soft')} {text(held)}</p>" for name, held in answers)
    return Html(
        f'<div class="item">{span(question, "text", "div")}<ol>{lines}</ol>{more}{ends}</div>'
    )


def judged(step: ShownStep) -> Html:
    """A step with what is known of it."""
    mark, kind = _MARKS[step.state]
    return Html(f"{span(mark, kind)} {text(step.text)} {span(f'— {step.reason}', 'soft')}")
