"""JSON in and out: strict, complete in its complaints, and the same both ways."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.codec import (
    MAX_DEPTH,
    canonical_json,
    content_key,
    loads,
    structure,
    trace_from_data,
    trace_from_json,
    trace_to_json,
    unstructure,
)
from tunix_core.errors import InvalidRecordError
from tunix_core.records import DatasetManifest, Estimate, Scorecard, Step, Trace

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=8,
)
STEPS = st.lists(
    st.tuples(st.integers(0, 10**6), TEXT, TEXT), min_size=1, max_size=5, unique_by=lambda s: s[0]
)
TRACES = st.builds(
    lambda prompt, answer, steps, meta: Trace(
        prompt, answer, tuple(Step(*step) for step in steps), meta
    ),
    TEXT,
    TEXT,
    STEPS,
    st.none() | st.dictionaries(TEXT, VALUES, max_size=4),
)


class Colour(enum.Enum):
    RED = "red"


@frozen
class Inner:
    size: int = field(default=1)

    @size.validator
    def _positive(self, _: object, value: int) -> None:
        if value < 1:
            raise ValueError("must be above 0")


@frozen
class Settings:
    name: str
    rate: float = 0.5
    flag: bool = False
    mode: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    path: Path | None = None
    number: int | str = 1
    pair: tuple[int, str] = (1, "x")
    many: tuple[int, ...] = ()
    table: Mapping[str, int] = field(factory=dict)


def problems(cls: type, data: Any) -> list[str]:
    with pytest.raises(InvalidRecordError) as caught:
        structure(cls, data)
    return caught.value.problems


def test_structure_takes_every_kind_of_field() -> None:
    data = {
        "name": "n",
        "rate": 1,
        "flag": True,
        "mode": "b",
        "colour": "red",
        "inner": {"size": 3},
        "path": "somewhere",
        "number": "two",
        "pair": [2, "y"],
        "many": [1, 2],
        "table": {"k": 1},
    }
    settings = structure(Settings, data)
    assert settings.inner.size == 3
    assert settings.rate == 1.0
    assert type(settings.rate) is float
    assert settings.path == Path("somewhere")
    assert structure(Settings, settings) is settings
    assert unstructure(settings) == data
    assert json.loads(json.dumps(unstructure(settings))) == unstructure(settings)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": 3}, "$.name: expected text, got an integer"),
        ({"rate": "1"}, "$.rate: expected a number, got text"),
        ({"rate": True}, "$.rate: expected a number, got true or false"),
        ({"flag": 1}, "$.flag: expected true or false, got an integer"),
        ({"inner": {"size": True}}, "$.inner.size: expected an integer, got true or false"),
        ({"inner": {"size": 1.0}}, "$.inner.size: expected an integer, got a number"),
        ({"inner": {"size": 0}}, "$.inner.size: must be above 0"),
        ({"inner": []}, "$.inner: expected an object, got a list"),
        ({"mode": "c"}, "$.mode: must be one of 'a', 'b', got 'c'"),
        ({"colour": "blue"}, "$.colour: must be one of 'red', got 'blue'"),
        ({"pair": [1]}, "$.pair: must hold 2 values, got 1"),
        ({"many": "12"}, "$.many: expected a list, got text"),
        ({"many": [1, "2"]}, "$.many[1]: expected an integer, got text"),
        ({"table": {"a b": 1.5}}, "$.table['a b']: expected an integer, got a number"),
        ({"nmae": 1}, "$.nmae: unknown key, did you mean 'name'?"),
    ],
)
def test_nothing_is_converted(change: dict[str, Any], problem: str) -> None:
    assert problem in problems(Settings, {"name": "n", **change})


def test_all_errors_come_at_once_with_their_paths() -> None:
    found = problems(
        Trace,
        {
            "prompt": "",
            "steps": [{"i": -1, "type": "", "content": "c"}, {"i": True, "kind": 1}],
            "meta": [],
        },
    )
    assert set(found) == {
        "$.prompt: length must be 1 to 50000 characters, got 0",
        "$.final_answer: is missing",
        "$.steps[0].i: must be 0 or more, got -1",
        "$.steps[0].type: length must be 1 to 64 characters, got 0",
        "$.steps[1].i: expected an integer, got true or false",
        "$.steps[1].kind: unknown key",
        "$.steps[1].type: is missing",
        "$.steps[1].content: is missing",
        "$.meta: expected an object, got a list",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        ("1e999", "too large"),
        ("9" * 5000, "thousands of digits"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"x": ["\\ud800"]}', "$.x[0]: lone surrogate at character 0"),
        ('"\\uDFFF"', "lone surrogate"),
        ('"\ud800"', "lone surrogate"),
        (b'"ab\xff"', "not UTF-8 at byte 3"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        ("[" * 200_000, "nested deeper"),
        ('{"a":' * 200_000, "nested deeper"),
        ('{"a":', "not JSON: Expecting value at character 6"),
        ("", "not JSON"),
        ("{} {}", "not JSON: Extra data"),
    ],
)
def test_loads_refuses(text: str | bytes, reason: str) -> None:
    with pytest.raises(InvalidRecordError, match="invalid JSON") as caught:
        loads(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', "[" * MAX_DEPTH + "]" * MAX_DEPTH, '"é"'])
def test_loads_accepts(text: str) -> None:
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "$: nan is not a JSON number"),
        ({"a": [float("inf")]}, "$.a[0]: inf is not a JSON number"),
        ({1: 2}, "key 1 is not text"),
        ({"a": {"b"}}, "$.a: set is not a JSON type"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_canonical_json_refuses(value: Any, reason: str) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        canonical_json(value)
    assert reason in str(caught.value)


@given(VALUES)
def test_canonical_json_reads_back_and_ignores_the_order_of_keys(value: Any) -> None:
    text = canonical_json(value)
    assert loads(text) == value
    assert canonical_json(json.loads(json.dumps(value))) == text


@given(TRACES)
def test_traces_survive_the_round_trip(trace: Trace) -> None:
    text = trace_to_json(trace)
    assert trace_from_json(text) == trace
    assert text == canonical_json(unstructure(trace))
    assert trace_from_data(unstructure(trace)) == structure(Trace, unstructure(trace)) == trace
    assert content_key(trace) == content_key(trace_from_json(text.encode()))


@given(st.data())
def test_the_fast_way_and_the_slow_way_agree(data: st.DataObject) -> None:
    fields = unstructure(data.draw(TRACES))
    key = data.draw(st.sampled_from([*fields, "extra"]))
    fields[key] = data.draw(VALUES)
    if data.draw(st.booleans()):
        fields["steps"] = [data.draw(VALUES), {"i": 0, "type": "t", "content": data.draw(VALUES)}]
    text = json.dumps(fields)
    assert _outcome(lambda: trace_from_json(text)) == _outcome(lambda: structure(Trace, fields))


def _outcome(make: Any) -> Any:
    try:
        return make()
    except InvalidRecordError as error:
        return error.problems


@given(
    TRACES, st.sampled_from(["prompt", "i", "k"]), st.sampled_from(["", "\\\\", '\\"', '\\\\\\"'])
)
def test_a_key_that_occurs_twice_is_always_found(trace: Trace, key: str, tail: str) -> None:
    text = trace_to_json(trace)
    twice = {
        "prompt": text[:-1] + f',"prompt":"{tail}"}}',
        "i": text.replace('"i":', '"i":0,"i":', 1),
        "k": text[: text.index('"meta":')]
        + '"meta":{"k":"'
        + tail
        + '","k":1},'
        + text[text.index(',"prompt":') + 1 :],
    }[key]
    if trace.meta is not None and key == "k":
        return
    with pytest.raises(InvalidRecordError, match=r"occurs twice|not JSON"):
        trace_from_json(twice)


def test_traces_made_in_python_are_checked_before_they_are_written() -> None:
    step = (Step(0, "t", "c"),)
    for trace, reason in (
        (Trace("p", "a", step, {"x": float("nan")}), "$.meta.x: nan"),
        (Trace("p\ud800", "a", step), "$.prompt: lone surrogate"),
        (Trace("p", "a", step, {"x": object()}), "$.meta.x: object is not a JSON type"),
    ):
        with pytest.raises(InvalidRecordError) as caught:
            trace_to_json(trace)
        assert reason in str(caught.value)


def test_records_survive_the_round_trip() -> None:
    estimate = Estimate(None, None, None, 0)
    card = Scorecard(Estimate(1.0, 0.5, 1.0, 3), 3, {"family": {"sums": estimate}}, {"m": 0.1})
    assert structure(Scorecard, json.loads(json.dumps(unstructure(card)))) == card
    manifest = DatasetManifest(
        "k", "b", "n", "v", "1.1", "t", {"a": [1]}, "mix", 3, ("x", "y"), 2, {}, None, None, None,
        {"p": {"q": None}}, "s",
    )  # fmt: skip
    assert structure(DatasetManifest, json.loads(json.dumps(unstructure(manifest)))) == manifest
