"""What evaluators share: the groups an item counts in, and the summary over items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunix_core.evaluators.statistics import estimate, grouped
from tunix_core.records import Item, Score, Scorecard

# The metric of what an evaluator could not read, which is shown beside its score.
UNREAD_SHARE = "unread_share"
# The metric of what was cut off before it ended, which is shown there too.
TRUNCATED = "truncated"
LABELS = ("category", "family", "difficulty")


def labels(item: Item) -> Mapping[str, str]:
    """The groups an item counts in."""
    found = {label: item.label(label) for label in LABELS}
    return {label: value for label, value in found.items() if value is not None}


def scorecard(scores: Sequence[Score], metrics: Mapping[str, float] | None = None) -> Scorecard:
    """Overall and grouped estimates."""
    values = [score.value for score in scores if score.value is not None]
    return Scorecard(estimate(values), len(scores), grouped(scores), metrics or {})
