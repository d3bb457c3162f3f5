"""Is the answer right, as math-verify sees it?"""

from __future__ import annotations

from collections.abc import Sequence

from tunix_core.evaluators.common import labels, scorecard
from tunix_core.evaluators.extraction import extract
from tunix_core.records import Completion, Item, Score, Scorecard
from tunix_math_verify.comparer import Comparer
from tunix_math_verify.config import MathVerifyConfig

# Longer ones are no formulas.
MAX_CHARS = 2_000


class MathVerify:
    """1.0 when math-verify calls the extracted answer equal to the reference, else 0.0.

    The answer is found as ``answer_correctness`` finds it; only the comparison is another's, and
    more lenient. Types of answers are not heeded.
    """

    def __init__(self, config: MathVerifyConfig | None = None) -> None:
        config = config or MathVerifyConfig()
        self._comparer = Comparer(config.time_limit_s, config.memory_mib)

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion; the details say when the comparison came to no end."""
        found = extract(completion.text, cut=completion.stop == "length")
        same: bool | None = False
        if found is not None and found.text and len(found.text) <= MAX_CHARS:
            same = self._comparer.same(item.answer, found.text)
        details = {
            "answer": None if found is None else found.text,
            "reference": item.answer,
            "unfinished": same is None,
        }
        return Score(item.id, float(bool(same)), details, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The share of right answers; ``unfinished`` counts comparisons that came to no end."""
        unfinished = sum(score.details.get("unfinished") is True for score in scores)
        return scorecard(scores, {"unfinished": float(unfinished)})
