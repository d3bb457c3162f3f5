"""Tuners over Optuna's samplers; a study is made anew from the history for every suggestion."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from tunix_core.protocols import Observation, SuggestRequest
from tunix_core.search_space import Choice, LogUniform, Parameter, RandInt, SearchSpace, Uniform

# Random trials before the sampler trusts what it has seen; searches here are short.
STARTUP_TRIALS = 5
# Of more integers Optuna cannot tell one from the next.
MAX_STEPS = 2**31


class SamplingTuner:
    """Suggests what an Optuna sampler does.

    Args:
        make_sampler: Called with a seed for every suggestion.
    """

    def __init__(self, make_sampler: Callable[[int], BaseSampler]) -> None:
        self._make_sampler = make_sampler

    def suggest(self, request: SuggestRequest) -> dict[str, Any]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            direction="maximize" if request.mode == "max" else "minimize",
            sampler=self._make_sampler(_seed(request)),
        )
        distributions = {
            name: _distribution(parameter) for name, parameter in request.space.parameters.items()
        }
        for observation in request.history:
            study.add_trial(_past(observation, request.space, distributions))
        drawn = study.ask(distributions).params
        return {
            name: _value(parameter, drawn[name])
            for name, parameter in request.space.parameters.items()
        }


def learning_tuner() -> SamplingTuner:
    """A tuner that looks where the good trials are denser than the bad ones."""
    return SamplingTuner(lambda seed: TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed))


def random_tuner() -> SamplingTuner:
    """A tuner that looks at no history."""
    return SamplingTuner(lambda seed: RandomSampler(seed=seed))


def _seed(request: SuggestRequest) -> int:
    """A seed of its own for every trial of every job; neighbours have nothing in common."""
    digest = hashlib.sha256(f"{request.seed}/{request.number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _distribution(parameter: Parameter) -> BaseDistribution:
    """What Optuna draws: how far from its beginning a range is entered.

    In a narrow range far from zero its arithmetic would have no digits left.
    """
    if isinstance(parameter, Choice):
        # Places instead of values, which Optuna would compare by ==, and 1 == True.
        return CategoricalDistribution(range(len(parameter.values)))
    if isinstance(parameter, (Uniform, LogUniform)) or _span(parameter) > MAX_STEPS:
        return FloatDistribution(0.0, 1.0)
    return IntDistribution(0, _span(parameter))


def _past(
    observation: Observation, space: SearchSpace, distributions: dict[str, BaseDistribution]
) -> FrozenTrial:
    """A trial of the history as Optuna knows it."""
    if observation.failed:
        state = TrialState.FAIL
    else:
        state = TrialState.RUNNING if observation.value is None else TrialState.COMPLETE
    params = {
        name: _drawn(space.parameters[name], value) for name, value in observation.params.items()
    }
    return optuna.trial.create_trial(
        state=state, value=observation.value, params=params, distributions=distributions
    )


def _drawn(parameter: Parameter, value: Any) -> Any:
    """What Optuna drew when the suggestion was ``value``."""
    if isinstance(parameter, Choice):
        return parameter.place(value)
    if isinstance(parameter, (Uniform, LogUniform)):
        low, high = _ends(parameter)
        own = math.log(value) if isinstance(parameter, LogUniform) else value
        return min(max((own - low) / (high - low), 0.0), 1.0) if low < high else 0.0
    steps = value - parameter.min
    return steps if _span(parameter) <= MAX_STEPS else steps / _span(parameter)


def _value(parameter: Parameter, drawn: Any) -> Any:
    """The plain value behind what Optuna drew."""
    if isinstance(parameter, Choice):
        return parameter.values[int(drawn)]
    if isinstance(parameter, (Uniform, LogUniform)):
        low, high = _ends(parameter)
        own = min(low + float(drawn) * (high - low), high)
        value = math.exp(own) if isinstance(parameter, LogUniform) else own
        # The way there may miss the end of the range by a rounding error.
        return min(max(value, parameter.min), parameter.max)
    if _span(parameter) <= MAX_STEPS:
        return parameter.min + int(drawn)
    return parameter.min + min(round(drawn * _span(parameter)), _span(parameter))


def _span(parameter: RandInt) -> int:
    """How far the last integer is from the first."""
    return parameter.max - 1 - parameter.min


def _ends(parameter: Uniform | LogUniform) -> tuple[float, float]:
    """The ends of the range on the scale on which it is searched."""
    if isinstance(parameter, LogUniform):
        return math.log(parameter.min), math.log(parameter.max)
    return parameter.min, parameter.max
