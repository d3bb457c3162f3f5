"""What a tuning job searches: named parameters, each with the values that it may take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import Attribute, field, frozen

from tunix_core.base.strict import child_path
from tunix_core.codec import canonical_json, check_json, structure
from tunix_core.errors import InvalidRecordError

# Up to here a float holds every integer, and samplers count in floats.
MAX_INTEGER = 2**53


def _as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


def _some_json(_: object, attribute: Attribute[Any], values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError(f"{attribute.name}: must hold at least one value")
    try:
        check_json(values, "")
    except InvalidRecordError as error:
        raise ValueError(f"{attribute.name}: {'; '.join(error.problems)}") from None


def _finite(_: object, attribute: Attribute[float], value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{attribute.name}: {value} is not a finite number")


def _positive(_: object, attribute: Attribute[float], value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{attribute.name}: must be greater than 0, got {value}")


def _exact(_: object, attribute: Attribute[int], value: int) -> None:
    if abs(value) > MAX_INTEGER:
        raise ValueError(f"{attribute.name}: must lie within -2^53 and 2^53, got {value}")


def _above_min(parameter: Any, attribute: Attribute[Any], value: float) -> None:
    if not value > parameter.min:
        raise ValueError(
            f"{attribute.name}: must be greater than min ({parameter.min}), got {value}"
        )
    if math.isinf(value - parameter.min):
        raise ValueError(f"{attribute.name}: lies too far above min ({parameter.min})")


@frozen
class Choice:
    """One of some values, equally likely.

    Args:
        values: JSON values of any type, at least one.
    """

    type: Literal["choice"]
    values: tuple[Any, ...] = field(converter=_as_tuple, validator=_some_json)

    def place(self, value: Any) -> int | None:
        """Where ``value`` stands among the values, types told apart; None when it does not."""
        wanted = canonical_json(value)
        places = (n for n, known in enumerate(self.values) if canonical_json(known) == wanted)
        return next(places, None)

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is one that this parameter may take."""
        return self.place(value) is not None


@frozen
class Uniform:
    """A number between two others, equally likely everywhere."""

    type: Literal["uniform"]
    min: float = field(validator=_finite)
    max: float = field(validator=[_finite, _above_min])

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is one that this parameter may take."""
        return type(value) in (int, float) and self.min <= value <= self.max


@frozen
class LogUniform:
    """A number between two positive ones, its logarithm equally likely everywhere."""

    type: Literal["loguniform"]
    min: float = field(validator=_positive)
    max: float = field(validator=[_finite, _above_min])

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is one that this parameter may take."""
        return type(value) in (int, float) and self.min <= value <= self.max


@frozen
class RandInt:
    """An integer from ``min`` up to but without ``max``."""

    type: Literal["randint"]
    min: int = field(validator=_exact)
    max: int = field(validator=[_exact, _above_min])

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is one that this parameter may take."""
        return type(value) is int and self.min <= value < self.max


Parameter = Choice | Uniform | LogUniform | RandInt

_TYPES: dict[str, type[Parameter]] = {
    "choice": Choice,
    "uniform": Uniform,
    "loguniform": LogUniform,
    "randint": RandInt,
}


@frozen
class SearchSpace:
    """The parameters of a search, in the order in which they were given.

    Args:
        parameters: What each parameter may be, by its name.
    """

    parameters: Mapping[str, Parameter]

    @classmethod
    def parse(cls, data: Any) -> SearchSpace:
        """Read ``{"name": {"type": "uniform", "min": 0.0, "max": 0.1}, ...}``.

        ``choice`` takes ``values``; ``uniform``, ``loguniform`` and ``randint`` (``max``
        excluded) take ``min`` and ``max``.

        Raises:
            InvalidRecordError: Every problem, each as ``"$.search_space.name.min: reason"``.
        """
        root = "$.search_space"
        if not isinstance(data, Mapping):
            raise InvalidRecordError([f"{root}: expected an object"], "search space")
        problems: list[str] = [] if data else [f"{root}: must hold at least one parameter"]
        parameters: dict[str, Parameter] = {}
        for name, given in data.items():
            if not isinstance(name, str) or not name:
                problems.append(f"{root}: {name!r} is no name of a parameter")
                continue
            try:
                parameters[name] = _parameter(given)
            except InvalidRecordError as error:
                path = root + child_path(name)
                problems += [path + problem.removeprefix("$") for problem in error.problems]
        if problems:
            raise InvalidRecordError(problems, "search space")
        return cls(parameters)

    def problems(self, values: Mapping[str, Any]) -> list[str]:
        """What is wrong with ``values`` as one point of this space; empty when nothing is."""
        found = [f"{name} is missing" for name in self.parameters if name not in values]
        for name, value in values.items():
            parameter = self.parameters.get(name)
            if parameter is None:
                found.append(f"{name} is no parameter")
            elif not parameter.admits(value):
                found.append(f"{name} cannot be {value!r}")
        return found


def _parameter(data: Any) -> Parameter:
    if not isinstance(data, Mapping):
        raise InvalidRecordError(["$: expected an object with a type"])
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        got = "it is missing" if "type" not in data else f"got {str(kind)[:80]!r}"
        raise InvalidRecordError([f"$.type: must be one of {', '.join(_TYPES)}; {got}"])
    return structure(_TYPES[kind], data)
