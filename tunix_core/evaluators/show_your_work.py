"""Does the completion have the form that was asked for?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunix_core.evaluators.common import labels, scorecard
from tunix_core.records import Completion, Item, Score, Scorecard
from tunix_core.rendering import TAGS, extract_work


def fault(completion: Completion) -> str | None:
    """The first rule of the form that a completion breaks, or None."""
    for tag in TAGS:
        found = completion.text.count(tag)
        if found != 1:
            return f"{found} times {tag}"
    work = extract_work(completion.text)
    if work is None:
        return "blocks out of order"
    if not work.reasoning.strip():
        return "empty reasoning"
    if not work.answer:
        return "empty answer"
    if not work.well_formed:
        return "text outside the blocks"
    if completion.stop != "stop":
        return "cut off before it stopped"
    return None


class ShowYourWork:
    """1.0 for one closed reasoning block, then one closed answer block, nothing else, stopped."""

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion; the details name the rule it breaks."""
        reason = fault(completion)
        return Score(item.id, float(reason is None), {"fault": reason}, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The share of completions in form; metrics count each fault."""
        faults = Counter(str(s.details["fault"]) for s in scores if s.details.get("fault"))
        return scorecard(scores, {f"fault: {name}": float(faults[name]) for name in sorted(faults)})
