"""Records become pictures in a notebook; they know nothing of it themselves."""

from __future__ import annotations

import sys
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.plugins import Plugins
from tunix_core.records import DatasetManifest, Evaluation, Run
from tunix_core.rich.homes import home_of, remember


def register(paths: WorkspacePaths, plugins: Plugins) -> None:
    """Let the shell of this kernel show the records of a workspace; nothing outside IPython.

    Args:
        paths: The directories of the workspace.
        plugins: Its plugins.
    """
    shell = _shell()
    if shell is None:
        return
    remember(paths, plugins)
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(DatasetManifest, _dataset)
    html.for_type(Run, _run)
    html.for_type(Evaluation, _evaluation)


def _shell() -> Any:
    """The running shell of IPython, which is not imported for that, or None."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _dataset(manifest: DatasetManifest) -> str:
    from tunix_core.rich.datasets import dataset_html, is_in

    return dataset_html(manifest, home_of(lambda paths: is_in(paths, manifest)))


def _run(run: Run) -> str:
    from tunix_core.rich.runs import is_in, run_html

    return run_html(run, home_of(lambda paths: is_in(paths, run)))


def _evaluation(evaluation: Evaluation) -> str:
    from tunix_core.rich.evaluations import evaluation_html, is_in

    return evaluation_html(evaluation, home_of(lambda paths: is_in(paths, evaluation)))
