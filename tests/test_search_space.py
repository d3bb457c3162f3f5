"""What a search space accepts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.errors import InvalidRecordError
from tunix_core.search_space import SearchSpace

numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
ranges = st.one_of(
    st.tuples(st.just("uniform"), numbers, numbers),
    st.tuples(st.just("loguniform"), numbers, numbers),
    st.tuples(st.just("randint"), st.integers(-99, 99), st.integers(-99, 99)),
)


@given(ranges, st.text(min_size=1))
def test_a_range_is_accepted_exactly_when_it_holds_something(
    given_range: tuple[str, float, float], name: str
) -> None:
    kind, low, high = given_range
    data = {name: {"type": kind, "min": low, "max": high}}
    if low < high and (kind != "loguniform" or low > 0):
        parameter = SearchSpace.parse(data).parameters[name]
        assert parameter.admits(low)
        assert parameter.admits(high) is (kind != "randint")
        assert not parameter.admits(low - 1)
        assert not parameter.admits(high + 1)
        assert not parameter.admits(str(low))
        assert not parameter.admits(True)
    else:
        with pytest.raises(InvalidRecordError) as caught:
            SearchSpace.parse(data)
        assert all(p.startswith("$.search_space") for p in caught.value.problems)


@given(st.lists(st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([0.0, 1.0, "1"])))
def test_a_choice_tells_apart_what_python_calls_equal(values: list[Any]) -> None:
    if not values:
        return
    choice = SearchSpace.parse({"x": {"type": "choice", "values": values}}).parameters["x"]
    kinds = {(type(value), value) for value in values}
    for value in (None, True, False, 0, 1, 0.0, 1.0, "1"):
        assert choice.admits(value) is ((type(value), value) in kinds)
