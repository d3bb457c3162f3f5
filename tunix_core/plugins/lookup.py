"""What the usable plugins offer: found by name, and made into objects that are checked once."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from attrs import frozen

from tunix_core.contributions import DEFAULT, C, Kind, T
from tunix_core.errors import InvalidRecordError, TunixError, UsageError, one_line
from tunix_core.plugins.discovery import normalise
from tunix_core.plugins.loading import PluginRecord

if TYPE_CHECKING:
    from tunix_core.contributions import EvaluatorContribution, TrainerContribution
    from tunix_core.protocols import Evaluator, Tools, Trainer


@frozen
class Provided(Generic[T, C]):
    """A contribution with its provider.

    Args:
        kind: What it is.
        contribution: The descriptor.
        distribution: Who provides it.
        distribution_version: In which version.
    """

    kind: Kind[T, C]
    contribution: C
    distribution: str
    distribution_version: str

    @property
    def full_name(self) -> str:
        """``distribution/name``."""
        return f"{self.distribution}/{self.contribution.name}"

    @property
    def bare_name(self) -> str:
        """Its name without that of its distribution."""
        return self.contribution.name

    def config(self, settings: Any = None) -> Any:
        """An instance of the config class, or None when there is no class.

        Args:
            settings: A mapping of settings, an instance already, or None for the defaults.

        Raises:
            UsageError: Every setting that was refused, as ``plugin X: key: message``.
        """
        cls = self.config_class()
        if cls is None:
            if settings:
                raise UsageError(f"{self.full_name} has no settings")
            return None
        if isinstance(settings, cls):
            return settings
        from tunix_core.codec import structure

        try:
            return structure(cls, dict(settings or {}))
        except InvalidRecordError as error:
            problems = "; ".join(p.removeprefix("$.").removeprefix("$: ") for p in error.problems)
            known = ", ".join(attribute.name for attribute in cls.__attrs_attrs__)
            raise UsageError(f"plugin {self.full_name}: {problems}", f"known: {known}") from None

    def config_class(self) -> Any:
        """The config class, or None."""
        return self._resolve(self.contribution.config)

    def factory(self) -> Callable[..., Any]:
        """The factory itself."""
        factory: Callable[..., Any] = self._resolve(self.contribution.factory)
        return factory

    def create(
        self,
        settings: Any = None,
        *,
        directory: Path | None = None,
        tools: Tools | None = None,
    ) -> T:
        """The object behind the contribution.

        Args:
            settings: As for :meth:`config`; what takes no config has them checked all the same.
            directory: What a registry may use, or an evaluator that keeps a cache.
            tools: What an evaluator that asks for them may use; without them it does what it can
                do alone.

        Raises:
            UsageError: A setting was refused, or the plugin's installation is incomplete.
            TunixError: What the factory made is not what its kind promises.
        """
        factory, takes = self.factory(), self.contribution.takes
        if takes == "itself":
            return self._checked(factory)
        if takes == "directory":
            return self._checked(factory(directory))
        arguments: list[Any] = []
        if takes != "nothing" and self.contribution.config is not None:
            arguments.append(self.config(settings))
        elif settings:
            self.config(settings)
        asked = {"keeps_cache": ("directory", directory), "tools": ("tools", tools)}
        handed = [given for name, given in asked.items() if getattr(self.contribution, name, False)]
        return self._checked(factory(*arguments, **dict(handed)))

    def _checked(self, made: Any) -> T:
        problem = _mismatch(made, self.kind.protocol)
        if problem is None:
            return cast(T, made)
        raise TunixError(
            f"{self.full_name} is no {self.kind.name}: {problem}",
            f"{self.distribution} {self.distribution_version} may be made for another version of "
            "tunix-core, see CHANGELOG.md",
        )

    def _resolve(self, reference: Any) -> Any:
        """The object behind ``"module:attribute"``."""
        if not isinstance(reference, str):
            return reference
        module_name, _, attribute = reference.partition(":")
        try:
            return getattr(import_module(module_name), attribute)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            name = self.full_name
            raise UsageError(
                f"{name} cannot be used: {reference}: {one_line(error)}",
                f"its plugin's installation is incomplete; see: tunix-rt plugins check {name}",
            ) from error


ProvidedTrainer: TypeAlias = "Provided[Trainer, TrainerContribution]"
ProvidedEvaluator: TypeAlias = "Provided[Evaluator, EvaluatorContribution]"


class Lookup:
    """Everything that was accepted, by kind and full name."""

    def __init__(self) -> None:
        self._provided: dict[str, dict[str, Provided[Any, Any]]] = {}

    def add(self, offered: Iterable[Provided[Any, Any]]) -> None:
        """Accept what a plugin offers."""
        for provided in offered:
            self._provided.setdefault(provided.kind.name, {})[provided.full_name] = provided

    def all(self, kind: Kind[T, C]) -> list[Provided[T, C]]:
        """Everything of a kind, sorted by full name."""
        held = self._provided.get(kind.name, {})
        return [held[name] for name in sorted(held)]

    def find(self, kind: Kind[T, C], name: str, records: Sequence[PluginRecord]) -> Provided[T, C]:
        """A contribution by its full name, or by its bare name.

        Args:
            kind: What is looked for.
            name: Its name; ``default`` is what the environment variable ``TUNIX_KIND`` names, as
                in ``TUNIX_TRAINER``, else what says that it is the default, else the only one.
            records: What became of each plugin, for the error.

        Raises:
            UsageError: There is none, or several.
        """
        held = self.all(kind)
        if name == DEFAULT:
            named = os.environ.get(f"TUNIX_{kind.name.upper()}") or DEFAULT
            if named != DEFAULT:
                return self.find(kind, named, records)
            return _only(kind, [p for p in held if p.contribution.default] or held, records)
        exact = [provided for provided in held if provided.full_name == name]
        candidates = exact or [provided for provided in held if provided.bare_name == name]
        chosen = _ours(candidates)
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            raise UsageError(f"{kind.name} {name!r} is offered by several plugins", _which(chosen))
        bare = sorted({provided.bare_name for provided in held})
        raise UsageError(f"no {kind.name} is called {name!r}", _hint(name, bare, records))


def _only(
    kind: Kind[T, C], candidates: list[Provided[T, C]], records: Sequence[PluginRecord]
) -> Provided[T, C]:
    """The one that is meant where none is named."""
    chosen = _ours(candidates)
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        variable = f"TUNIX_{kind.name.upper()}"
        hint = f"{_which(chosen)}, or set {variable}"
        raise UsageError(f"no {kind.name} is named, and there are several", hint)
    hint = _hint("", [], records)
    raise UsageError(f"there is no {kind.name}", hint)


def _ours(candidates: list[Provided[T, C]]) -> list[Provided[T, C]]:
    """Those of the first-party distributions, if there are any."""
    ours = first_party()
    return [p for p in candidates if p.distribution in ours] or candidates


def _which(candidates: Sequence[Provided[Any, Any]]) -> str:
    return f"say which: {', '.join(provided.full_name for provided in candidates)}"


def first_party() -> dict[str, str | None]:
    """The distributions whose contributions a bare name means first, and what each is for.

    Those without a purpose are the core itself, and names that are kept for later.
    """
    path = Path(__file__).parent.parent / "first_party.json"
    held: dict[str, str | None] = json.loads(path.read_text(encoding="utf-8"))
    return held


def _hint(name: str, bare: Sequence[str], records: Sequence[PluginRecord]) -> str:
    distribution = normalise(name.split("/", 1)[0])
    for record in records:
        if record.distribution == distribution and record.status != "active":
            return f"plugin {distribution} is {record.status}: {record.error or 'by choice'}"
    close = get_close_matches(name, bare, n=1)
    known = f"known: {', '.join(bare)}" if bare else "none is installed; see: tunix-rt doctor"
    hint = f"did you mean {close[0]!r}?" if close else known
    broken = [r for r in records if r.error is not None]
    if broken:
        hint += "; not usable: " + ", ".join(f"{r.distribution}: {r.error}" for r in broken)
    return hint


def _mismatch(made: Any, protocol: type) -> str | None:
    """Why ``made`` does not do what ``protocol`` says, or None."""
    described = f"its factory made a {type(made).__name__}"
    if not getattr(protocol, "_is_protocol", False):
        return None if isinstance(made, protocol) else described
    for name, promised in vars(protocol).items():
        if name.startswith("_"):
            continue
        if not hasattr(made, name):
            return f"{described}, which has no {name}"
        if inspect.isfunction(promised) and not _accepts(getattr(made, name), promised):
            wanted = ", ".join([*inspect.signature(promised).parameters][1:])
            return f"{described}, whose {name} does not take ({wanted})"
    return None


def _accepts(method: Any, promised: Callable[..., Any]) -> bool:
    """Whether a method can be called as its protocol says: with so many arguments by position."""
    if not callable(method):
        return False
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        # Of a method in C nothing is known.
        return True
    try:
        signature.bind(*[...] * (len(inspect.signature(promised).parameters) - 1))
    except TypeError:
        return False
    return True
