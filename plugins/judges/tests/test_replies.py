"""Reading grades: whatever is around them, never half of one, in time that grows linearly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_judges.replies import Grade, UnreadableError, read_score, read_winner

READERS: tuple[Callable[[str], Grade], ...] = (partial(read_score, low=0, high=100), read_winner)
GRADE = '{"score": 80, "reasoning": "one slip"}'


@pytest.mark.parametrize(
    "text",
    [
        GRADE,
        'Here is my grade: {"score": "80"}',
        "```json\n" + GRADE + "\n```",
        f"{GRADE}\nI hope that helps.",
        '<think>Perhaps {"score": 10}? Or score: 20.</think>\n{"score": 80}',
        'Perhaps {"score": 10}, since the template began to think.</think>{"score": 80}',
        '<THINK>{"</THINK>{"score": 80.0}',
        '[THINK]{"score": 1}[/THINK]{"score": 80}',
        '<|channel|>analysis<|message|>{"score": 1}<|channel|>final<|message|>{"score": 80}',
        '{"reasoning": "it writes </think> and <think> itself", "score": 80}',
        '{"score": "80/100"}',
        '{"score": "80 out of 100"}',
        '{"score": "80 %"}',
        '{"metrics": {"safety": 1, "score": 3}, "score": 8e1}',
        '{"grade": 80}',
        r"With \frac{1}{2} and {3, 4}: " + GRADE,
        "{'score': 80, 'reasoning': 'no JSON'}",
        '{"score": 80, "reasoning": "a "quote" too many"}',
        "Score: 80",
        "**Score:** 80/100.",
        "The reasoning holds.\n\nFinal score = 80",
        "Score: 0 to 100. Score: 80",
        "My rating is [[80]]",
        f"{GRADE} So it is {GRADE}",
    ],
)
def test_a_grade_is_found_in_what_is_around_it(text: str) -> None:
    assert read_score(text, 0, 100).value == 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would say 80.",
        "I cannot judge this.",
        '{"verdict": "pass"}',
        '{"score": 101}',
        '{"score": -1}',
        '{"score": true}',
        '{"score": null}',
        '{"score": NaN}',
        '{"score": Infinity}',
        '{"score": [80]}',
        '{"score": "eighty"}',
        '{"score": "8/10"}',
        '{"score": ' + "9" * 5000 + "}",
        '{"score": ' + "9" * 4000 + "}",
        "Score: 0 to 100",
        "Score: 1,200",
        "Score: 1e999",
        '{"score": 80} or rather {"score": 20}',
        '<think>{"score": 80}',
        '<think>{"score": 80}</think>',
        '{"score": 20}</think>I will not say.',
    ],
)
def test_what_is_no_grade_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        read_score(text, 0, 100)


def test_a_cut_reply_has_whole_objects_alone() -> None:
    assert read_score(GRADE + " and", 0, 100, cut=True).value == 80
    for text in ('{"score": 8', "Score: 8", '{"score": 80, "reasoning": "the st'):
        with pytest.raises(UnreadableError):
            read_score(text, 0, 100, cut=True)


@pytest.mark.parametrize(("low", "high", "text"), [(1, 5, "4/5"), (-1, 1, "0.5"), (0, 1, ".5")])
def test_the_scale_is_the_rubrics(low: float, high: float, text: str) -> None:
    assert low <= read_score(json.dumps({"score": text}), low, high).value <= high
    with pytest.raises(UnreadableError, match=f"not a score from {low} to {high}"):
        read_score(json.dumps({"score": high + 1}), low, high)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(0, 1) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    score=st.integers(0, 100) | st.floats(0, 100),
    beside=st.dictionaries(st.text(max_size=9), JSON, max_size=4),
    around=st.sampled_from(["{}", "```json\n{}\n```", "<think>hm {</think>{}", "Grade:\n{} ok?"]),
    spaces=st.sampled_from([None, 2]),
)
def test_a_grade_is_read_as_it_was_written(
    score: float, beside: dict[str, Any], around: str, spaces: int | None
) -> None:
    said = {**beside, "score": score}
    text = around.replace("{}", json.dumps(said, indent=spaces, ensure_ascii=False))
    assert read_score(text, 0, 100).value == score


@given(st.text(alphabet=st.sampled_from('{}[]":, \n\\score80/thinkA<>')))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in READERS:
        try:
            value = read(text).value
        except UnreadableError:
            continue
        assert 0 <= value <= 100


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"winner": "A"}', 1.0),
        ('{"winner": "b", "reasoning": "A is longer"}', 0.0),
        ('Well: {"winner": "tie"}', 0.5),
        ('<think>{"winner": "A"}</think>{"winner": "Answer B"}', 0.0),
        ("My final verdict is: [[A]]", 1.0),
        ("[[C]]", 0.5),
        ("**Winner:** Assistant B", 0.0),
        ("Winner: tie", 0.5),
    ],
)
def test_a_winner_is_found(text: str, value: float) -> None:
    assert read_winner(text).value == value


@pytest.mark.parametrize("text", ["", "A", '{"winner": "D"}', '{"winner": ["A"]}', "[[A]] [[B]]"])
def test_what_names_no_winner_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        read_winner(text)


@pytest.mark.parametrize(
    "piece",
    [
        *('{"', '{"a":', '{"a":"', "{", '{"score"', '{"a": 1}', "{ " + " " * 99, "[[", "9", " "),
        *("score:", "score: 1", "score: 1.", "score: " + " " * 50, "score" + "'" * 30, "winner: a"),
        *("<think>", "</think>", '{"a": 1}</think>', '{"a": 1} <think>', "9.", "\\"),
    ],
)
def test_reading_takes_time_that_grows_with_the_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        begun = time.process_time()
        for read in READERS:
            with suppress(UnreadableError):
                read(text)
        return time.process_time() - begun

    short = min(seconds(100_000) for _ in range(2))
    long = min(seconds(1_000_000) for _ in range(2))
    assert long < 40 * (short + 0.01), "ten times as long is not a hundred times"
