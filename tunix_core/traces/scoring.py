"""The baseline score of a trace: how many steps it shows, and how long they are."""

from __future__ import annotations

from attrs import frozen

from tunix_core.records import StoredTrace

CRITERIA = "baseline"


@frozen
class TraceScore:
    """The baseline score of a trace with its parts, rounded to two decimals.

    Args:
        trace_id: The trace.
        score: 0 to 100; the sum of the two parts.
        step_count: Number of steps.
        avg_step_length: Characters per step.
        total_chars: Characters of all steps.
        step_score: Up to 50 points, reached with 10 steps.
        length_score: Up to 50 points, reached with 500 characters per step.
        scored_at: When it was recorded, UTC ISO-8601; None when it was not.
    """

    trace_id: str
    score: float
    step_count: int
    avg_step_length: float
    total_chars: int
    step_score: float
    length_score: float
    scored_at: str | None = None


@frozen
class ScoredTrace:
    """A stored trace with its baseline score."""

    trace: StoredTrace
    score: TraceScore


@frozen
class Comparison:
    """Two traces side by side."""

    base: ScoredTrace
    other: ScoredTrace


def baseline_score(stored: StoredTrace) -> TraceScore:
    """Up to 50 points each for the number and the length of the steps."""
    lengths = [len(step.content) for step in stored.trace.steps]
    average = sum(lengths) / len(lengths)
    step_score = min(len(lengths) / 10, 1) * 50
    length_score = min(average / 500, 1) * 50
    return TraceScore(
        trace_id=stored.id,
        score=round(step_score + length_score, 2),
        step_count=len(lengths),
        avg_step_length=round(average, 2),
        total_chars=sum(lengths),
        step_score=round(step_score, 2),
        length_score=round(length_score, 2),
    )
