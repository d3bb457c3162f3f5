"""Traces read and written the fast way are those of the slow way, and so is every refusal."""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.test_codec import TRACES, VALUES
from tunix_core.codec import (
    MAX_DEPTH,
    canonical_json,
    loads,
    structure,
    trace_from_data,
    trace_from_json,
    trace_if_strict,
    trace_to_json,
    unstructure,
)
from tunix_core.errors import InvalidRecordError
from tunix_core.records import MAX_PROMPT_CHARS, Step, Trace

FORM = '{"prompt":"p","final_answer":"a","steps":[{"i":%s,"type":"t","content":"c"}]%s}'
STEP = {"i": 1, "type": "t", "content": "c"}
DATA = {"prompt": "p", "final_answer": "a", "steps": [STEP]}
NUMBERS = ["0", "-0", "-1", "1.0", "-0.0", "1e2", "1E+2", "01", "1.", ".5", "+1", "1e400", "1e-400"]
NUMBERS += ["true", "null", "NaN", "-Infinity", '"1"', "9" * 30, "9" * 4300, "9" * 4301]
NUMBERS += ["18446744073709551616", "-9223372036854775809", "0.1000000000000000055511151231257827"]
# What breaks a line, or does not; each is put where the test likes.
PIECES = [
    '"',
    '\\"',
    "\\\\",
    "\\u0022",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\x",
    "\\",
    ",",
    ":",
    "[",
    "]",
]
PIECES += ["{", "}", '"i":0,', '"i":0,"i":0,', '"k":1,', '"k":"\\"",', '"meta":null,', '"meta":']
PIECES += [" ", "\t", "\n", "\r\n", "\x0b", "\x00", "\x7f", "\ufeff", "\u2028", "é", "\U0001f600"]
PIECES += ['"trace_version":"1.0",', '"trace_version":null,', '"prompt":"p",', "[" * 99, "]" * 99]


