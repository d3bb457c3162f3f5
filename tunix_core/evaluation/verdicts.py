"""What an evaluation comes to: pass, fail, or too little to say either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from tunix_core.evaluators import USUAL_JUDGE_FULL
from tunix_core.records import Score

RunVerdict = Literal["pass", "fail", "uncertain"]

PASS_SHARE = 0.7


def decide(evaluator: str, score: float | None, scores: Sequence[Score]) -> RunVerdict:
    """The verdict over a whole dataset.

    Args:
        evaluator: Full name of the evaluator.
        score: Its overall score, 0.0 to 1.0, or None.
        scores: Its judgement of every item.
    """
    if score is None:
        return "uncertain"
    if evaluator == USUAL_JUDGE_FULL:
        # There is a right answer to every item, so that anything short of all is a failure.
        return "pass" if score == 1.0 else "fail"
    said = Counter(str(s.details["verdict"]) for s in scores if "verdict" in s.details)
    if said:
        # A judge that gives a verdict on every item is taken at its word, not at its number.
        return _majority(said)
    return "pass" if score >= PASS_SHARE else "fail"


def _majority(said: Counter[str]) -> RunVerdict:
    if said["pass"] == said["fail"]:
        return "uncertain"
    return "pass" if said["pass"] > said["fail"] else "fail"
