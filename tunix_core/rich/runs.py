"""A run: its state, its outcome, its loss curve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.records import TERMINAL_STATUSES, Run, RunResult
from tunix_core.rich import charts
from tunix_core.rich.curves import curves
from tunix_core.rich.homes import Home
from tunix_core.rich.markup import Html, attempt, facts, heading, note, span, text, whole
from tunix_core.rich.readable import short, when
from tunix_core.runs.folder import RunFolder

# These are drawn together: the loss on what is trained, and on what is held out.
LOSSES = {"loss": "loss", "eval_loss": "held-out loss"}

_KINDS = {"completed": "good", "failed": "bad", "timeout": "bad"}


def run_html(run: Run, home: Home | None) -> str:
    """A run in a notebook; without its workspace what the record says."""
    parts = [facts(_facts(run))]
    if home is not None:
        folder = RunFolder(home.paths.run(run.id))
        parts += [attempt(lambda: _progress(run, folder)), attempt(lambda: _curve(run, folder))]
    return whole(f"Run {short(run.id)}", *parts, *_outcome(run.result))


def is_in(paths: WorkspacePaths, run: Run) -> bool:
    """Whether a workspace has the directory of a run, which is there from the beginning."""
    return paths.run(run.id).is_dir()


def status(run: Run) -> Html:
    """The state of a run, good or bad."""
    kind = _KINDS.get(run.status)
    return text(run.status) if kind is None else span(run.status, kind)


def _facts(run: Run) -> Iterator[tuple[str, Any]]:
    result = run.result
    yield "id", run.id
    yield "status", status(run)
    yield "error", run.error and span(run.error, _KINDS.get(run.status, ""))
    yield "model", run.model_id
    yield "trainer", run.trainer
    yield "dataset", run.dataset_key
    yield "mode", None if run.mode == "local" else run.mode
    yield "stop reason", result and result.stop_reason
    yield "steps", result and f"{result.steps:,}"
    yield "tokens", result and f"{result.tokens:,}"
    yield "created", when(run.created_at)
    yield "took", None if run.seconds is None else f"{run.seconds:,.1f} s"


def _outcome(result: RunResult | None) -> Iterator[Html]:
    """The trainer's final figures, those that a clock had a part in, and the machine."""
    if result is None:
        return
    for title, figures in (
        ("Metrics", result.metrics),
        ("Timings", result.timings),
        ("Hardware", result.hardware),
    ):
        if figures:
            yield heading(title)
            yield facts((name.replace("_", " "), held) for name, held in figures.items())


def _progress(run: Run, folder: RunFolder) -> Html:
    """How far a run is that had not ended when it was looked up."""
    if run.status in TERMINAL_STATUSES:
        return Html()
    progress = folder.progress()
    if progress.step is None:
        return Html()
    return note(f"step {progress.step:,} of {progress.total_steps:,}")


def _curve(run: Run, folder: RunFolder) -> Html:
    if run.mode == "dry-run":
        return Html()
    recorded = curves(folder.metrics.steps())
    return charts.lines({what: recorded[name] for name, what in LOSSES.items() if name in recorded})
