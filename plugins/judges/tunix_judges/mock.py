"""A stand-in for a judge: repeatable numbers that mean nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tunix_core.evaluators.common import labels, scorecard
from tunix_core.records import Completion, Item, Score, Scorecard

NOTE = "mock: not a grade"


class MockJudge:
    """0.0 up to, but without, 1.0 from a digest of the item's id and the completion."""

    def score(self, item: Item, completion: Completion) -> Score:
        """A number; the details say that it is no grade."""
        said = f"{item.id}\n{completion.text}".encode("utf-8", "surrogatepass")
        value = int.from_bytes(hashlib.sha256(said).digest()[:6], "big") / 2**48
        return Score(item.id, value, {"note": NOTE}, labels(item))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The mean of the numbers."""
        return scorecard(scores)
