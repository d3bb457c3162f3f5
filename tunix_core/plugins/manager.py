"""The plugins of one application: found, loaded, registered, checked, looked up, told."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import pluggy
from attrs import evolve

from tunix_core import hookspecs
from tunix_core.contributions import C, Kind, T
from tunix_core.errors import UsageError, one_line
from tunix_core.plugins.checks import RefusedError, offers
from tunix_core.plugins.discovery import Selection, find, normalise
from tunix_core.plugins.loading import PluginRecord, load, warning
from tunix_core.plugins.lookup import Lookup, Provided


class Plugins:
    """The plugins of one application; make one with :meth:`discover` or :meth:`of`."""

    def __init__(self) -> None:
        self.records: tuple[PluginRecord, ...] = ()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._lookup = Lookup()

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
        plugins._admit([load(p, chosen) for p in sorted(found, key=lambda p: not p.builtin)])
        plugins.records = tuple(sorted(plugins.records, key=lambda r: (r.distribution, r.name)))
        for record in plugins.records:
            if record.status not in ("active", "blocked"):
                _say(warning(record))
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

    def all(self, kind: Kind[T, C]) -> list[Provided[T, C]]:
        """Everything of a kind, sorted by full name."""
        return self._lookup.all(kind)

    def find(self, kind: Kind[T, C], name: str) -> Provided[T, C]:
        """A contribution by its full name, or by its bare name.

        A bare name means the first-party one, else its only provider; ``default`` means what is
        the default of its kind.

        Raises:
            UsageError: There is none, or several; with the candidates, and with the plugins
                that might have provided it but are broken.
        """
        return self._lookup.find(kind, name, self.records)

    def observe(self, hook_name: str, **arguments: Any) -> None:
        """Tell the observers; one that fails is reported on standard error and passed over."""
        for implementation in getattr(self._manager.hook, hook_name).get_hookimpls():
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:
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
            implementation = implementations.get(record.key)
            if implementation is None:
                continue
            try:
                returned: Any = implementation.function(
                    *(arguments[name] for name in implementation.argnames)
                )
                held = list(returned) if isinstance(returned, Iterator) else returned
            except (Exception, SystemExit) as error:
                self._warn(implementation.plugin_name, hook_name, error)
            else:
                collected.append((record, held))
        return collected

    def versions(self) -> dict[str, str]:
        """Versions of the active plugins' distributions, by name."""
        return {r.distribution: r.version for r in self.records if r.status == "active"}

    def _warn(self, key: str, hook_name: str, error: BaseException) -> None:
        record = next(record for record in self.records if record.key == key)
        whose = f"{record.distribution} {record.version}"
        _say(f"warning: {whose}: {hook_name}: {one_line(error)}")

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
        try:
            self._manager.register(module, name=record.key)
        except ValueError as error:
            return evolve(record, status="duplicate", error=str(error).splitlines()[0])
        except pluggy.PluginValidationError as error:
            return evolve(record, status="invalid", error=" ".join(str(error).split()))
        try:
            self._add_hooks(record.key)
        except (Exception, SystemExit) as error:
            self._manager.unregister(name=record.key)
            reason = f"tunix_hookspecs failed: {one_line(error)}"
            return evolve(record, status="invalid", error=reason)
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
        try:
            offered = offers(self._manager, record, self._lookup)
        except RefusedError as refused:
            self._manager.unregister(name=record.key)
            return evolve(record, status=refused.status, error=str(refused))
        self._lookup.add(offered)
        return evolve(
            record,
            hooks=tuple(sorted(c.name for c in self._manager.get_hookcallers(module) or ())),
            contributions=tuple(f"{p.kind.name} {p.full_name}" for p in offered),
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
