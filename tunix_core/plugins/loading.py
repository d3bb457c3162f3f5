"""Importing plugins, so that a broken one costs a line."""

from __future__ import annotations

import time
from typing import Any, Literal

from attrs import evolve, frozen

from tunix_core.errors import one_line
from tunix_core.plugins.discovery import Found, Selection, normalise

Status = Literal["active", "blocked", "failed_import", "invalid", "incompatible", "duplicate"]


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

    @property
    def key(self) -> str:
        """Under which it is registered: no other plugin has the same."""
        return f"{self.distribution}:{self.name}"


def load(plugin: Found, selection: Selection) -> tuple[PluginRecord, Any]:
    """Import a plugin's module, if it is selected and compatible; its record and the module."""
    record = PluginRecord(plugin.name, plugin.distribution, plugin.version, plugin.module, "active")
    if not selection.admits(plugin):
        return evolve(record, status="blocked"), None
    conflict = core_conflict(plugin)
    if conflict is not None:
        return evolve(record, status="incompatible", error=conflict), None
    started = time.perf_counter()
    try:
        module = plugin.entry_point.load()
    # A module that ends the process when it is imported is broken too.
    except (Exception, SystemExit) as error:
        return evolve(record, status="failed_import", error=one_line(error)), None
    return evolve(record, load_ms=round((time.perf_counter() - started) * 1000, 1)), module


def core_conflict(plugin: Found) -> str | None:
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


def warning(record: PluginRecord) -> str:
    """The line that a plugin costs which cannot be used."""
    return (
        f"warning: plugin {record.distribution} {record.version} is not used "
        f"({record.status}): {record.error}; start with --no-plugins={record.distribution} "
        f"or remove it: pip uninstall {record.distribution}"
    )
