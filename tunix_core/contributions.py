"""What plugins offer, a kind each: the descriptor that a hook returns, and what is behind it.

A descriptor holds names and summaries; code is imported when it is asked for. :data:`KINDS` is
the only list of kinds: hooks, look-up, checks, conformance suites, ``tunix-rt plugins`` and the
reference pages are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from attrs import Attribute, field, frozen

if TYPE_CHECKING:
    import click

    from tunix_core.protocols import (
        Comparator,
        Evaluator,
        Executor,
        Game,
        Generator,
        Registry,
        Source,
        Trainer,
        Tuner,
    )
    from tunix_core.records import RecordKind

# What a factory is called with: the config instance where there is a config class, nothing, a
# directory that it may use; or not at all, since it is the thing itself.
Takes = Literal["config", "nothing", "directory", "itself"]

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
            there is a config class, else without arguments; returns the object. Some kinds call
            it otherwise, as they say.
        config: ``"module:attribute"`` or an attrs class with the settings, or None.
        version: Version of its behaviour; recorded with everything it makes.
        default: Whether it is meant where none of its kind is named.
    """

    takes: ClassVar[Takes] = "config"

    name: str = field(validator=_name)
    summary: str
    factory: str | Callable[..., Any]
    config: str | type | None = None
    version: str = "1"
    default: bool = False


@frozen(kw_only=True)
class SourceContribution(Contribution):
    """A reader of traces; makes a :class:`~tunix_core.protocols.Source`.

    Args:
        suffixes: File endings it reads, such as ``(".jsonl", ".jsonl.gz")``.
    """

    suffixes: tuple[str, ...] = ()


@frozen(kw_only=True)
class GeneratorContribution(Contribution):
    """A maker of items; makes a :class:`~tunix_core.protocols.Generator`."""


