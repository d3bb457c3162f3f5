"""The descriptors that plugins return from hooks: names and summaries now, code when asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Attribute, field, frozen

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")


def _name(_: object, attribute: Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not NAME_PATTERN.fullmatch(value):
        raise ValueError(
            f"{attribute.name} {value!r}: use lower-case letters, digits, '.', '_' and '-'"
        )


@frozen(kw_only=True)
class Contribution:
    """One thing a plugin offers.

    Args:
        name: Name within its distribution; the full name is ``distribution/name``.
        summary: One line for lists and help.
        factory: ``"module:attribute"`` or a callable. Called with the config instance when
            there is a config class, else without arguments; returns the object.
        config: ``"module:attribute"`` or an attrs class with the settings, or None.
        version: Version of its behaviour; recorded with everything it makes.
    """

    kind = "contribution"

    name: str = field(validator=_name)
    summary: str
    factory: str | Callable[..., Any]
    config: str | type | None = None
    version: str = "1"


@frozen(kw_only=True)
class SourceContribution(Contribution):
    """A reader of traces; makes a :class:`~tunix_core.protocols.Source`.

    Args:
        suffixes: File endings it reads, such as ``(".jsonl", ".jsonl.gz")``.
    """

    kind = "source"
    suffixes: tuple[str, ...] = ()


@frozen(kw_only=True)
class GeneratorContribution(Contribution):
    """A maker of items; makes a :class:`~tunix_core.protocols.Generator`."""

    kind = "generator"


@frozen(kw_only=True)
class TrainerContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Trainer`; its config class is the run's config.

    Args:
        request_fields: The setting that obeys a field of a
            :class:`~tunix_core.runs.requests.TrainingRequest`, where their names differ.
        execution_settings: Settings that say how a run is executed and leave what comes out of it
            as it is. A request that differs in them alone is the same run, see
            :meth:`~tunix_core.runs.Runs.create_or_resume`.
    """

    kind = "trainer"
    request_fields: Mapping[str, str] = field(factory=dict)
    execution_settings: tuple[str, ...] = ()


@frozen(kw_only=True)
class EvaluatorContribution(Contribution):
    """Makes an :class:`~tunix_core.protocols.Evaluator`.

    Args:
        grade: False when its numbers say nothing about the model, such as those of a stand-in;
            they stay off the leaderboard unless it is asked for by name.
    """

    kind = "evaluator"
    grade: bool = True


@frozen(kw_only=True)
class ComparatorContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Comparator`."""

    kind = "comparator"


@frozen(kw_only=True)
class RegistryContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Registry`; called with the directory it may use."""

    kind = "registry"


@frozen(kw_only=True)
class GameContribution(Contribution):
    """A game whose episodes become traces; makes a :class:`~tunix_core.protocols.Game`."""

    kind = "game"


@frozen(kw_only=True)
class TunerContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Tuner`."""

    kind = "tuner"


@frozen(kw_only=True)
class CommandContribution(Contribution):
    """A click command or group for the ``tunix-rt`` command line; ``factory`` names it."""

    kind = "command"


KINDS: dict[str, type[Contribution]] = {
    cls.kind: cls
    for cls in (
        SourceContribution,
        GeneratorContribution,
        TrainerContribution,
        EvaluatorContribution,
        ComparatorContribution,
        RegistryContribution,
        GameContribution,
        TunerContribution,
        CommandContribution,
    )
}
