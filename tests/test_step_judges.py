"""Steps are judged by the generator that made the item, the same on every screen and in scores."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.evaluation.shown_steps import ShownSteps
from tunix_core.evaluators.generator_checks import shown_reasoning
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.protocols import Evaluator
from tunix_core.records import Completion, Item, Score
from tunix_core.rendering import render
from tunix_generators import plugin
from tunix_generators.mix import DevReasoning

GENERATOR = DevReasoning()
PLUGINS = Plugins.of(plugin)
STEPS = ShownSteps(PLUGINS)


@pytest.fixture(scope="module")
def judge() -> Evaluator:
    return PluginTools(PLUGINS).evaluator("step_validity")


def item_of(index: int) -> Item:
    return GENERATOR.item("test", 1, index)


def work_of(item: Item) -> str:
    return "\n".join(step.content for step in item.trace.steps)


def said(judge: Evaluator, item: Item, text: str) -> Score:
    return judge.score(item, Completion(item.id, text))


@given(st.integers(0, 10**5), st.sampled_from(["show_your_work", "gemma_chat"]))
def test_the_reference_is_right_in_every_template(index: int, template: str) -> None:
    judge = PluginTools(PLUGINS).evaluator("step_validity")
    item = item_of(index)
    score = said(judge, item, render(item.trace, template).completion)
    assert (score.value, score.details["judge"]) == (1.0, "check")
    assert score.details["right"] == len(item.trace.steps)


@given(st.integers(0, 10**5), st.text(max_size=4), st.booleans())
def test_the_evaluator_and_the_pages_agree_on_a_corruption(
    index: int, key: str, marked: bool
) -> None:
    judge = PluginTools(PLUGINS).evaluator("step_validity")
    item = item_of(index)
    spoilt = GENERATOR.corrupt(item, key).text
    text = f"<reasoning>{spoilt}</reasoning>\n<answer>1</answer>" if marked else spoilt
    score, shown = said(judge, item, text), STEPS.of_completion(item, text)
    assert score.value is not None
    assert score.value < 1.0
    assert len(score.details["wrong"]) == sum(step.state == "fails" for step in shown)
    assert score.details["right"] == sum(step.state == "holds" for step in shown)


@pytest.mark.parametrize(
    "text", ["", ".", "<reasoning></reasoning>", "1 = 1", "<answer>4</answer>"]
)
def test_work_that_is_not_shown_scores_nothing(judge: Evaluator, text: str) -> None:
    score = said(judge, item_of(4), text)
    assert (score.value, score.details["right"]) == (0.0, 0)
    assert score.details["wrong"]


@pytest.mark.parametrize(
    "meta",
    [None, {}, {"source": "elsewhere"}, {"source": "dev-reasoning-v1"}, {"source": "default"}],
)
def test_without_a_generator_that_knows_the_item_equations_are_judged(
    judge: Evaluator, meta: dict[str, Any] | None
) -> None:
    item = item_of(4)
    item = evolve(item, trace=evolve(item.trace, meta=meta))
    score = said(judge, item, "<reasoning>2 + 3 = 5</reasoning>")
    assert (score.value, score.details["judge"]) == (1.0, "equations")


def test_without_tools_equations_are_judged() -> None:
    from tunix_core.evaluators.step_validity import StepValidity

    item = item_of(4)
    score = said(StepValidity(), item, "<reasoning>2 + 3 = 5</reasoning>")
    assert (score.value, score.details["judge"]) == (1.0, "equations")


def test_the_scorecard_says_how_many_a_generator_judged(judge: Evaluator) -> None:
    known, foreign = item_of(4), evolve(item_of(5), trace=evolve(item_of(5).trace, meta=None))
    scores = [said(judge, item, "2 + 3 = 5") for item in (known, foreign)]
    assert judge.aggregate(scores).metrics["checked"] == 0.5


def test_a_step_that_a_trace_lacks_is_shown() -> None:
    item = item_of(4)
    kept = evolve(item, trace=evolve(item.trace, steps=item.trace.steps[:-1]))
    whole, shown = STEPS.of_trace(item), STEPS.of_trace(kept)
    assert [(step.text, step.kind) for step in whole] == [
        (step.content, step.type) for step in item.trace.steps
    ]
    assert (shown[-1].state, shown[-1].reason) == ("fails", "a step is missing")
    assert len(shown) == len(whole)


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("<reasoning>a\nb</reasoning>\n<answer>c</answer>", "a\nb"),
        ("<reasoning>a\nb", "a\nb"),
        ("well <reasoning>a</reasoning> b <reasoning>c</reasoning>", "a"),
        ("a\nb\n<answer>c</answer>", "a\nb"),
        ("\nReasoning:\n1. a\n2. b\nAnswer: c<end_of_turn>", "1. a\n2. b"),
        ("**Reasoning**\na\nSo the final answer is 4", "a"),
        ("a\n#### 4", "a"),
        ("Answer: 4\na", ""),
        ("answers are good", "answers are good"),
        ("", ""),
    ],
)
def test_the_reasoning_stands_in_its_block_or_before_the_answer(text: str, reasoning: str) -> None:
    assert shown_reasoning(text) == reasoning
