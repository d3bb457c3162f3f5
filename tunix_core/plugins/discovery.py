"""Finding plugins by metadata alone, and choosing which of them to load."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import Distribution, EntryPoint, distributions

from attrs import frozen

from tunix_core.errors import UsageError

GROUP = "tunix_core"
BUILTIN = "builtin"


def normalise(name: str) -> str:
    """A distribution's name in the one form that all spellings of it share (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@frozen
class Found:
    """An entry point that was found; nothing of it is imported yet.

    Args:
        name: Name of the entry point.
        module: Module that it names.
        distribution: Normalised name of the distribution.
        version: Version of the distribution.
        requires: Its requirements, as in its metadata.
        entry_point: Loads the module.
    """

    name: str
    module: str
    distribution: str
    version: str
    requires: tuple[str, ...]
    entry_point: EntryPoint

    @property
    def builtin(self) -> bool:
        return self.distribution == "tunix-core" and self.name == BUILTIN

    @property
    def aliases(self) -> tuple[str, str, str]:
        """The names that people may call it by."""
        return (self.distribution, self.name, self.module)


def find() -> list[Found]:
    """Every entry point of the group, sorted by distribution and name.

    Of two copies of a distribution on the path, the first counts, as it does for imports.
    """
    seen: set[str] = set()
    found: list[Found] = []
    for distribution in distributions():
        entry_points = [ep for ep in distribution.entry_points if ep.group == GROUP]
        if not entry_points:
            continue
        # What an interrupted installation leaves behind has no metadata; pip ignores it too.
        name = normalise(distribution.metadata["Name"] or "")
        if name and name not in seen:
            seen.add(name)
            found += [_describe(distribution, name, ep) for ep in entry_points]
    return sorted(found, key=lambda plugin: (plugin.distribution, plugin.name))


def _describe(distribution: Distribution, name: str, entry_point: EntryPoint) -> Found:
    return Found(
        name=entry_point.name,
        module=entry_point.value,
        distribution=name,
        version=distribution.version,
        requires=tuple(distribution.requires or ()),
        entry_point=entry_point,
    )


@frozen
class Selection:
    """Which plugins to load; each name is a distribution, an entry point or a module.

    Args:
        allow: Only these, or None for all.
        block: Never these.
    """

    allow: frozenset[str] | None = None
    block: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Selection:
        """``a,b`` loads only those, ``-a`` blocks one, the empty text loads none.

        Example: ``Selection.parse("-acme-plugin")``
        """
        names = [name.strip() for name in text.split(",") if name.strip()]
        block = frozenset(name[1:] for name in names if name.startswith("-"))
        allow = frozenset(name for name in names if not name.startswith("-"))
        return cls(None if block and not allow else allow, block)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Selection:
        """What ``TUNIX_PLUGINS`` says; everything when it is not set."""
        text = environment.get("TUNIX_PLUGINS")
        return cls() if text is None else cls.parse(text)

    def without(self, names: Iterable[str]) -> Selection:
        """The same, blocking ``names`` too."""
        return Selection(self.allow, self.block | frozenset(names))

    def check(self, found: Iterable[Found]) -> None:
        """Refuse names that no installed plugin has.

        Raises:
            UsageError: With the closest name.
        """
        known = sorted({alias for plugin in found for alias in plugin.aliases})
        spelt = {_spelling(alias) for alias in known}
        for name in sorted((self.allow or frozenset()) | self.block):
            if _spelling(name) not in spelt:
                close = get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else "see: tunix-rt plugins list"
                raise UsageError(f"no installed plugin is called {name!r}", hint)

    def admits(self, plugin: Found) -> bool:
        """Whether to load it; the core's own contributions are always there."""
        if plugin.builtin:
            return True
        aliases = {_spelling(alias) for alias in plugin.aliases}
        if aliases & {_spelling(name) for name in self.block}:
            return False
        return self.allow is None or bool(aliases & {_spelling(name) for name in self.allow})


def _spelling(name: str) -> str:
    return name.replace("_", "-").lower()