class Text(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


def outcome(make: Callable[[], Trace | str]) -> str | list[str]:
    """What a way gives, 1 told from 1.0 and 0.0 from -0.0, or all that it objects to."""
    try:
        return repr(make())
    except InvalidRecordError as error:
        return error.problems


def read_slowly(text: str | bytes) -> Trace:
    return structure(Trace, loads(text), "trace")


def same(text: str | bytes) -> None:
    assert outcome(lambda: trace_from_json(text)) == outcome(lambda: read_slowly(text))


def spelled(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value in one of its many spellings: order of keys, white space, escapes."""
    order = draw(st.randoms(use_true_random=False))
    text = json.dumps(
        shuffled(value, order),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\n: ")])),
    )
    return text + draw(st.sampled_from(["", "\n", "\r\n", " "]))


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(child, order) for child in value]
    if not isinstance(value, dict):
        return value
    pairs = [(key, shuffled(child, order)) for key, child in value.items()]
    order.shuffle(pairs)
    return dict(pairs)


@st.composite
def good_lines(draw: st.DrawFn) -> str:
    fields = unstructure(draw(TRACES))
    for name in ("meta", "trace_version"):
        if draw(st.booleans()):
            fields.pop(name)
    return spelled(draw, fields)


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    """A line in which pieces were put in, left out or exchanged, wherever that is."""
    text = draw(good_lines())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)) | st.just(start))
        text = text[:start] + draw(st.sampled_from(["", *PIECES, *NUMBERS])) + text[end:]
    data = text.encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at:]
    return data


@given(good_lines())
def test_every_spelling_of_a_trace_is_read(line: str) -> None:
    same(line)
    same(line.encode())
    assert isinstance(outcome(lambda: trace_from_json(line)), str)


@given(damaged_lines())
def test_a_damaged_line_is_read_or_refused_as_the_slow_way_does(line: bytes) -> None:
    same(line)


@given(good_lines(), st.data())
def test_a_key_put_before_another_is_never_passed_over(line: str, data: st.DataObject) -> None:
    # White space has it that a key follows: the line stays JSON.
    places = [at + 1 for at, sign in enumerate(line) if sign == "{"]
    for piece in data.draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=2)):
        at = data.draw(st.sampled_from(places))
        line = line[:at] + piece + line[at:]
    same(line)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_told_apart(number: str) -> None:
    same(FORM % (number, ""))
    same(FORM % ("0", f',"meta":{{"k":{number},"l":[{number}]}}'))
    same(FORM % ("0", f',"meta":{number}'))


@given(
    st.floats(allow_nan=False) | st.integers() | st.integers(10**15, 10**400), st.integers(1, 40)
)
def test_numbers_are_read_exactly(number: float, digits: int) -> None:
    for text in (repr(number), f"{number:.{digits}e}" if isinstance(number, float) else "0"):
        same(FORM % ("0", f',"meta":{{"k":{text}}}'))


@pytest.mark.parametrize("depth", [MAX_DEPTH - 3, MAX_DEPTH - 2, MAX_DEPTH - 1, 5000])
def test_depth_is_counted_alike(depth: int) -> None:
    same(FORM % ("0", ',"meta":{"k":' + "[" * depth + "]" * depth + "}"))
    same(FORM % ("0", ',"k":' + '{"k":' * depth + "1" + "}" * depth))
    same(FORM % ("0", ',"meta":{"k":"' + "[" * depth + '"}'))


@pytest.mark.parametrize(
    "rest",
    [
        ',"x":1',
        ',"meta":null,"meta":null',
        ',"meta":{"\\u0022":1}',
        ',"meta":{"k":"\\u0022\\u0022","k":1}',
        ',"meta":{"a":{"k":1,"k":2}}',
        ',"trace_version":""',
        ',"trace_version":"1.0","trace_version":"1.0"',
        ',"prompt":"' + "x" * (MAX_PROMPT_CHARS + 1) + '"',
    ],
)
def test_what_a_fast_reader_might_pass_over_is_refused_or_read(rest: str) -> None:
    same(FORM % ("0", rest))
    # A step that says meta, where there is none, and a key twice that makes up for its quotes.
    same((FORM % ("0", rest)).replace('"t"', '"meta"').replace('"i":0', '"i":0,"i":0'))


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": Text("p")},
        {"trace_version": Text("1")},
        {"meta": {Text("k"): 1}},
        {"meta": {1: 1}},
        {"meta": ()},
        {"steps": (STEP,)},
        {"steps": [Step(1, "t", "c")]},
        {"steps": [{**STEP, "i": Number.ONE}]},
        {"steps": [{**STEP, "i": True}]},
        {"steps": [{**STEP, "i": 1.0}]},
        {"steps": [{**STEP, "content": Text("c")}]},
        {"steps": [{**STEP, "more": 1}]},
        {"steps": [STEP, STEP]},
        {"steps": []},
        {"steps": "t"},
        {"more": 1},
    ],
)
def test_data_is_taken_exactly(change: dict[str, Any]) -> None:
    data = {**DATA, **change}
    slow = outcome(lambda: structure(Trace, data, "trace"))
    assert outcome(lambda: trace_from_data(data)) == slow
    fast = trace_if_strict(data)
    assert fast is None or repr(fast) == slow


@given(TRACES, st.dictionaries(st.text(max_size=5), VALUES | st.floats() | st.text(), max_size=3))
@example(Trace("p", "a", (Step(0, "t", "c"),)), {"k": 1e16, "l": 0.00001, "m": 2**70, "n": "\x1f"})
@example(Trace("p", "\u2028\x7f\ud800", (Step(0, "t", "c"),)), {})
@example(Trace(Text("p"), "a", (Step(0, "t", Text('"\\')),)), {})
def test_the_canonical_text_is_the_general_one(trace: Trace, meta: dict[str, Any]) -> None:
    trace = Trace(trace.prompt, trace.final_answer, trace.steps, meta, trace.trace_version)
    assert outcome(lambda: trace_to_json(trace)) == outcome(
        lambda: canonical_json(unstructure(trace))
    )
