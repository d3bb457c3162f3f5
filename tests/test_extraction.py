"""The answer of a completion is found in any form, and only where there is one."""

from __future__ import annotations

import time

import pytest

from tunix_core.evaluators.answer_correctness import AnswerCorrectness
from tunix_core.evaluators.extraction import extract, extract_answer
from tunix_core.records import Completion
from tunix_core.rendering import extract_work
from tunix_core.testing.evaluator import item

WORK = "<reasoning>40 + 2 = 42</reasoning>\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{WORK}<answer>42</answer>",
        f"{WORK}one word <answer>42</answer> and more",
        "<ANSWER >42</ANSWER>",
        "<answer>42</answer> as I said, <answer> 42.0 </answer>",
        "<think>Answer: 41, or <answer>40</answer>?</think>\n<answer>42</answer>",
        "I was told to think. Answer: 41</think>Answer: 42",
        "So **Answer:** 41?\nno\n\n**Answer:** 42",
        "Answer: 42",
        "answer : 42",
        "**Answer:** 42",
        "**Answer: 42**",
        "### Final Answer\n\n42",
        "Final answer: $\\boxed{42}$",
        "Hence $\\boxed{42}$.",
        "Therefore, the answer is 42. I hope this helps.",
        "Six times seven. The final answer is **42**.",
        "work\n#### 42",
        "The answer is therefore 41 + 1.\n#### 42",
        f"{WORK}42",
        f"{WORK}<answer>42",
        "42<|im_end|>",
        "Answer: 42<end_of_turn>\n",
    ],
)
def test_an_answer_is_found_whatever_its_form(text: str) -> None:
    score = AnswerCorrectness().score(item("q", "42"), Completion("item q", text))
    assert score.value == 1.0, extract(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        WORK,
        f"{WORK}<answer>41</answer><answer>42</answer>",
        "<answer>42</answer>\n<answer>41</answer>",
        "<answer></answer><answer>42</answer>",
        "Answer: 41\nAnswer: 42",
        "\\boxed{41} or \\boxed{42}",
        "\\boxed{41}\nAnswer: 42",
        "The answer is not 42. The answer is 41.",
        "I can see 41\nand 42",
        "<reasoning>Answer: 42</reasoning>",
        "<think>\\boxed{42}</think>",
    ],
)
def test_no_answer_and_several_that_differ_are_none(text: str) -> None:
    assert extract_answer(text) is None or extract_answer(text) != "42"
    score = AnswerCorrectness().score(item("q", "42"), Completion("item q", text))
    assert score.value == 0.0


@pytest.mark.parametrize(
    ("text", "cut_off"),
    [
        ("<answer>4", None),
        ("Answer: 4", None),
        ("#### 4", None),
        ("4", None),
        ("<answer>4</answer> and so", "4"),
    ],
)
def test_what_was_cut_off_has_no_open_end(text: str, cut_off: str | None) -> None:
    found = extract(text, cut=True)
    assert (None if found is None else found.text) == cut_off
    assert extract_answer(text) == "4"


def test_strict_and_flexible_are_two_figures() -> None:
    texts = (f"{WORK}<answer>42</answer>", "Answer: 42", "\\boxed{42}", "<answer>41</answer>")
    judge = AnswerCorrectness()
    scores = [judge.score(item("q", "42"), Completion("item q", text)) for text in texts]
    metrics = judge.aggregate(scores).metrics
    assert (metrics["flexible_extract"], metrics["strict_match"]) == (0.75, 0.5)


def test_the_answer_of_a_whole_solution_is_the_reference() -> None:
    solution = "48 / 2 = <<48/2=24>>24 clips.\n#### 24"
    for text in (solution, "<answer>24 clips</answer>"):
        score = AnswerCorrectness().score(item("q", solution), Completion("item q", text))
        assert score.value == 1.0


ADVERSARIES = (
    "Answer: x" + " " * 100 + "y\n", "The answer is 4. ", "<reasoning></reasoning>",
    "</reasoning> ", "<answer>", "<answer>1</answer>", "<think>", "</think>", "\\boxed{",
    "\\boxed{1}", "{", "#### 1\n", "answer\n", " ", "(", "((1", "9", "1,", "1/", "$", "**", "½",
)  # fmt: skip


@pytest.mark.parametrize("wrap", ["{}", "Answer: {}y", "<answer>{}</answer>", "<reasoning>{}"])
@pytest.mark.parametrize("unit", ADVERSARIES)
def test_time_grows_with_the_length_of_the_text_alone(unit: str, wrap: str) -> None:
    def seconds(length: int) -> float:
        text = wrap.replace("{}", (unit * (length // len(unit) + 1))[:length])
        asked = item("q", "42")
        began = time.process_time()
        AnswerCorrectness().score(asked, Completion(asked.id, text))
        extract_work(text)
        return time.process_time() - began

    # Sixteen times the text: sixteen times the time where it is linear, 256 times if quadratic.
    assert seconds(1_000_000) < 64 * max(seconds(62_500), 0.02)
