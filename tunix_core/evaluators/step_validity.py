"""Do the equations that are shown hold?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunix_core.evaluators.arithmetic import Equation, equations, read
from tunix_core.evaluators.common import UNREAD_SHARE, labels, scorecard
from tunix_core.records import Completion, Item, Score, Scorecard
from tunix_core.rendering import extract_work

__all__ = ["Equation", "StepValidity", "earning", "equations"]

# So many wrong equations are told, and so many characters of each.
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
    """The share of the equations shown in the reasoning that hold.

    An equation that cannot be read is neither right nor wrong, and is counted as unread. Where
    the reference shows equations, reasoning that shows none that can be read gets 0.0; where
    neither does there is no score.
    """

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion; the details count its equations and tell the wrong ones."""
        work = extract_work(completion.text)
        reading = read(completion.text if work is None else work.reasoning)
        shown = earning(reading.judged, item.prompt)
        wrong = [equation.text[:MAX_CHARS] for equation in shown if not equation.holds]
        if shown:
            value: float | None = 1 - len(wrong) / len(shown)
        else:
            value = 0.0 if _shows(item) else None
        details = {
            "equations": len(shown),
            "right": len(shown) - len(wrong),
            "unread": reading.unread,
            "wrong": wrong[:MAX_TOLD],
        }
        return Score(item.id, value, details, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The mean share over the items that show equations, or should.

        Metrics: ``shown`` is the share of items that show any that can be read, ``all_hold`` the
        share of scored items whose equations all hold, ``unread_share`` that of all equations
        that could not be read.
        """
        judged = [score.value for score in scores if score.value is not None]
        shown = [int(score.details.get("equations", 0)) for score in scores]
        unread = sum(int(score.details.get("unread", 0)) for score in scores)
        metrics = {
            "shown": sum(count > 0 for count in shown) / max(len(scores), 1),
            "all_hold": sum(value == 1.0 for value in judged) / max(len(judged), 1),
            UNREAD_SHARE: unread / max(sum(shown) + unread, 1),
        }
        return scorecard(scores, metrics)


def _shows(item: Item) -> bool:
    """Whether the reference shows an equation that counts."""
    work = "\n".join(step.content for step in item.trace.steps)
    return bool(earning(read(work).judged, item.prompt))
