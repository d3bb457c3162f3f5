"""Every extension point of tunix-rt, on one page.

A plugin is a module named by an entry point in the group ``tunix_core``; it decorates the
functions below with ``tunix_core.hookimpl`` and imports nothing heavy at module level. A plugin
may take fewer arguments than a hook offers.

*Contributors* return descriptors from :mod:`tunix_core.contributions`. *Observers* return
nothing; an exception in one is logged and never stops the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

from tunix_core.contributions import (
    CommandContribution,
    ComparatorContribution,
    EvaluatorContribution,
    GameContribution,
    GeneratorContribution,
    RegistryContribution,
    SourceContribution,
    TrainerContribution,
    TunerContribution,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tunix_core.records import DatasetManifest, ModelVersion, Run

PROJECT = "tunix_core"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def tunix_sources() -> Iterable[SourceContribution]:  # type: ignore[empty-body]
    """Readers of traces.

    Example::

        @hookimpl
        def tunix_sources():
            return [
                SourceContribution(
                    name="csv",
                    summary="Traces from CSV",
                    factory="acme.csv:CsvSource",
                    suffixes=(".csv",),
                )
            ]
    """


@hookspec
def tunix_generators() -> Iterable[GeneratorContribution]:  # type: ignore[empty-body]
    """Makers of items.

    Example::

        @hookimpl
        def tunix_generators():
            return [
                GeneratorContribution(
                    name="sums",
                    summary="Sums of two numbers",
                    factory="acme.sums:Sums",
                    config="acme.sums:SumsConfig",
                )
            ]
    """


@hookspec
def tunix_trainers() -> Iterable[TrainerContribution]:  # type: ignore[empty-body]
    """Trainers; the config class is the run's configuration.

    Example::

        @hookimpl
        def tunix_trainers():
            return [
                TrainerContribution(
                    name="jax",
                    summary="JAX trainer",
                    factory="acme.trainer:Trainer",
                    config="acme.config:TrainerConfig",
                )
            ]
    """


@hookspec
def tunix_evaluators() -> Iterable[EvaluatorContribution]:  # type: ignore[empty-body]
    """Judges of completions.

    Example::

        @hookimpl
        def tunix_evaluators():
            return [
                EvaluatorContribution(
                    name="brevity",
                    summary="Short answers score higher",
                    factory="acme.brevity:Brevity",
                    version="1",
                )
            ]
    """


@hookspec
def tunix_comparators() -> Iterable[ComparatorContribution]:  # type: ignore[empty-body]
    """Regression comparators.

    Example::

        @hookimpl
        def tunix_comparators():
            return [
                ComparatorContribution(
                    name="lower-is-better",
                    summary="For losses",
                    factory="acme.compare:LowerIsBetter",
                )
            ]
    """


@hookspec
def tunix_registries() -> Iterable[RegistryContribution]:  # type: ignore[empty-body]
    """Model registries; the factory is called with the directory it may use.

    Example::

        @hookimpl
        def tunix_registries():
            return [
                RegistryContribution(
                    name="local",
                    summary="Files by content",
                    factory="acme.registry:LocalRegistry",
                )
            ]
    """


@hookspec
def tunix_games() -> Iterable[GameContribution]:  # type: ignore[empty-body]
    """Games that write traces of how they are played.

    Example::

        @hookimpl
        def tunix_games():
            return [
                GameContribution(
                    name="coin-toss",
                    summary="Heads or tails",
                    factory="acme.games:CoinToss",
                )
            ]
    """


@hookspec
def tunix_tuners() -> Iterable[TunerContribution]:  # type: ignore[empty-body]
    """Searchers of settings.

    Example::

        @hookimpl
        def tunix_tuners():
            return [
                TunerContribution(
                    name="grid",
                    summary="Every combination in turn",
                    factory="acme.tuners:Grid",
                )
            ]
    """


@hookspec
def tunix_commands() -> Iterable[CommandContribution]:  # type: ignore[empty-body]
    """Commands and groups below ``tunix-rt``.

    Example::

        @hookimpl
        def tunix_commands():
            return [
                CommandContribution(
                    name="report",
                    summary="Write a report",
                    factory="acme.cli:report",
                )
            ]
    """


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
