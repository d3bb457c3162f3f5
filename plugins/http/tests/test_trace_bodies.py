"""Trace bodies: the short way to a record and the long one agree."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tunix_core.codec import trace_to_json
from tunix_http.wire import traces as wire

BODY: TypeAdapter[Any] = TypeAdapter(wire.TraceBody)

wild = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 2) | st.text(max_size=3)
texts = st.text(min_size=1, max_size=5)
valid_step = st.fixed_dictionaries({"i": st.integers(0, 9), "type": texts, "content": texts})
valid = st.fixed_dictionaries(
    {
        "trace_version": texts,
        "prompt": texts,
        "final_answer": texts,
        "steps": st.lists(valid_step, min_size=1, max_size=3),
    },
    optional={"meta": st.none() | st.dictionaries(texts, wild, max_size=2)},
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A trace in which a field or two were replaced, added or left out, here or in a step."""
    body: dict[str, Any] = draw(valid)
    for _ in range(draw(st.integers(0, 2))):
        target = draw(st.sampled_from([body, *body["steps"]]))
        name = draw(st.sampled_from([*target, "more"]))
        if name == "steps":
            continue
        if draw(st.booleans()):
            target[name] = draw(wild)
        else:
            target.pop(name, None)
    return body


def outcome(body: Any) -> str | list[tuple[Any, ...]]:
    """The canonical record, or what is wrong."""
    try:
        return trace_to_json(BODY.validate_python(body))
    except ValidationError as refused:
        return [(item["type"], item["loc"]) for item in refused.errors()]


@given(bodies())
def test_the_short_way_takes_nothing_that_pydantic_refuses(body: dict[str, Any]) -> None:
    usual = outcome(body)
    with patch.object(wire, "trace_if_strict", lambda _: None):
        assert outcome(body) == usual


@pytest.mark.parametrize("body", [None, [], "", 1, {"steps": None}, {"steps": [None]}])
def test_what_is_no_trace_is_refused(body: Any) -> None:
    assert isinstance(outcome(body), list)
