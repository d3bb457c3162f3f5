"""The answer that most samples of an item give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from tunix_core.records import Item, Score


@runtime_checkable
class MajorityVoter(Protocol):
    """An evaluator that can tell which samples of an item give the same answer."""

    def majority(self, item: Item, samples: Sequence[Score]) -> float:
        """The value of the answer that most samples give; of several such, the earliest.

        Args:
            item: What was asked.
            samples: The judgements of its samples, in their order.
        """
        ...


def commonest(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> int | None:
    """The place of the first of those answers that are given most often.

    Args:
        answers: What was answered; None is no answer, and has no vote.
        same: Tells whether two answers mean the same.

    Returns:
        Of groups of one size that of the earliest; None when there is no answer.
    """
    groups: list[tuple[str, int, int]] = []
    for place, answer in enumerate(answers):
        if answer is None:
            continue
        for index, (first, at, votes) in enumerate(groups):
            if answer == first or same(answer, first):
                groups[index] = (first, at, votes + 1)
                break
        else:
            groups.append((answer, place, 1))
    # max takes the first of equals, and groups are in the order in which they began.
    return max(groups, key=lambda group: group[2])[1] if groups else None
