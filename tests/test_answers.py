"""Answers are compared by what they mean, whole, with and without a declared type."""

from __future__ import annotations

import pytest

from tunix_core.evaluators.answers import answers_match


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
        ("$5", "$5"),
        ("50 %", "50%"),
        ("7 m²", "7 m²"),
        (" North. ", "north"),
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
        ("12 km", "12"),
        ("42 apples, I think", "42"),
        ("", "0"),
    ],
)
def test_a_part_of_an_answer_is_no_answer(answer: str, reference: str) -> None:
    assert not answers_match(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference", "answer_type"),
    [("[1, 2]", "1 2", "list"), ("2 1 2", "1 2", "set"), ("yes", "true", "boolean")],
)
def test_some_answers_match_by_their_type_alone(
    answer: str, reference: str, answer_type: str
) -> None:
    assert answers_match(answer, reference, answer_type)
    assert not answers_match(answer, reference)
