"""The workspaces that were opened in this kernel, and which of them a record is in."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from tunix_core.base.paths import WorkspacePaths
from tunix_core.datasets.files import MANIFEST
from tunix_core.datasets.reading import outline
from tunix_core.evaluation.shown_steps import ShownSteps
from tunix_core.plugins import Plugins
from tunix_core.records import DatasetManifest, Evaluation, Run

Displayed = DatasetManifest | Run | Evaluation


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
        return ShownSteps(self._plugins)

    def holds(self, record: Displayed) -> bool:
        """Whether a record is of this workspace, by files that it has from the beginning."""
        if isinstance(record, Run):
            return self.paths.run(record.id).is_dir()
        if isinstance(record, Evaluation):
            return (self.paths.root / record.items_path).is_file()
        manifest = self.paths.dataset(record.dataset_key) / MANIFEST
        # The same key may be that of other data elsewhere.
        return manifest.is_file() and outline(manifest).get("build_id") == record.build_id


_HOMES: dict[Path, Home] = {}


def remember(paths: WorkspacePaths, plugins: Plugins) -> None:
    """Let the records of a workspace be found; the one opened last is asked first."""
    _HOMES.pop(paths.root, None)
    _HOMES[paths.root] = Home(paths, plugins)


def home_of(record: Displayed) -> Home | None:
    """The workspace that a record is in; of a copy and its original the one opened last."""
    return next((home for home in reversed(_HOMES.values()) if _holds(home, record)), None)


def _holds(home: Home, record: Displayed) -> bool:
    try:
        return home.holds(record)
    # A workspace with damaged files must not keep the others from being asked.
    except Exception:
        return False
