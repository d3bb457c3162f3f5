"""How much of the shown work holds: by the generator that made the item, else by its equations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tunix_core.evaluators.arithmetic import Equation, equations, read
from tunix_core.evaluators.common import UNREAD_SHARE, labels, scorecard
from tunix_core.evaluators.generator_checks import GeneratorChecks, shown_reasoning
from tunix_core.protocols import Tools
from tunix_core.records import Completion, Item, Score, Scorecard, StepVerdict

__all__ = ["Equation", "StepValidity", "earning", "equations"]

# So many wrong steps are told, and so many characters of each.
MAX_TOLD = 20
MAX_CHARS = 200


def earning(judged: Iterable[Equation], prompt: str) -> list[Equation]:
    """The equations that count: none twice, none that says nothing, none that the prompt says.

    What is wrong counts in any case, and once.
    """
    said = {equation.key for equation in equations(prompt)}
    found = {equation.key: equation for equation in judged}
    return [
        equation
        for key, equation in found.items()
        if not equation.holds or not (equation.trivial or key in said)
    ]


class StepValidity:
    """The share of the steps shown in the reasoning that hold.

    Where the item's generator is known its ``check`` is the judge, and a step that is missing is
    a wrong one. Elsewhere equations are: one that cannot be read is neither right nor wrong, and is
    counted as unread; where the reference shows equations, reasoning that shows none that can be
    read gets 0.0; where neither does there is no score.

    Args:
        tools: Where the generators are; without them equations judge everything.
    """

    def __init__(self, tools: Tools | None = None) -> None:
        self._checks = GeneratorChecks(tools)

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion.

        The details say which judge it was, ``check`` or ``equations``, count its steps, those that
        are right and those that were not read, and tell the wrong ones.
        """
        reasoning = shown_reasoning(completion.text)
        verdicts = self._checks.steps(item, reasoning)
        if verdicts is None:
            value, details = _by_equations(item, reasoning)
        else:
            value, details = _by_check(verdicts)
        return Score(item.id, value, details, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The mean share over the items that show steps, or should.

        Metrics: ``shown`` is the share of items that show any that can be read, ``all_hold`` the
        share of scored items whose steps all hold, ``checked`` the share of items whose generator
        was the judge, ``unread_share`` that of all steps that could not be read.
        """
        judged = [score.value for score in scores if score.value is not None]
        shown = [int(score.details.get("steps", 0)) for score in scores]
        unread = sum(int(score.details.get("unread", 0)) for score in scores)
        checked = sum(score.details.get("judge") == "check" for score in scores)
        metrics = {
            "shown": sum(count > 0 for count in shown) / max(len(scores), 1),
            "all_hold": sum(value == 1.0 for value in judged) / max(len(judged), 1),
            "checked": checked / max(len(scores), 1),
            UNREAD_SHARE: unread / max(sum(shown) + unread, 1),
        }
        return scorecard(scores, metrics)


def _by_check(verdicts: Sequence[StepVerdict]) -> tuple[float | None, dict[str, Any]]:
    wrong = [f"{v.text.strip()}: {v.reason}".lstrip(": ") for v in verdicts if not v.ok]
    shown = sum(bool(verdict.text.strip()) for verdict in verdicts)
    details = _details("check", shown, len(verdicts) - len(wrong), 0, wrong)
    return (1 - len(wrong) / len(verdicts) if verdicts else None), details


def _by_equations(item: Item, reasoning: str) -> tuple[float | None, dict[str, Any]]:
    reading = read(reasoning)
    shown = earning(reading.judged, item.prompt)
    wrong = [equation.text for equation in shown if not equation.holds]
    details = _details("equations", len(shown), len(shown) - len(wrong), reading.unread, wrong)
    if shown:
        return 1 - len(wrong) / len(shown), details
    return (0.0 if _shows(item) else None), details


def _details(
    judge: str, steps: int, right: int, unread: int, wrong: Sequence[str]
) -> dict[str, Any]:
    told = [text[:MAX_CHARS] for text in wrong[:MAX_TOLD]]
    return {"judge": judge, "steps": steps, "right": right, "unread": unread, "wrong": told}


def _shows(item: Item) -> bool:
    """Whether the reference shows an equation that counts."""
    work = "\n".join(step.content for step in item.trace.steps)
    return bool(earning(read(work).judged, item.prompt))
