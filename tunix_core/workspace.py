"""The composition root that the command line, the HTTP surface and notebooks hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tunix_core.base.paths import WorkspacePaths
from tunix_core.contributions import DEFAULT, EXECUTOR
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins

if TYPE_CHECKING:
    from tunix_core.datasets import Datasets
    from tunix_core.evaluation import Evaluations
    from tunix_core.evaluation.pairwise import Pairwise
    from tunix_core.evaluation.predictions import Predictions
    from tunix_core.evaluation.regressions import Regressions
    from tunix_core.evaluation.shown_steps import ShownSteps
    from tunix_core.models import Models
    from tunix_core.protocols import Executor
    from tunix_core.runs import Runs
    from tunix_core.runs.worker import Worker
    from tunix_core.store import Store
    from tunix_core.traces import Traces
    from tunix_core.tuning import Tuning


class Workspace:
    """One directory with a database, datasets, runs and models, and the services over it.

    Args:
        directory: Created as needed; ``TUNIX_WORKSPACE`` or ``./workspace`` by default.
        plugins: The plugin manager to use; by default the installed plugins.
        registries: Directory of the model registries; ``models`` in the workspace by default.
        executor: Name of what starts the processes in which models run; by default
            ``TUNIX_EXECUTOR``, else child processes.
        executor_settings: Its settings; what is not given has its default.

    Raises:
        UsageError: The directory is a file or cannot be made.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        plugins: Plugins | None = None,
        registries: Path | None = None,
        executor: str | None = None,
        executor_settings: Mapping[str, Any] | None = None,
    ) -> None:
        chosen = _chosen(directory)
        try:
            self.paths = WorkspacePaths.create(chosen, registries)
        except OSError as error:
            raise UsageError(f"cannot use {chosen} as a workspace: {error.strerror}") from error
        self.plugins = plugins or Plugins.discover()
        self._executor = executor or DEFAULT
        self._executor_settings = executor_settings
        if "IPython" in sys.modules:
            from tunix_core.rich.formatters import register

            register(self.paths, self.plugins)

    @cached_property
    def store(self) -> Store:
        from tunix_core.store import Store

        return Store.open(self.paths.database)

    @cached_property
    def executor(self) -> Executor:
        """What starts the processes in which models run.

        Raises:
            UsageError: No executor is called as was asked for, or it refuses a setting.
        """
        return self.plugins.find(EXECUTOR, self._executor).create(self._executor_settings)

    @cached_property
    def traces(self) -> Traces:
        from tunix_core.traces import Traces

        return Traces(self.store, self.plugins, self.paths)

    @cached_property
    def datasets(self) -> Datasets:
        from tunix_core.datasets import Datasets

        return Datasets(self.store, self.plugins, self.paths)

    @cached_property
    def runs(self) -> Runs:
        from tunix_core.runs import Runs

        return Runs(self.store, self.plugins, self.paths, self.datasets)

    @cached_property
    def predictions(self) -> Predictions:
        from tunix_core.evaluation.predictions import Predictions

        return Predictions(self.paths, self.datasets, self.runs, lambda: self.executor)

    @cached_property
    def evaluations(self) -> Evaluations:
        from tunix_core.evaluation import Evaluations

        return Evaluations(
            self.store,
            self.plugins,
            self.paths,
            self.datasets,
            self.runs,
            self.predictions,
            self.shown_steps,
        )

    @cached_property
    def pairwise(self) -> Pairwise:
        from tunix_core.evaluation.pairwise import Pairwise

        return Pairwise(self.plugins, self.paths, self.datasets, self.predictions)

    @cached_property
    def shown_steps(self) -> ShownSteps:
        from tunix_core.evaluation.shown_steps import ShownSteps

        return ShownSteps(self.plugins)

    @cached_property
    def regressions(self) -> Regressions:
        from tunix_core.evaluation.regressions import Regressions

        return Regressions(self.store, self.plugins, self.evaluations)

    @cached_property
    def tuning(self) -> Tuning:
        from tunix_core.tuning import Tuning

        return Tuning(self.store, self.plugins, self.paths, self.runs, self.evaluations)

    @cached_property
    def models(self) -> Models:
        from tunix_core.models import Models

        return Models(
            self.store, self.plugins, self.paths, self.datasets, self.runs, self.evaluations
        )

    def worker(self, time_limit_s: float | None = None) -> Worker:
        """A worker for this workspace's runs; with none to execute it moves tuning jobs on."""
        from tunix_core.runs.worker import Worker

        def advance_tuning() -> bool:
            return self.tuning.advance(stopping=lambda: worker.stopping)

        worker = Worker(
            self.runs, self.plugins, self.paths, time_limit_s, advance_tuning, self.executor
        )
        return worker

    def close(self) -> None:
        """Close the store; it is opened again when something is asked for."""
        if "store" in self.__dict__:
            self.store.close()
        for name, attribute in vars(type(self)).items():
            if isinstance(attribute, cached_property):
                self.__dict__.pop(name, None)

    @classmethod
    def copy(cls, source: Path, directory: Path | str | None = None) -> Self:
        """Open a workspace that goes on from what another one holds.

        Args:
            source: The other workspace, which nobody has open; it may be read-only.
            directory: Where the copy goes; what is there already is opened as it is.

        Raises:
            UsageError: ``source`` is no workspace.
            TunixError: The disk is full; nothing is left behind.
        """
        from tunix_core.base.files import copy_tree

        target = _chosen(directory)
        if not target.exists():
            if not WorkspacePaths(source).database.is_file():
                raise UsageError(f"{source} is no workspace", "give a directory with a tunix.db")
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_tree(source, target)
        return cls(target)

    def _repr_html_(self) -> str:
        from tunix_core.rich.workspace import workspace_html

        return workspace_html(self.paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _chosen(directory: Path | str | None) -> Path:
    return Path(directory or os.environ.get("TUNIX_WORKSPACE") or "workspace")
