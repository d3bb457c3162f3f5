"""What every comparator must do; subclass :class:`ComparatorConformance` in your tests."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from tunix_core.codec import unstructure
from tunix_core.errors import NotComparableError
from tunix_core.protocols import Comparator, CompareRequest, Tolerance
from tunix_core.records import Verdict

ITEMS = 200


class ComparatorConformance:
    """The contract of a comparator: paired by item, one direction, chance accounted for.

    Example::

        class TestMine(ComparatorConformance):
            direction = "lower"

            def make(self):
                return MyComparator()
    """

    direction: Literal["higher", "lower"]

    def make(self) -> Comparator:
        """A comparator with its default settings."""
        raise NotImplementedError

    def compare(self, shift: float, tolerance: float = 0.0, share: float = 1.0) -> Verdict:
        """Compare :func:`values` with the same, the first ``share`` of them better by ``shift``."""
        baseline = values()
        better = shift if self.direction == "higher" else -shift
        moved = int(share * len(baseline))
        candidate = {
            item: value + (better if number < moved else 0.0)
            for number, (item, value) in enumerate(baseline.items())
        }
        return self.make().compare(CompareRequest(baseline, candidate, Tolerance(tolerance)))

    def test_is_a_comparator(self) -> None:
        assert isinstance(self.make(), Comparator)

    def test_states_its_direction(self) -> None:
        assert self.compare(0.0).direction == self.direction

    def test_no_difference_is_no_regression(self) -> None:
        verdict = self.compare(0.0)
        assert not verdict.regressed
        assert verdict.delta == 0
        assert verdict.regressions == ()

    def test_worse_beyond_chance_is_a_regression(self) -> None:
        verdict = self.compare(-0.3, share=0.5)
        assert verdict.regressed
        assert verdict.p_value is not None
        assert verdict.p_value < 0.05
        assert verdict.low <= verdict.delta <= verdict.high
        assert abs(verdict.delta) == pytest.approx(0.15)
        assert len(verdict.regressions) == ITEMS // 2
        assert {"item_id", "baseline", "candidate"} <= verdict.regressions[0].keys()

    def test_better_is_no_regression(self) -> None:
        verdict = self.compare(0.3)
        assert not verdict.regressed
        assert verdict.regressions == ()

    def test_worse_within_chance_is_no_regression(self) -> None:
        assert not self.compare(-0.3, share=1 / ITEMS).regressed

    def test_worse_within_the_tolerance_is_no_regression(self) -> None:
        assert not self.compare(-0.3, tolerance=0.31).regressed
        assert self.compare(-0.3, tolerance=0.2).regressed

    def test_worse_by_the_tolerance_and_a_little_is_within_chance(self) -> None:
        assert not self.compare(-0.3, tolerance=0.14, share=0.5).regressed

    def test_a_larger_tolerance_never_makes_it_worse(self) -> None:
        verdicts = [self.compare(-0.3, t / 50, share=0.5).regressed for t in range(16)]
        assert verdicts == sorted(verdicts, reverse=True)

    @pytest.mark.parametrize("pairs", [1, 2])
    def test_hardly_any_pairs_tell_nothing(self, pairs: int) -> None:
        good, bad = (dict.fromkeys([f"{n}" for n in range(pairs)], value) for value in (0.9, 0.2))
        for before, after in ((good, bad), (bad, good), (good, good)):
            verdict = self.make().compare(CompareRequest(before, after))
            assert verdict.outcome == "inconclusive"
            assert verdict.low < verdict.delta < verdict.high

    def test_the_verdict_and_its_outcome_agree(self) -> None:
        for shift, share in ((-0.3, 0.5), (0.3, 0.5), (0.0, 0.0), (-0.3, 1 / ITEMS)):
            verdict = self.compare(shift, share=share)
            assert verdict.regressed == (verdict.outcome == "fail")
        assert self.compare(-0.3, share=1 / ITEMS).outcome == "inconclusive"
        assert self.compare(0.3).outcome == "pass"

    def test_a_zero_or_one_score_that_collapses_is_a_regression(self) -> None:
        good, bad = dict.fromkeys(values(), 1.0), dict.fromkeys(values(), 0.0)
        if self.direction == "lower":
            good, bad = bad, good
        assert self.make().compare(CompareRequest(good, bad)).regressed
        assert not self.make().compare(CompareRequest(bad, good)).regressed

    @pytest.mark.parametrize("lacking", ["baseline", "candidate"])
    def test_missing_items_are_not_comparable_unless_allowed(self, lacking: str) -> None:
        before, after = values(), values()
        del (before if lacking == "baseline" else after)["item-000"]
        with pytest.raises(NotComparableError):
            self.make().compare(CompareRequest(before, after))
        verdict = self.make().compare(CompareRequest(before, after, allow_missing=True))
        assert verdict.n_paired == ITEMS
        assert verdict.missing == (("item-000",) if lacking == "candidate" else ())
        assert verdict.new == (("item-000",) if lacking == "baseline" else ())

    def test_missing_items_never_help(self) -> None:
        worst = 0.0 if self.direction == "higher" else 1.0
        all_, few = values(), dict(list(values().items())[: ITEMS // 20])
        assert self.make().compare(CompareRequest(all_, few, allow_missing=True)).regressed
        filled = dict.fromkeys(all_, worst) | few
        hidden = self.make().compare(CompareRequest(all_, few, allow_missing=True))
        assert hidden.delta == self.make().compare(CompareRequest(all_, filled)).delta

    def test_without_pairs_nothing_can_be_compared(self) -> None:
        with pytest.raises(NotComparableError):
            self.make().compare(CompareRequest({"a": 1.0}, {"b": 1.0}))

    def test_the_order_of_items_makes_no_difference(self) -> None:
        baseline = values()
        candidate = {item: value * 0.9 for item, value in baseline.items()}
        turned = dict(reversed(candidate.items()))
        first = self.make().compare(CompareRequest(baseline, candidate))
        assert self.make().compare(CompareRequest(baseline, turned)) == first

    def test_states_what_so_many_pairs_can_detect(self) -> None:
        detectable = self.compare(-0.3, share=0.5).smallest_detectable
        assert detectable is not None
        assert 0 < detectable < 0.3

    def test_a_verdict_is_json(self) -> None:
        json.dumps(unstructure(self.compare(-0.3)))


def values() -> dict[str, float]:
    """Values of :data:`ITEMS` items that differ."""
    return {f"item-{number:03}": (number * 37 % 101) / 101 for number in range(ITEMS)}