def _folders(_: object, attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for name in value:
        if not NAME_PATTERN.fullmatch(name):
            raise ValueError(f"{attribute.name}: {name!r} is no name of a folder")


@frozen(kw_only=True)
class TrainerContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Trainer`; its config class is the run's config.

    The factory is called without arguments, since a config comes with each job.

    Args:
        request_fields: The setting that obeys a field of a
            :class:`~tunix_core.records.TrainingRequest`, where their names differ.
        execution_settings: Settings that say how a run is executed and leave what comes out of it
            as it is. A request that differs in them alone is the same run, see
            :meth:`~tunix_core.runs.Runs.create_or_resume`.
        reads: What the lines of each data that it can use hold, by what the data is for;
            ``train`` is always there. A run with other data is refused when it is created.
        leaves: Folders of its results in a run's directory; a submission takes them all.
        scratch: Folders that it keeps for itself there.
        figure: The figure that every step reports, such as the loss that it minimises.
    """

    takes: ClassVar[Takes] = "nothing"

    request_fields: Mapping[str, str] = field(factory=dict)
    execution_settings: tuple[str, ...] = ()
    reads: Mapping[str, RecordKind] = field(factory=lambda: {"train": "trace", "eval": "trace"})
    leaves: tuple[str, ...] = field(default=("model",), validator=_folders)
    scratch: tuple[str, ...] = field(default=("checkpoints",), validator=_folders)
    figure: str = "loss"


@frozen(kw_only=True)
class EvaluatorContribution(Contribution):
    """Makes an :class:`~tunix_core.protocols.Evaluator`.

    Args:
        grade: False when its numbers say nothing about the model, such as those of a stand-in;
            they stay off the leaderboard unless it is asked for by name.
        tools: Whether its factory takes the other plugins of the same workspace, a
            :class:`~tunix_core.protocols.Tools`, as the keyword ``tools``.
        keeps_cache: Whether its factory takes a directory for what it need not ask again, or
            None, as the keyword ``directory``.
    """

    grade: bool = True
    tools: bool = False
    keeps_cache: bool = False


@frozen(kw_only=True)
class ComparatorContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Comparator`."""


@frozen(kw_only=True)
class RegistryContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Registry`; called with the directory it may use."""

    takes: ClassVar[Takes] = "directory"


@frozen(kw_only=True)
class GameContribution(Contribution):
    """A game whose episodes become traces; makes a :class:`~tunix_core.protocols.Game`."""


@frozen(kw_only=True)
class TunerContribution(Contribution):
    """Makes a :class:`~tunix_core.protocols.Tuner`."""


@frozen(kw_only=True)
class ExecutorContribution(Contribution):
    """What starts processes, here or elsewhere; makes an
    :class:`~tunix_core.protocols.Executor`.
    """


@frozen(kw_only=True)
class CommandContribution(Contribution):
    """A click command or group for the ``tunix-rt`` command line; ``factory`` names it."""

    takes: ClassVar[Takes] = "itself"


@frozen
class Finding:
    """One line of what ``tunix-rt doctor`` says.

    Args:
        what: The thing that was looked at.
        state: ``good``, ``missing`` (optional) or ``bad``.
        found: What was found, or what to do.
    """

    what: str
    state: Literal["good", "missing", "bad"]
    found: str


# The name that means whatever is the default of its kind.
DEFAULT = "default"


def bare_name(full_name: str) -> str:
    """``name`` of ``distribution/name``."""
    return full_name.split("/", 1)[1]


T = TypeVar("T")
C = TypeVar("C", bound=Contribution)


@frozen
class Kind(Generic[T, C]):
    """A kind of thing that plugins offer.

    Args:
        name: What it is called in messages and lists; its conformance suite is the module of
            this name in :mod:`tunix_core.testing`.
        hook: The hook whose implementations return its descriptors.
        descriptor: Class of the descriptors.
        reference: ``"module:attribute"`` of what the factory makes an instance of.
        documentation: What the hook is for, with an example.
    """

    name: str
    hook: str
    descriptor: type[C]
    reference: str
    documentation: str

    @property
    def protocol(self) -> type[T]:
        """What the factory makes an instance of; imported when it is asked for."""
        module, _, attribute = self.reference.partition(":")
        found: type[T] = getattr(import_module(module), attribute)
        return found


SOURCE: Kind[Source, SourceContribution] = Kind(
    "source",
    "tunix_sources",
    SourceContribution,
    "tunix_core.protocols:Source",
    """Readers of traces.

    Example::

        @hookimpl
        def tunix_sources():
            return [
                SourceContribution(
                    name="csv",
                    summary="Traces from CSV",
                    factory="acme.csv:CsvSource",
                    suffixes=(".csv",),
                )
            ]
    """,
)
GENERATOR: Kind[Generator, GeneratorContribution] = Kind(
    "generator",
    "tunix_generators",
    GeneratorContribution,
    "tunix_core.protocols:Generator",
    """Makers of items.

    Example::

        @hookimpl
        def tunix_generators():
            return [
                GeneratorContribution(
                    name="sums",
                    summary="Sums of two numbers",
                    factory="acme.sums:Sums",
                    config="acme.sums:SumsConfig",
                )
            ]
    """,
)
TRAINER: Kind[Trainer, TrainerContribution] = Kind(
    "trainer",
    "tunix_trainers",
    TrainerContribution,
    "tunix_core.protocols:Trainer",
    """Trainers; the config class is the run's configuration.

    Example::

        @hookimpl
        def tunix_trainers():
            return [
                TrainerContribution(
                    name="jax",
                    summary="JAX trainer",
                    factory="acme.trainer:Trainer",
                    config="acme.config:TrainerConfig",
                )
            ]
    """,
)
EVALUATOR: Kind[Evaluator, EvaluatorContribution] = Kind(
    "evaluator",
    "tunix_evaluators",
    EvaluatorContribution,
    "tunix_core.protocols:Evaluator",
    """Judges of completions.

    Example::

        @hookimpl
        def tunix_evaluators():
            return [
                EvaluatorContribution(
                    name="brevity",
                    summary="Short answers score higher",
                    factory="acme.brevity:Brevity",
                    version="1",
                )
            ]
    """,
)
COMPARATOR: Kind[Comparator, ComparatorContribution] = Kind(
    "comparator",
    "tunix_comparators",
    ComparatorContribution,
    "tunix_core.protocols:Comparator",
    """Regression comparators.

    Example::

        @hookimpl
        def tunix_comparators():
            return [
                ComparatorContribution(
                    name="lower-is-better",
                    summary="For losses",
                    factory="acme.compare:LowerIsBetter",
                )
            ]
    """,
)
REGISTRY: Kind[Registry, RegistryContribution] = Kind(
    "registry",
    "tunix_registries",
    RegistryContribution,
    "tunix_core.protocols:Registry",
    """Model registries; the factory is called with the directory it may use.

    Example::

        @hookimpl
        def tunix_registries():
            return [
                RegistryContribution(
                    name="local",
                    summary="Files by content",
                    factory="acme.registry:LocalRegistry",
                )
            ]
    """,
)
GAME: Kind[Game, GameContribution] = Kind(
    "game",
    "tunix_games",
    GameContribution,
    "tunix_core.protocols:Game",
    """Games that write traces of how they are played.

    Example::

        @hookimpl
        def tunix_games():
            return [
                GameContribution(
                    name="coin-toss",
                    summary="Heads or tails",
                    factory="acme.games:CoinToss",
                )
            ]
    """,
)
TUNER: Kind[Tuner, TunerContribution] = Kind(
    "tuner",
    "tunix_tuners",
    TunerContribution,
    "tunix_core.protocols:Tuner",
    """Searchers of settings.

    Example::

        @hookimpl
        def tunix_tuners():
            return [
                TunerContribution(
                    name="grid",
                    summary="Every combination in turn",
                    factory="acme.tuners:Grid",
                )
            ]
    """,
)
EXECUTOR: Kind[Executor, ExecutorContribution] = Kind(
    "executor",
    "tunix_executors",
    ExecutorContribution,
    "tunix_core.protocols:Executor",
    """What starts the processes in which models run, on this machine or on others.

    Example::

        @hookimpl
        def tunix_executors():
            return [
                ExecutorContribution(
                    name="cluster",
                    summary="Jobs of the batch system",
                    factory="acme.cluster:Executor",
                    config="acme.cluster:ClusterConfig",
                )
            ]
    """,
)
COMMAND: Kind[click.Command, CommandContribution] = Kind(
    "command",
    "tunix_commands",
    CommandContribution,
    "click:Command",
    """Commands and groups below ``tunix-rt``.

    Example::

        @hookimpl
        def tunix_commands():
            return [
                CommandContribution(
                    name="report",
                    summary="Write a report",
                    factory="acme.cli:report",
                )
            ]
    """,
)

KINDS: tuple[Kind[Any, Any], ...] = (
    SOURCE,
    GENERATOR,
    TRAINER,
    EVALUATOR,
    COMPARATOR,
    REGISTRY,
    GAME,
    TUNER,
    EXECUTOR,
    COMMAND,
)
