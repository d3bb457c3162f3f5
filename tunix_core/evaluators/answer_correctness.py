"""Is the answer right?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from attrs import evolve

from tunix_core.evaluators.answer_spec import AnswerSpec, answer_spec
from tunix_core.evaluators.answers import match_spec
from tunix_core.evaluators.common import labels, scorecard
from tunix_core.evaluators.extraction import extract, extract_answer
from tunix_core.evaluators.voting import commonest
from tunix_core.records import Completion, Item, Score, Scorecard


def _is_right(answer: str, reference: str, spec: AnswerSpec) -> bool:
    if match_spec(answer, reference, spec):
        return True
    # References may be whole solutions: the answer that they give is what is right.
    inner = extract_answer(reference) if "\n" in reference.strip() else None
    return inner is not None and match_spec(answer, inner, spec)


def _agreement(spec: AnswerSpec) -> Callable[[str, str], bool]:
    """Tells whether two answers to one item are the same."""
    # An alternative is right, but not the same as the reference where both are given.
    alone = evolve(spec, alternatives=()) if spec.alternatives else spec
    return lambda one, other: match_spec(one, other, alone)


class AnswerCorrectness:
    """1.0 when the answer that a completion gives means what the reference means, else 0.0.

    The form in which the answer is given does not count here, as in ``flexible-extract`` of
    lm-evaluation-harness; the metric ``strict_match`` counts it.
    """

    def score(self, item: Item, completion: Completion) -> Score:
        """Judge one completion; the details hold what was extracted, and where it stood."""
        spec = answer_spec(item.trace.meta)
        found = extract(completion.text, cut=completion.stop == "length", agree=_agreement(spec))
        right = found is not None and _is_right(found.text, item.answer, spec)
        details = {
            "answer": None if found is None else found.text,
            "reference": item.answer,
            "form": None if found is None else found.form,
            "strict": found is not None and found.strict and right,
        }
        return Score(item.id, float(right), details, labels(item))

    def majority(self, item: Item, samples: Sequence[Score]) -> float:
        """1.0 when the answer that most samples of an item give is right, else 0.0."""
        answers = [sample.details["answer"] for sample in samples]
        place = commonest(answers, _agreement(answer_spec(item.trace.meta)))
        return 0.0 if place is None else samples[place].value or 0.0

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The share of right answers, beside what always giving the commonest answer would get.

        Metrics: ``flexible_extract`` is the share of right answers in whatever form, which is the
        score; ``strict_match`` of those that stand where the templates put them; ``extracted``
        the share of completions that hold an answer; ``family_mean`` the mean over families;
        ``constant_answer_baseline`` the mean over families of the share of the commonest
        reference answer.
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
        strict = sum(score.details.get("strict") is True for score in scores)
        n = max(len(scores), 1)
        metrics = {
            "flexible_extract": sum(map(sum, right.values())) / n,
            "strict_match": strict / n,
            "extracted": extracted / n,
            "family_mean": sum(means) / max(len(means), 1),
            "constant_answer_baseline": sum(shares) / max(len(shares), 1),
        }
        return scorecard(scores, metrics)
