"""Is the answer right?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from tunix_core.evaluators.answers import answers_match, describe_type
from tunix_core.evaluators.common import labels, scorecard
from tunix_core.records import Completion, Item, Score, Scorecard
from tunix_core.rendering import extract_work

_ANSWER_LINE = re.compile(r"^Answer:[ \t]*(.+?)[ \t]*(?:<end_of_turn>)?[ \t]*$", re.MULTILINE)


def extract_answer(text: str) -> str | None:
    """The answer block of a completion, or the line after ``Answer:``; None without either."""
    work = extract_work(text)
    if work is not None:
        return work.answer
    lines = _ANSWER_LINE.findall(text)
    return lines[-1] if lines else None


class AnswerCorrectness:
    """1.0 when the extracted answer means what the reference means, else 0.0."""

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion; the details hold what was extracted."""
        answer = extract_answer(completion.text)
        right = answer is not None and answers_match(
            answer, item.answer, describe_type(item.trace.meta)
        )
        details = {"answer": answer, "reference": item.answer}
        return Score(item.id, float(right), details, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The share of right answers, beside what always giving the commonest answer would get.

        Metrics: ``extracted`` is the share of completions that hold an answer;
        ``family_mean`` the mean over families; ``constant_answer_baseline`` the mean over
        families of the share of the commonest reference answer.
        """
        answers: dict[str, Counter[str]] = defaultdict(Counter)
        right: dict[str, list[float]] = defaultdict(list)
        for score in scores:
            family = score.groups.get("family", "")
            answers[family][str(score.details.get("reference"))] += 1
            right[family].append(score.value or 0.0)
        shares = [counts.most_common(1)[0][1] / counts.total() for counts in answers.values()]
        means = [sum(values) / len(values) for values in right.values()]
        extracted = sum(score.details.get("answer") is not None for score in scores)
        metrics = {
            "extracted": extracted / max(len(scores), 1),
            "family_mean": sum(means) / max(len(means), 1),
            "constant_answer_baseline": sum(shares) / max(len(shares), 1),
        }
        return scorecard(scores, metrics)
