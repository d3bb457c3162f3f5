"""Loading plugins so that a broken one costs a line, and looking up what the others offer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pluggy
from attrs import evolve, frozen

from tunix_core import hookspecs
from tunix_core.contributions import (
    KINDS,
    CommandContribution,
    Contribution,
    RegistryContribution,
    TrainerContribution,
)
from tunix_core.errors import UsageError
from tunix_core.plugins._discovery import Found, Selection, find, normalise

Status = Literal["active", "blocked", "failed_import", "invalid", "incompatible", "duplicate"]

# The hook that returns each kind of contribution.
_CONTRIBUTORS = {
    "source": "tunix_sources",
    "generator": "tunix_generators",
    "trainer": "tunix_trainers",
    "evaluator": "tunix_evaluators",
    "comparator": "tunix_comparators",
    "registry": "tunix_registries",
    "game": "tunix_games",
    "tuner": "tunix_tuners",
    "command": "tunix_commands",
}


@frozen
class PluginRecord:
    """What became of a plugin.

    Args:
        name: Name of its entry point.
        distribution: Normalised name of the distribution.
        version: Version of the distribution.
        module: The module it names.
        status: What became of it.
        error: Why it is not active, in one line.
        hooks: Names of the hooks it implements.
        contributions: Full names of what it offers, as ``kind distribution/name``.
        load_ms: Milliseconds that its import took.
    """

    name: str
    distribution: str
    version: str
    module: str
    status: Status
    error: str | None = None
    hooks: tuple[str, ...] = ()
    contributions: tuple[str, ...] = ()
    load_ms: float = 0.0


@frozen
class Provided:
    """A contribution with its provider.

    Args:
        full_name: ``distribution/name``.
        distribution: Who provides it.
        distribution_version: In which version.
        contribution: The descriptor.
    """

    full_name: str
    distribution: str
    distribution_version: str
    contribution: Contribution

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
        from tunix_core.errors import InvalidRecordError

        try:
            return structure(cls, dict(settings or {}))
        except InvalidRecordError as error:
            problems = "; ".join(p.removeprefix("$.").removeprefix("$: ") for p in error.problems)
            known = ", ".join(attribute.name for attribute in cls.__attrs_attrs__)
            raise UsageError(f"plugin {self.full_name}: {problems}", f"known: {known}") from None

    def config_class(self) -> Any:
        """The config class, or None."""
        return _resolve(self.contribution.config, self.full_name)

    def factory(self) -> Callable[..., Any]:
        """The factory itself."""
        factory: Callable[..., Any] = _resolve(self.contribution.factory, self.full_name)
        return factory

    def create(self, settings: Any = None) -> Any:
        """The object behind the contribution.

        Args:
            settings: As for :meth:`config`; for a registry, the directory it may use. A
                trainer takes none: its config comes with each job.
        """
        factory = self.factory()
        if isinstance(self.contribution, RegistryContribution):
            return factory(settings)
        if isinstance(self.contribution, TrainerContribution) or self.contribution.config is None:
            if settings:
                self.config(settings)
            return factory()
        return factory(self.config(settings))


class Plugins:
    """The plugins of one application; make one with :meth:`discover` or :meth:`of`."""

    def __init__(self) -> None:
        self.records: tuple[PluginRecord, ...] = ()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._provided: dict[str, dict[str, Provided]] = {kind: {} for kind in KINDS}
        self._providers: dict[str, tuple[str, str]] = {}

    @classmethod
    def discover(cls, selection: Selection | None = None) -> Plugins:
        """Load the installed plugins.

        A plugin that cannot be used is recorded and costs one line on standard error.

        Args:
            selection: Which to load; by default what ``TUNIX_PLUGINS`` says.

        Raises:
            UsageError: The selection names a plugin that is not installed.
        """
        chosen = Selection.from_environment() if selection is None else selection
        plugins = cls()
        found = find()
        chosen.check(found)
        # The core's own come first, so that nothing can take their names.
        plugins._admit([_load(p, chosen) for p in sorted(found, key=lambda p: not p.builtin)])
        plugins.records = tuple(sorted(plugins.records, key=lambda r: (r.distribution, r.name)))
        for record in plugins.records:
            if record.status not in ("active", "blocked"):
                print(_warning(record), file=sys.stderr)  # noqa: T201
        return plugins

    @classmethod
    def of(cls, *modules: object) -> Plugins:
        """Only the core's own plugin and ``modules``, without discovery; for tests.

        Raises:
            UsageError: One of them is not valid.
        """
        plugins = cls()
        loaded = []
        for module in (import_module("tunix_core.builtin"), *modules):
            name = getattr(module, "__name__", type(module).__name__)
            distribution = normalise(name.split(".")[0])
            loaded.append((PluginRecord(name, distribution, "0", name, "active"), module))
        plugins._admit(loaded)
        for record in plugins.records:
            if record.status != "active":
                raise UsageError(f"plugin {record.name}: {record.error}")
        return plugins

    def contributions(self, kind: str) -> list[Provided]:
        """Everything of a kind, sorted by full name."""
        return [self._provided[kind][name] for name in sorted(self._provided[kind])]

    def find(self, kind: str, name: str) -> Provided:
        """A contribution by its full name, or by its bare name.

        A bare name means the first-party one, else its only provider.

        Raises:
            UsageError: There is none, or several; with the candidates, and with the plugins
                that might have provided it but are broken.
        """
        provided = self._provided[kind]
        if name in provided:
            return provided[name]
        candidates = [full for full in sorted(provided) if full.split("/", 1)[1] == name]
        ours = [full for full in candidates if full.split("/", 1)[0] in _first_party()]
        chosen = ours or candidates
        if len(chosen) == 1:
            return provided[chosen[0]]
        if chosen:
            raise UsageError(
                f"{kind} {name!r} is offered by several plugins", f"say which: {', '.join(chosen)}"
            )
        raise UsageError(f"no {kind} is called {name!r}", self._hint(kind, name))

    def observe(self, hook_name: str, **arguments: Any) -> None:
        """Tell the observers; one that fails is reported on standard error and passed over."""
        for implementation in getattr(self._manager.hook, hook_name).get_hookimpls():
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                self._warn(implementation.plugin_name, hook_name, error)

    def collect(self, hook_name: str, **arguments: Any) -> list[tuple[PluginRecord, Any]]:
        """Ask the contributors of a plugin's own hook; none when no plugin declares the hook.

        Args:
            hook_name: Name of the hook.
            arguments: What it offers; an implementation may take fewer.

        Returns:
            Each plugin's record with what it returned, in the order of the records. One that
            fails is reported on standard error and left out; an iterator is run to its end.
        """
        caller = getattr(self._manager.hook, hook_name, None)
        implementations = (
            {} if caller is None else {i.plugin_name: i for i in caller.get_hookimpls()}
        )
        collected = []
        for record in self.records:
            implementation = implementations.get(_key(record))
            if implementation is None:
                continue
            try:
                returned: Any = implementation.function(
                    *(arguments[name] for name in implementation.argnames)
                )
                held = list(returned) if isinstance(returned, Iterator) else returned
            except Exception as error:
                self._warn(implementation.plugin_name, hook_name, error)
            else:
                collected.append((record, held))
        return collected

    def versions(self) -> dict[str, str]:
        """Versions of the active plugins' distributions, by name."""
        return {r.distribution: r.version for r in self.records if r.status == "active"}

    def _warn(self, key: str, hook_name: str, error: Exception) -> None:
        distribution, version = self._providers[key]
        warning = f"warning: {distribution} {version}: {hook_name}: {_say(error)}"
        print(warning, file=sys.stderr)  # noqa: T201

    def _admit(self, loaded: Sequence[tuple[PluginRecord, Any]]) -> None:
        """Register what was loaded, then look at what each plugin offers.

        Plugins with extension points of their own are registered first and nothing is examined
        before all are registered, so that a hook is known whatever its plugin is called.
        """
        records = [record for record, _ in loaded]
        active = [place for place, record in enumerate(records) if record.status == "active"]
        for place in sorted(active, key=lambda p: not hasattr(loaded[p][1], "tunix_hookspecs")):
            records[place] = self._register(loaded[place][1], records[place])
        for place in active:
            if records[place].status == "active":
                records[place] = self._accept(loaded[place][1], records[place])
        self.records = tuple(records)

    def _register(self, module: Any, record: PluginRecord) -> PluginRecord:
        key = _key(record)
        try:
            self._manager.register(module, name=key)
        except ValueError as error:
            return evolve(record, status="duplicate", error=str(error).splitlines()[0])
        except pluggy.PluginValidationError as error:
            return evolve(record, status="invalid", error=" ".join(str(error).split()))
        self._providers[key] = (record.distribution, record.version)
        try:
            self._add_hooks(key)
        except Exception as error:
            self._manager.unregister(name=key)
            return evolve(record, status="invalid", error=f"tunix_hookspecs failed: {_say(error)}")
        return record

    def _add_hooks(self, key: str) -> None:
        """Let a plugin bring extension points of its own."""
        for implementation in self._manager.hook.tunix_hookspecs.get_hookimpls():
            if implementation.plugin_name == key:
                specs_of_plugin: Any = implementation.function()
                for specs in specs_of_plugin:
                    self._manager.add_hookspecs(specs)

    def _accept(self, module: Any, record: PluginRecord) -> PluginRecord:
        """Take all that a registered plugin offers, or nothing of it."""
        key = _key(record)
        status, error_text, offered = self._examine(key, record)
        if error_text is not None:
            self._manager.unregister(name=key)
            return evolve(record, status=status, error=error_text)
        for provided in offered:
            self._provided[provided.contribution.kind][provided.full_name] = provided
        return evolve(
            record,
            hooks=tuple(sorted(c.name for c in self._manager.get_hookcallers(module) or ())),
            contributions=tuple(f"{p.contribution.kind} {p.full_name}" for p in offered),
        )

    def _examine(self, key: str, record: PluginRecord) -> tuple[Status, str | None, list[Provided]]:
        unknown = self._unknown_hook(key)
        if unknown is not None:
            return "invalid", unknown, []
        offered: list[Provided] = []
        taken = {kind: set(names) for kind, names in self._provided.items()}
        for kind, hook_name in _CONTRIBUTORS.items():
            for implementation in getattr(self._manager.hook, hook_name).get_hookimpls():
                if implementation.plugin_name != key:
                    continue
                try:
                    returned = list(implementation.function())
                except Exception as error:
                    return "invalid", f"{hook_name} failed: {_say(error)}", []
                for contribution in returned:
                    if not isinstance(contribution, KINDS[kind]):
                        kind_name = type(contribution).__name__
                        return "invalid", f"{hook_name} returned a {kind_name}", []
                    full = f"{record.distribution}/{contribution.name}"
                    clash = self._clash(contribution, full, taken[kind])
                    if clash is not None:
                        return "duplicate", clash, []
                    taken[kind].add(full)
                    offered.append(
                        Provided(full, record.distribution, record.version, contribution)
                    )
        return "active", None, offered

    def _clash(self, contribution: Contribution, full: str, taken: set[str]) -> str | None:
        if full in taken:
            return f"{contribution.kind} {full} is offered twice"
        if isinstance(contribution, CommandContribution):
            for other in sorted(taken):
                if other.split("/", 1)[1] == contribution.name:
                    return f"command {contribution.name!r} is provided by {other} already"
        return None

    def _unknown_hook(self, key: str) -> str | None:
        known = {name for name in dir(self._manager.hook) if not name.startswith("_")}
        pending = []
        for name in sorted(known):
            caller = getattr(self._manager.hook, name)
            if not caller.has_spec():
                mine = [i for i in caller.get_hookimpls() if i.plugin_name == key]
                pending += [name for i in mine if not i.optionalhook]
        if not pending:
            return None
        specified = [name for name in known if getattr(self._manager.hook, name).has_spec()]
        close = get_close_matches(pending[0], specified, n=1)
        return f"unknown hook {pending[0]!r}" + (f", did you mean {close[0]!r}?" if close else "")

    def _hint(self, kind: str, name: str) -> str:
        bare = sorted({full.split("/", 1)[1] for full in self._provided[kind]})
        distribution = normalise(name.split("/", 1)[0])
        for record in self.records:
            if record.distribution == distribution and record.status != "active":
                return f"plugin {distribution} is {record.status}: {record.error or 'by choice'}"
        close = get_close_matches(name, bare, n=1)
        known = f"known: {', '.join(bare)}" if bare else "none is installed; see: tunix-rt doctor"
        hint = f"did you mean {close[0]!r}?" if close else known
        broken = [r for r in self.records if r.error is not None]
        if broken:
            hint += "; not usable: " + ", ".join(f"{r.distribution}: {r.error}" for r in broken)
        return hint


