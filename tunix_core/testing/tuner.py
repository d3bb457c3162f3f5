"""What every tuner must do; subclass :class:`TunerConformance` in your tests."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tunix_core.codec import canonical_json
from tunix_core.protocols import Observation, SuggestRequest, Tuner
from tunix_core.search_space import SearchSpace

SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"type": "loguniform", "min": 1e-5, "max": 1e-1},
    "weight_decay": {"type": "uniform", "min": -1.0, "max": 1.0},
    "epochs": {"type": "randint", "min": 1, "max": 5},
    "odd": {"type": "choice", "values": [1, True, "1", None, 1.0, [1], {"a": 1}]},
}


class TunerConformance:
    """The contract of a tuner: inside the space, and a pure function of its request.

    Set ``learns`` to False for a tuner that does not look at how earlier trials did.

    Example::

        class TestMine(TunerConformance):
            def make(self):
                return MyTuner()
    """

    learns: bool = True

    def make(self) -> Tuner:
        """A tuner."""
        raise NotImplementedError

    def search(
        self,
        trials: int,
        seed: int = 0,
        mode: Literal["max", "min"] = "max",
        space: Mapping[str, Any] = SPACE,
        at_once: int = 1,
    ) -> list[Observation]:
        """A whole search; of the trials, as many as run ``at_once`` have no value yet."""
        parsed = SearchSpace.parse(space)
        tuner = self.make()
        sign = 1.0 if mode == "max" else -1.0
        told: list[Observation] = []
        for number in range(1, trials + 1):
            seen = max(0, number - at_once)
            pending = [Observation(observation.params) for observation in told[seen:]]
            history = (*told[:seen], *pending)
            params = tuner.suggest(SuggestRequest(parsed, history, mode, seed, number))
            assert parsed.problems(params) == []
            told.append(Observation(params, sign * goodness(params)))
        return told

    def test_is_a_tuner(self) -> None:
        assert isinstance(self.make(), Tuner)

    def test_suggestions_are_plain_json_and_lie_in_the_space(self) -> None:
        for observation in self.search(30):
            params = observation.params
            assert canonical_json(json.loads(json.dumps(params))) == canonical_json(params)

    def test_every_value_of_a_choice_is_reached(self) -> None:
        space = {"odd": SPACE["odd"]}
        tried = {canonical_json(o.params["odd"]) for o in self.search(200, space=space)}
        assert tried == {canonical_json(value) for value in SPACE["odd"]["values"]}

    def test_a_range_of_one_value_gives_that_value(self) -> None:
        space = {"epochs": {"type": "randint", "min": 3, "max": 4}}
        assert [o.params["epochs"] for o in self.search(12, space=space)] == [3] * 12

    def test_the_same_request_gives_the_same_suggestion(self) -> None:
        assert self.search(12) == self.search(12)
        assert self.search(12, at_once=3) == self.search(12, at_once=3)

    def test_other_seeds_and_numbers_give_other_suggestions(self) -> None:
        first, second = ([o.params["weight_decay"] for o in self.search(6, s)] for s in (0, 1))
        assert len({*first, *second}) == 12

    def test_suggestions_neither_use_nor_disturb_shared_random_numbers(self) -> None:
        random.seed(1)
        state = random.getstate()
        first = self.search(8)
        assert random.getstate() == state
        random.seed(2)
        assert self.search(8) == first

    def test_failed_and_running_trials_are_no_obstacle(self) -> None:
        space = SearchSpace.parse(SPACE)
        done = self.search(12)
        for rest in (Observation(done[0].params), Observation(done[0].params, failed=True)):
            for history in ((rest,) * 12, (*done, *(rest,) * 3)):
                request = SuggestRequest(space, history, "max", 0, len(history) + 1)
                assert space.problems(self.make().suggest(request)) == []

    def test_later_trials_are_better(self) -> None:
        if not self.learns:
            return
        for mode in ("max", "min"):
            gained = []
            for seed in range(3):
                goods = [goodness(o.params) for o in self.search(45, seed, mode)]
                gained.append(mean(goods[-10:]) - mean(goods[:10]))
            assert mean(gained) > 0, mode


def goodness(params: Mapping[str, Any]) -> float:
    """Highest, and 0, at a learning rate of 0.001 without weight decay."""
    rate = math.log10(params.get("learning_rate", 1e-3)) + 3
    return -(rate**2) - float(params.get("weight_decay", 0.0)) ** 2


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
