"""Answers are compared by what they mean, whole, with and without a declared type."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunix_core.evaluators.answer_correctness import AnswerCorrectness
from tunix_core.evaluators.answer_spec import TYPES, answer_problems, answer_spec
from tunix_core.evaluators.answers import answers_match, match_spec, normal_form
from tunix_core.records import Completion
from tunix_core.testing.evaluator import item

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "samples" / "answers.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in CASES}))
def test_answers_are_judged_as_an_expert_judged_them(kind: str) -> None:
    for case in (case for case in CASES if case["kind"] == kind):
        asked = item("q", case["expected"], answer_type=case["answer_type"])
        score = AnswerCorrectness().score(asked, Completion(asked.id, case["completion"]))
        assert (score.value == 1.0) == case["correct"], case


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("15", "15"),
        ("15.0", "15"),
        ("1,000", "1000"),
        ("2/4", "1/2"),
        ("-3", "-3"),
        ("12 km", "12 km"),
        ("12", "12 km"),
        ("12 km", "12"),
        ("$5", "$5"),
        ("50 %", "50%"),
        ("7 m²", "7 m²"),
        (" North. ", "north"),
        ("minus seven", "-7"),
        ("three quarters", "75%"),
        ("1.5 million", "1500000"),
        ("1800 cents", "$18"),
        ("12 dollars per hour", "$12/hour"),
        ("$25\\,\\text{m}^2$", "25 m²"),
        ("200 minutes", "3 hours 20 minutes"),
        ("5 ft 4 in", "64 inches"),
        ("0.833333", "5/6"),
        ("the 5th of March, 2024", "2024-03-05"),
        ("(x+1)(x+1)", "x^2+2x+1"),
        ("2\\sqrt{2}", "\\sqrt{8}"),
        ("6 * 7 = 42", "42"),
        ("{2, 1}", "{1, 2}"),
    ],
)
def test_what_means_the_same_matches(answer: str, reference: str) -> None:
    assert answers_match(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("1", "15"),
        ("1", "1000"),
        ("15", "1"),
        ("1", "1/2"),
        ("2", "2.5"),
        ("12 m", "12 km"),
        ("42 apples, I think", "42"),
        ("", "0"),
        ("2", "2 1/4"),
        ("10", "10 to 12"),
        ("200", "3 hours 20 minutes"),
        ("7", "Seven Samurai"),
        ("2", "2 halves"),
        ("Paris or London", "Paris"),
        ("d q u", "q d u"),
        ("5 mW", "5 MW"),
        ("$18", "€18"),
        ("20", "0.2%"),
        ("A) 1, B) 2", "A"),
        ("yes, but no", "yes"),
        ("40 + 2", "42"),
        ("6 * 8 = 42", "42"),
        ("x = 1 or x = 2", "x = 1"),
        ("0.83", "5/6"),
        ("\\boxed{4}\\boxed{2}", "42"),
        ("10^10^10^10", "10"),
    ],
)
def test_a_part_of_an_answer_is_no_answer(answer: str, reference: str) -> None:
    assert not answers_match(answer, reference)
    assert not answers_match(reference, answer)


@pytest.mark.parametrize(
    ("answer", "reference", "answer_type"),
    [("[1, 2]", "1 2", "list"), ("2 1 2", "1 2", "set"), ("yes", "true", "boolean")],
)
def test_some_answers_match_by_their_type_alone(
    answer: str, reference: str, answer_type: str
) -> None:
    assert answers_match(answer, reference, answer_type)
    assert not answers_match(answer, reference)


def test_options_alternatives_and_a_tolerance_are_declared_with_the_item() -> None:
    def right(answer: str, reference: str, **meta: Any) -> bool:
        return match_spec(answer, reference, answer_spec(meta))

    options = {"A": "11", "B": "12 apples"}
    for answer in ("B", "12 apples", "12", "(B) 12 apples", "option b"):
        assert right(answer, "B", answer_type="choice", answer_options=options), answer
        assert right(answer, "12 apples", answer_type="multiple_choice", answer_options=options)
    assert not right("B) 11", "B", answer_type="choice", answer_options=options)
    assert right("12 apples", "B", answer_type="choice", answer_options=["11", "12 apples"])
    assert right("NYC", "New York", answer_alternatives=["NYC"])
    assert right("3.14", "3.14159", answer_type="float", answer_tolerance=0.01)
    assert right("101", "100", answer_tolerance="1%")
    assert not right("102", "100", answer_tolerance="1%")


@pytest.mark.parametrize(
    "meta",
    [
        {"answer_type": "colour"},
        {"answer_type": 7},
        {"answer_options": "A"},
        {"answer_options": {"AB": "x"}},
        {"answer_alternatives": [1]},
        {"answer_tolerance": -1},
        {"answer_tolerance": "much"},
        {"answer_tolerance": float("nan")},
    ],
)
def test_what_is_wrongly_declared_is_named_and_judged_as_if_undeclared(
    meta: dict[str, Any],
) -> None:
    (problem,) = answer_problems(meta)
    assert problem.startswith(f"$.meta.{next(iter(meta))}: ")
    assert answer_spec(meta) == answer_spec(None)


@pytest.mark.parametrize("answer_type", [*TYPES, "INT", "numeric", "Multiple-Choice", "str"])
def test_types_are_known_by_their_synonyms(answer_type: str) -> None:
    assert not answer_problems({"answer_type": answer_type})
    assert answer_spec({"answer_type": answer_type}).type in TYPES


NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
)
UNITS = st.sampled_from(["", " km", " hours", "%", " dollars", " apples", " m²", " million"])
# Pieces of which what people write is made.
PIECES = r"""
$ \ { } ( ) [ ] * ** _ ` ``` " ' . , ; : = < > ^ / - − ½ ² √ # ! ? % ° \frac \boxed \text \sqrt
\left \pi {,} <b> </b> <<1>> A B x y km and or not the yes answer is: it
"""
TEXTS = st.lists(
    st.one_of(
        NUMBERS,
        st.sampled_from([*PIECES.split(), "\u200b", " ", "  ", "\n"]),
        st.text(max_size=3),
    ),
    max_size=12,
).map("".join)
QUANTITIES = st.tuples(NUMBERS, UNITS).map("".join)


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_the_normal_form_is_its_own_normal_form(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from([None, "string", "list", "set"]))
def test_an_answer_matches_itself_and_any_text_is_judged(text: str, answer_type: str) -> None:
    assert answers_match(text, text, answer_type) == bool(normal_form(text))
    for other in TYPES:
        answers_match(text, "42", other)


@settings(max_examples=300, deadline=None)
@given(QUANTITIES, QUANTITIES)
def test_quantities_match_both_ways_or_not_at_all(one: str, other: str) -> None:
    assert answers_match(one, other) == answers_match(other, one)


DRESSES: list[Callable[[str], str]] = [
    "**{}**".format,
    "${}$".format,
    "\\({}\\)".format,
    "\\boxed{{{}}}".format,
    "\\text{{{}}}".format,
    "`{}`".format,
    "  {} \n".format,
    "{}.".format,
    "The answer is {}.".format,
    '"{}"'.format,
    "```\n{}\n```".format,
    "= {}".format,
]


@settings(max_examples=300, deadline=None)
@given(NUMBERS, st.lists(st.sampled_from(DRESSES), max_size=2, unique=True), st.integers(1, 10**6))
def test_no_dress_makes_a_number_another(
    number: str, dresses: list[Callable[[str], str]], other: int
) -> None:
    dressed = number
    for dress in dresses:
        dressed = dress(dressed)
    assert answers_match(dressed, number)
    assert not answers_match(dressed, f"{other}{number.lstrip('-')}")