def _load(plugin: Found, selection: Selection) -> tuple[PluginRecord, Any]:
    """Import a plugin's module, if it is selected and compatible; its record and the module."""
    record = PluginRecord(plugin.name, plugin.distribution, plugin.version, plugin.module, "active")
    if not selection.admits(plugin):
        return evolve(record, status="blocked"), None
    conflict = _core_conflict(plugin)
    if conflict is not None:
        return evolve(record, status="incompatible", error=conflict), None
    started = time.perf_counter()
    try:
        module = plugin.entry_point.load()
    # A module that ends the process when it is imported is broken too.
    except (Exception, SystemExit) as error:
        return evolve(record, status="failed_import", error=_say(error)), None
    return evolve(record, load_ms=round((time.perf_counter() - started) * 1000, 1)), module


def _key(record: PluginRecord) -> str:
    return f"{record.distribution}:{record.name}"


def _say(error: BaseException) -> str:
    """What went wrong, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _resolve(reference: Any, full_name: str) -> Any:
    """The object behind ``"module:attribute"``."""
    if not isinstance(reference, str):
        return reference
    module_name, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module_name), attribute)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{full_name} cannot be used: {reference}: {_say(error)}",
            f"its plugin's installation is incomplete; see: tunix-rt plugins check {full_name}",
        ) from error


def _core_conflict(plugin: Found) -> str | None:
    """Why a distribution's own requirements exclude this version of the core, or None."""
    needs = [text for text in plugin.requires if normalise(text[:10]).startswith("tunix-core")]
    if not needs:
        return None
    from importlib.metadata import version

    from packaging.requirements import InvalidRequirement, Requirement

    ours = version("tunix-core")
    for text in needs:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return f"its requirement {text!r} cannot be read"
        if normalise(requirement.name) != "tunix-core":
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and not requirement.specifier.contains(ours, prereleases=True):
            return f"it needs {requirement.name}{requirement.specifier}, this is {ours}"
    return None


def _warning(record: PluginRecord) -> str:
    return (
        f"warning: plugin {record.distribution} {record.version} is not used "
        f"({record.status}): {record.error}; start with --no-plugins={record.distribution} "
        f"or remove it: pip uninstall {record.distribution}"
    )


def _first_party() -> frozenset[str]:
    path = Path(__file__).parent.parent / "first_party.json"
    return frozenset(json.loads(path.read_text(encoding="utf-8")))
