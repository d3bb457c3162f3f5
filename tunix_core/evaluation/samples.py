"""Several samples of an item: what they come to together, and how many completions were cut off."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from tunix_core.evaluators.common import TRUNCATED
from tunix_core.evaluators.statistics import estimate
from tunix_core.records import Completion, Estimate, Score, Scorecard

# In the details of a judgement: the value of every sample, and that of the commonest answer.
SAMPLES = "samples"
MAJORITY = "majority"


def with_samples(
    card: Scorecard, scores: Sequence[Score], completions: Sequence[Completion]
) -> Scorecard:
    """A scorecard with what an evaluator does not see, because it sees one completion at a time.

    Metrics: ``truncated`` is the share of completions that were cut off. With n samples of every
    item, ``mean@n`` is the mean over items of the mean over their samples; where every value is 0
    or 1, ``pass@k`` the chance that one of k samples is right; where the evaluator can tell which
    answers are the same, ``majority@n`` the share of items whose commonest answer is right. Their
    intervals are of the items, since samples of one item are not independent.

    Args:
        card: What the evaluator says of the items.
        scores: The judgement of every item.
        completions: What was judged.
    """
    cut = sum(completion.stop == "length" for completion in completions)
    estimates = dict(_estimates(scores, Counter(c.item_id for c in completions)))
    metrics: Mapping[str, float] = {
        **card.metrics,
        **{name: held.mean for name, held in estimates.items() if held.mean is not None},
        TRUNCATED: cut / max(len(completions), 1),
    }
    return evolve(card, metrics=metrics, estimates={**card.estimates, **estimates})


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that one of ``k`` samples is right, unbiased, where ``right`` of ``n`` were.

    One less the share of the choices of ``k`` samples that hold no right one (Chen et al., 2021,
    Evaluating Large Language Models Trained on Code).

    Raises:
        ValueError: Not 1 <= k <= n and 0 <= right <= n.
    """
    if not 1 <= k <= n or not 0 <= right <= n:
        raise ValueError(f"pass@{k} of {n} samples, {right} of them right")
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def _estimates(scores: Sequence[Score], said: Mapping[str, int]) -> Iterator[tuple[str, Estimate]]:
    """The figures of several samples; none where no item has more than one.

    Args:
        scores: The judgement of every item.
        said: How many samples of each item there are.
    """
    n = max(said.values(), default=0)
    if n < 2:
        return
    # An item that was not answered so often has the same value in every sample.
    items = [
        score.details[SAMPLES] if said.get(score.item_id, 0) > 1 else [score.value] * n
        for score in scores
    ]
    # A sample without a judgement says nothing.
    known = [[value for value in values if value is not None] for values in items]
    judged = [values for values in known if values]
    yield f"mean@{n}", estimate([math.fsum(values) / len(values) for values in judged])
    if not all(value in (0.0, 1.0) for values in judged for value in values):
        return
    for k in _powers_to(n):
        enough = [values for values in judged if len(values) >= k]
        chances = [pass_at_k(len(values), round(sum(values)), k) for values in enough]
        yield f"pass@{k}", estimate(chances)
    voted = [score.details.get(MAJORITY, score.value) for score in scores]
    if any(MAJORITY in score.details for score in scores):
        yield f"majority@{n}", estimate([value for value in voted if value is not None])


def _powers_to(n: int) -> Iterator[int]:
    """1, 2, 4, ... below ``n``, and ``n`` itself."""
    k = 1
    while k < n:
        yield k
        k *= 2
    yield n
