"""The tuners over Optuna: their contract, and that they find what is good."""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunix_core.contributions import TUNER
from tunix_core.plugins import Plugins
from tunix_core.protocols import Observation, SuggestRequest, Tuner
from tunix_core.search_space import MAX_INTEGER, SearchSpace
from tunix_core.testing.tuner import TunerConformance, goodness, mean
from tunix_tune.sampling import SamplingTuner, learning_tuner, random_tuner


class TestLearning(TunerConformance):
    def make(self) -> Tuner:
        return learning_tuner()

    def test_beats_chance(self) -> None:
        chance = TestRandom()
        learnt, drawn = (
            mean([max(goodness(o.params) for o in suite.search(30, seed)) for seed in range(5)])
            for suite in (self, chance)
        )
        assert learnt > drawn


class TestRandom(TunerConformance):
    learns = False

    def make(self) -> Tuner:
        return random_tuner()


def test_both_are_offered_by_the_installed_plugin() -> None:
    plugins = Plugins.discover()
    for name in ("optuna", "random"):
        provided = plugins.find(TUNER, name)
        assert provided.full_name == f"tunix-tune/{name}"
        assert isinstance(provided.create(), SamplingTuner)


def test_the_plugin_costs_nothing_before_it_is_used() -> None:
    code = (
        "import sys; from tunix_core.plugins import Plugins; Plugins.discover(); "
        "sys.exit('optuna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_suggestions_are_made_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(logging.INFO)
    TestLearning().search(12)
    assert capfd.readouterr() == ("", "")


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Search spaces of every kind, at the edges of what is allowed too."""
    number = st.floats(-1e300, 1e300)
    bounds = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1])
    rates = st.tuples(st.floats(5e-324, 1e300), st.floats(5e-324, 1e300)).filter(
        lambda pair: pair[0] < pair[1]
    )
    integer = st.integers(-MAX_INTEGER, MAX_INTEGER)
    integers = st.tuples(integer, integer).filter(lambda pair: pair[0] < pair[1])
    scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
    parameter = st.one_of(
        st.builds(lambda v: {"type": "choice", "values": v}, st.lists(scalars, min_size=1)),
        *(
            st.builds(lambda p, k=kind: {"type": k, "min": p[0], "max": p[1]}, pairs)
            for kind, pairs in (("uniform", bounds), ("loguniform", rates), ("randint", integers))
        ),
    )
    space: dict[str, Any] = draw(st.dictionaries(st.text(min_size=1), parameter, min_size=1))
    return space


@settings(max_examples=40)
@given(spaces(), st.integers(0, 2**63), st.sampled_from([learning_tuner, random_tuner]))
def test_any_space_is_searched_within_its_bounds(
    space: Mapping[str, Any], seed: int, make: Any
) -> None:
    parsed = SearchSpace.parse(space)
    draw = random.Random(seed)
    history: list[Observation] = []
    for number in range(1, 13):
        request = SuggestRequest(parsed, tuple(history), "min", seed, number)
        params = make().suggest(request)
        assert parsed.problems(params) == []
        history.append(Observation(params, draw.uniform(-1.0, 1.0)))


@pytest.mark.parametrize(
    "parameter",
    [
        {"type": "uniform", "min": 1e15, "max": 1e15 + 1},
        {"type": "loguniform", "min": 2e163, "max": 2.0000000000000007e163},
        {"type": "loguniform", "min": 1.0, "max": 1.0000000000000002},
        {"type": "randint", "min": 6_529_175_639_101_262, "max": 6_529_175_639_101_264},
        {"type": "randint", "min": -MAX_INTEGER, "max": MAX_INTEGER},
    ],
)
def test_a_range_is_searched_wherever_it_lies(parameter: Mapping[str, Any]) -> None:
    space = SearchSpace.parse({"x": parameter})
    history: list[Observation] = []
    for number in range(1, 25):
        params = learning_tuner().suggest(SuggestRequest(space, tuple(history), "max", 0, number))
        assert space.problems(params) == []
        history.append(Observation(params, float(number % 3)))


class Shifted(SamplingTuner):
    """Forgets that the largest integer is excluded."""

    def suggest(self, request: SuggestRequest) -> dict[str, Any]:
        params = super().suggest(request)
        return {name: v + 1 if name == "epochs" else v for name, v in params.items()}


class Forgetful(SamplingTuner):
    """Draws anew whenever it is asked."""

    def suggest(self, request: SuggestRequest) -> dict[str, Any]:
        rate = math.exp(random.uniform(math.log(1e-5), math.log(1e-1)))
        return {
            name: rate if name == "learning_rate" else value
            for name, value in super().suggest(request).items()
        }


class Contrary(SamplingTuner):
    """Looks for the largest whatever it is asked for."""

    def suggest(self, request: SuggestRequest) -> dict[str, Any]:
        return super().suggest(SuggestRequest(**{**_fields(request), "mode": "max"}))


def _fields(request: SuggestRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ("space", "history", "mode", "seed", "number")}


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Shifted, "test_suggestions_are_plain_json_and_lie_in_the_space"),
        (Forgetful, "test_the_same_request_gives_the_same_suggestion"),
        (Forgetful, "test_suggestions_neither_use_nor_disturb_shared_random_numbers"),
        (Contrary, "test_later_trials_are_better"),
    ],
)
def test_the_suite_bites(broken: type[SamplingTuner], test: str) -> None:
    suite = TestLearning()
    suite.make = lambda: broken(learning_tuner()._make_sampler)  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        getattr(suite, test)()
