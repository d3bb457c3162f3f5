"""What an evaluator may offer besides scores, such as one that asks a model somewhere."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from attrs import frozen

from tunix_core.records import Completion, Item, Score


@runtime_checkable
class RemoteEvaluator(Protocol):
    """An evaluator that depends on more than its version, and waits more than it works."""

    @property
    def fingerprint(self) -> str:
        """Digest of all settings and files that its scores depend on; may be empty."""
        ...

    @property
    def concurrency(self) -> int:
        """In how many threads it may be called at the same time."""
        ...


@frozen
class PairRequest:
    """Two answers to be compared.

    Args:
        item: What was asked.
        first: The answer that is shown first.
        second: The other.
    """

    item: Item
    first: Completion
    second: Completion


@runtime_checkable
class PairwiseJudge(Protocol):
    """An evaluator that can also say which of two answers is better."""

    def prefer(self, request: PairRequest) -> Score:
        """1.0 where the first is better, 0.0 where the second is, 0.5 where neither is.

        None says that there is no judgement, and the details why.
        """
        ...
