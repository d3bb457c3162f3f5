"""Every extension point of tunix-rt, on one page.

A plugin is a module named by an entry point in the group ``tunix_core``; it decorates the
functions below with ``tunix_core.hookimpl`` and imports nothing heavy at module level. A plugin
may take fewer arguments than a hook offers.

*Contributors* return descriptors; :data:`tunix_core.contributions.KINDS` has the hook of each kind.
*Observers* return nothing; an exception in one is logged and never stops the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from tunix_core.contributions import KINDS, Contribution, Finding, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tunix_core.records import DatasetManifest, ModelVersion, Run

PROJECT = "tunix_core"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


def _contributor(kind: Kind[Any, Any]) -> Callable[[], Iterable[Contribution]]:
    """The hook of a kind, as if it were written out here."""

    def hook() -> Iterable[Contribution]:  # type: ignore[empty-body]
        ...

    hook.__name__ = hook.__qualname__ = kind.hook
    hook.__doc__ = kind.documentation
    hook.__annotations__["return"] = f"Iterable[{kind.descriptor.__name__}]"
    return hookspec(hook)


# One for each kind: tunix_sources, tunix_generators, tunix_trainers, ...
globals().update({kind.hook: _contributor(kind) for kind in KINDS})


@hookspec
def tunix_hookspecs() -> Iterable[object]:  # type: ignore[empty-body]
    """Extension points of a plugin's own: modules or classes with hook specifications.

    Who implements one of them says ``@hookimpl(optionalhook=True)``, to stay valid where the
    plugin that brings it is not installed.

    Example::

        @hookimpl
        def tunix_hookspecs():
            return [acme.hookspecs]
    """


@hookspec
def tunix_findings() -> Iterable[Finding]:  # type: ignore[empty-body]
    """What ``tunix-rt doctor`` shall say of a plugin's surroundings, such as devices.

    Example::

        @hookimpl
        def tunix_findings():
            return [Finding("licence", "good", "valid until 2030")]
    """


@hookspec
def tunix_run_started(run: Run) -> None:
    """A worker claimed a run and its runner is about to train.

    Example::

        @hookimpl
        def tunix_run_started(run):
            print("training", run.model_id)
    """


@hookspec
def tunix_run_step(
    run_id: str,
    step: int,
    values: Mapping[str, float],
    timings: Mapping[str, float],
    folder: Path,
) -> None:
    """A training step was recorded; called in the runner process, after the run's files.

    ``values`` are the same whenever the run is repeated; a clock had a part in ``timings``.
    ``folder`` is the run's directory, whose ``metrics.jsonl`` holds every step up to this one.
    Steps count from 1 and come in order within a process. A resumed run goes on in a new process
    after its newest checkpoint: what an earlier process said of the first step told there, and of
    any after it, no longer stands.

    Example::

        @hookimpl
        def tunix_run_step(run_id, step, values, timings):
            tracker.log(run_id, step, {**values, **timings})
    """


@hookspec
def tunix_run_finished(run: Run) -> None:
    """A run reached a terminal state.

    Example::

        @hookimpl
        def tunix_run_finished(run):
            notify(run.id, run.status)
    """


@hookspec
def tunix_dataset_built(manifest: DatasetManifest) -> None:
    """A dataset became visible.

    Example::

        @hookimpl
        def tunix_dataset_built(manifest):
            print(manifest.dataset_key, manifest.sha256)
    """


@hookspec
def tunix_model_promoted(version: ModelVersion) -> None:
    """A model version entered the registry.

    Example::

        @hookimpl
        def tunix_model_promoted(version):
            mirror(version.artifact, version.sha256)
    """
