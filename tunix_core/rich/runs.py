"""A run: its state, its outcome, its loss curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.records import TERMINAL_STATUSES, Run
from tunix_core.rich import charts
from tunix_core.rich.curves import curves
from tunix_core.rich.markup import Html, attempt, facts, heading, note, span, text, whole
from tunix_core.rich.readable import short, when
from tunix_core.runs import folder as run_files

# These are drawn together: the loss on what is trained, and on what is held out.
LOSSES = {"loss": "loss", "eval_loss": "held-out loss"}

_KINDS = {"completed": "good", "failed": "bad", "timeout": "bad"}


def run_html(run: Run) -> str:
    """A run in a notebook."""
    root = run.root
    parts = [facts(_facts(run))]
    if root is not None:
        parts += [attempt(lambda: _progress(run, root)), attempt(lambda: _curve(run, root))]
    return whole(f"Run {short(run.id)}", *parts, *_outcome(run.result or {}))


def status(run: Run) -> Html:
    """The state of a run, good or bad."""
    kind = _KINDS.get(run.status)
    return text(run.status) if kind is None else span(run.status, kind)


def _facts(run: Run) -> Iterator[tuple[str, Any]]:
    result = run.result or {}
    yield "id", run.id
    yield "status", status(run)
    yield "error", run.error and span(run.error, _KINDS.get(run.status, ""))
    yield "model", run.model_id
    yield "trainer", run.trainer
    yield "dataset", run.dataset_key
    yield "mode", None if run.mode == "local" else run.mode
    yield "stop reason", result.get("stop_reason")
    yield "steps", _count(result.get("steps"))
    yield "tokens", _count(result.get("tokens"))
    yield "created", when(run.created_at)
    yield "took", None if run.seconds is None else f"{run.seconds:,.1f} s"


def _outcome(result: Mapping[str, Any]) -> Iterator[Html]:
    """The trainer's final figures, those that a clock had a part in, and the machine."""
    for title in ("Metrics", "Timings", "Hardware"):
        figures = result.get(title.lower()) or {}
        if figures:
            yield heading(title)
            yield facts((name.replace("_", " "), held) for name, held in figures.items())


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _folder(run: Run, root: Path) -> Path:
    return WorkspacePaths(root).run(run.id)


def _progress(run: Run, root: Path) -> Html:
    """How far a run is that had not ended when it was looked up."""
    if run.status in TERMINAL_STATUSES:
        return Html()
    progress = run_files.progress(_folder(run, root))
    if progress.step is None:
        return Html()
    return note(f"step {progress.step:,} of {progress.total_steps:,}")


def _curve(run: Run, root: Path) -> Html:
    if run.mode == "dry-run":
        return Html()
    recorded = curves(run_files.metrics(_folder(run, root)))
    return charts.lines({what: recorded[name] for name, what in LOSSES.items() if name in recorded})
