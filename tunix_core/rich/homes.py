"""The workspaces that were opened in this kernel, and which of them a record is in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tunix_core.base.paths import WorkspacePaths
from tunix_core.plugins import Plugins

if TYPE_CHECKING:
    from tunix_core.evaluation.shown_steps import ShownSteps


class Home:
    """What pictures need of a workspace, which may be closed or gone by then.

    Args:
        paths: Its directories.
        plugins: Its plugins.
    """

    def __init__(self, paths: WorkspacePaths, plugins: Plugins) -> None:
        self.paths = paths
        self._plugins = plugins

    @cached_property
    def shown_steps(self) -> ShownSteps:
        from tunix_core.evaluation.shown_steps import ShownSteps

        return ShownSteps(self._plugins)


_HOMES: dict[Path, Home] = {}


def remember(paths: WorkspacePaths, plugins: Plugins) -> None:
    """Let the records of a workspace be found; the one opened last is asked first."""
    _HOMES.pop(paths.root, None)
    _HOMES[paths.root] = Home(paths, plugins)


def home_of(is_in: Callable[[WorkspacePaths], bool]) -> Home | None:
    """The workspace that a record is in; of a copy and its original the one opened last.

    Args:
        is_in: Whether the record is in the workspace of these directories.
    """

    def holds(home: Home) -> bool:
        try:
            return is_in(home.paths)
        # A workspace with damaged files must not keep the others from being asked.
        except Exception:
            return False

    return next(filter(holds, reversed(_HOMES.values())), None)
