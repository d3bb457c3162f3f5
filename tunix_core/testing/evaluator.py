"""What every evaluator must do; subclass :class:`EvaluatorConformance` in your tests."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest

from tunix_core.codec import structure, unstructure
from tunix_core.protocols import Evaluator
from tunix_core.records import Completion, Item, Score, Scorecard, Step, Trace

Sample = tuple[Item, Completion]

# Whatever a model may write: an evaluator gives each a score, and never an error.
ODDITIES = (
    "",
    " \n\t ",
    "<reasoning>",
    "</answer><answer></reasoning><reasoning>",
    "<answer></answer>",
    "<reasoning></reasoning>\n<answer></answer>",
    "<reasoning>" * 500,
    "((((((((" * 500,
    "1/0 = 1/0",
    "9" * 5000 + " = " + "9" * 5000,
    "9 ** 9 ** 9 ** 9 = 1",
    "\x00\ufffe\u202e😀",
)


class EvaluatorConformance:
    """The contract of an evaluator: total, repeatable, bounded, and no credit for nothing.

    Example::

        class TestMine(EvaluatorConformance):
            def make(self):
                return MyEvaluator()

            def deserving(self):
                return [(item("What is 2 + 2?", "4"), completion("4"))]

            def undeserving(self):
                return [(item("What is 2 + 2?", "4"), completion("44"))]
    """

    def make(self) -> Evaluator:
        """An evaluator with its default settings."""
        raise NotImplementedError

    def deserving(self) -> Sequence[Sample]:
        """Answers that must get 1.0; none when no answer is sure to."""
        raise NotImplementedError

    def undeserving(self) -> Sequence[Sample]:
        """Answers that must get less than 1.0, such as those that merely contain the right one."""
        raise NotImplementedError

    def samples(self) -> list[Sample]:
        return [*self.deserving(), *self.undeserving()]

    def test_is_an_evaluator(self) -> None:
        assert isinstance(self.make(), Evaluator)

    def test_good_answers_get_full_credit(self) -> None:
        for asked, said in self.deserving():
            assert self.make().score(asked, said).value == 1.0, said.text

    def test_other_answers_do_not(self) -> None:
        for asked, said in self.undeserving():
            value = self.make().score(asked, said).value
            assert value is None or 0.0 <= value < 1.0, said.text

    def test_the_same_input_gets_the_same_score(self) -> None:
        used = self.make()
        first = [used.score(*sample) for sample in self.samples()]
        assert [used.score(*sample) for sample in self.samples()] == first
        backwards = [self.make().score(*sample) for sample in reversed(self.samples())]
        assert backwards[::-1] == first

    @pytest.mark.parametrize("text", ODDITIES)
    def test_any_text_gets_a_score(self, text: str) -> None:
        asked = self.samples()[0][0]
        for stop in ("stop", "length"):
            said = structure(Completion, {"item_id": asked.id, "text": text, "stop": stop})
            value = self.make().score(asked, said).value
            assert value is None or 0.0 <= value <= 1.0

    def test_a_score_names_its_item_and_is_json(self) -> None:
        for asked, said in self.samples():
            score = self.make().score(asked, said)
            assert score.item_id == asked.id
            text = json.dumps(unstructure(score), allow_nan=False)
            assert structure(Score, json.loads(text)) == score

    def test_the_scorecard_is_the_mean_of_the_scores(self) -> None:
        scores = [self.make().score(*sample) for sample in self.samples()]
        values = [score.value for score in scores if score.value is not None]
        card = self.make().aggregate(scores)
        assert card.n_items == len(scores)
        assert card.overall.n == len(values)
        assert card.overall.mean == pytest.approx(math.fsum(values) / len(values))
        ends = (card.overall.low, card.overall.mean, card.overall.high)
        assert [*ends] == sorted(end for end in ends if end is not None), "low, mean, high"
        text = json.dumps(unstructure(card), allow_nan=False)
        assert structure(Scorecard, json.loads(text)) == card

    def test_the_order_of_scores_makes_no_difference(self) -> None:
        scores = [self.make().score(*sample) for sample in self.samples()]
        assert self.make().aggregate(scores) == self.make().aggregate(scores[::-1])

    def test_nothing_to_judge_is_no_error(self) -> None:
        card = self.make().aggregate([])
        assert (card.overall.mean, card.overall.n, card.n_items) == (None, 0, 0)


def item(prompt: str, answer: str, **meta: object) -> Item:
    """An item for samples; ``meta`` may hold ``answer_type``, ``family``, ..."""
    return Item(
        f"item {prompt}", Trace(prompt, answer, (Step(0, "compute", "work"),), meta or None)
    )


def completion(answer: str, reasoning: str = "some work", prompt: str = "") -> Completion:
    """A well-formed completion for samples."""
    text = f"<reasoning>{reasoning}</reasoning>\n<answer>{answer}</answer>"
    return Completion(f"item {prompt}", text)
