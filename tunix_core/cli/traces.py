"""``tunix-rt traces``: import, generate, play, list and compare traces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from attrs import asdict

from tunix_core.base.files import atomic_file
from tunix_core.cli.kit import emit, json_option, pass_workspace, print_table, say, settings_option
from tunix_core.cli.progress import Progress
from tunix_core.codec import trace_to_json, unstructure
from tunix_core.errors import UsageError
from tunix_core.records import StoredTrace, Trace
from tunix_core.traces.service import ImportReport, ScoredTrace, TraceScore
from tunix_core.workspace import Workspace

EXCERPT_CHARS = 60
PROGRESS_EVERY = 500


@click.group()
def command() -> None:
    """Import, generate, play, list and compare traces."""


@command.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--source", help="Name the source; by default a trace keeps its own.")
@click.option("--allow-duplicates", is_flag=True, help="Store again what is stored already.")
@json_option
@pass_workspace
def import_traces(
    workspace: Workspace,
    files: tuple[Path, ...],
    source: str | None,
    allow_duplicates: bool,
    as_json: bool,
) -> int:
    """Import traces from JSONL files, plain, .gz or .zst.

    Lines that are refused go to FILE.rejects.jsonl with their reasons; then the exit code is 1.

    Example: tunix-rt traces import mine.jsonl --source mine
    """
    reports: list[ImportReport] = []
    code = 0
    try:
        for file in files:
            reports.append(import_one(workspace, file, source, allow_duplicates=allow_duplicates))
    finally:
        # When one of several cannot be read, those before it are stored, and are reported.
        if reports:
            rows = [report_row(report) for report in reports]
            emit(rows, as_json, table=lambda: print_table(rows))
            code = say_rejects(reports)
    return code


def import_one(
    workspace: Workspace, file: Path, source: str | None, *, allow_duplicates: bool
) -> ImportReport:
    """Import one file behind a progress bar in bytes."""
    size = file.stat().st_size if file.is_file() else 0
    with Progress(size, f"importing {file.name}") as bar:
        return workspace.traces.import_file(
            file, source, allow_duplicates=allow_duplicates, on_progress=bar.reach
        )


def report_row(report: ImportReport) -> dict[str, Any]:
    """An import's report, for tables and JSON."""
    return {
        "file": report.file,
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "import_id": report.import_id,
        "rejects_path": None if report.rejects_path is None else str(report.rejects_path),
    }


def say_rejects(reports: list[ImportReport]) -> int:
    """Say where the refused lines are; 1 when there are any."""
    for report in reports:
        if report.rejected:
            lines = "line was" if report.rejected == 1 else "lines were"
            say(f"{report.rejected} {lines} rejected; the reasons are in {report.rejects_path}")
    return int(any(report.rejected for report in reports))


@command.command()
@click.argument("name")
@click.option("--split", default="train", show_default=True, help="Which split.")
@click.option("--start", default=0, show_default=True, type=click.IntRange(0), help="First index.")
@click.option("--count", required=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=42, show_default=True, help="Seed of the items.")
@settings_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File; else standard output.")
@pass_workspace
def generate(
    workspace: Workspace,
    name: str,
    split: str,
    start: int,
    count: int,
    seed: int,
    settings: dict[str, Any],
    output: Path | None,
) -> None:
    """Write a generator's traces as JSON lines; the same arguments give the same bytes.

    Example: tunix-rt traces generate dev-reasoning-v1 --count 10000 -o train.jsonl
    """
    traces = workspace.traces.generate(
        name, split=split, start=start, count=count, seed=seed, settings=settings
    )
    with Progress(count, f"generating {name}") as bar, _output(output) as out:
        for done, trace in enumerate(traces, start=1):
            out.write(_line(trace))
            if done % PROGRESS_EVERY == 0 or done == count:
                bar.advance((done - 1) % PROGRESS_EVERY + 1)


@command.command()
@click.argument("game")
@click.option("--count", required=True, type=click.IntRange(1), help="How many episodes.")
@click.option("--seed", type=int, help="Seed of the episodes; without one, others every time.")
@settings_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File; else standard output.")
@click.option("--store", "stored", is_flag=True, help="Store them instead; prints their ids.")
@json_option
@pass_workspace
def play(
    workspace: Workspace,
    game: str,
    count: int,
    seed: int | None,
    settings: dict[str, Any],
    output: Path | None,
    stored: bool,
    as_json: bool,
) -> None:
    """Play a game and write its episodes as JSON lines, or store them as traces.

    Example: tunix-rt traces play high-card-duel --count 10 --seed 42 --store
    """
    if stored and output is not None:
        raise UsageError("--store and --output exclude each other", "export what is stored")
    traces = workspace.traces.play(game, count, seed, settings=settings)
    if not stored:
        with _output(output) as out:
            out.writelines(_line(trace) for trace in traces)
        return
    rows = [
        {"id": kept.id, "final_answer": kept.trace.final_answer, **(kept.trace.meta or {})}
        for kept in workspace.traces.create_many(traces)
    ]
    emit(rows, as_json, table=lambda: print_table(rows))


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with atomic_file(path) as out:
            yield out


def _line(trace: Trace) -> bytes:
    return f"{trace_to_json(trace)}\n".encode()


@command.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
@json_option
@pass_workspace
def list_traces(workspace: Workspace, limit: int, offset: int, as_json: bool) -> None:
    """List traces, newest first.

    Example: tunix-rt traces list --limit 5
    """
    page = workspace.traces.list(limit, offset)
    rows = [
        {
            "id": stored.id,
            "created_at": stored.created_at,
            "source": (stored.trace.meta or {}).get("source"),
            "steps": len(stored.trace.steps),
            "prompt": stored.trace.prompt[:EXCERPT_CHARS],
        }
        for stored in page.items
    ]
    pagination = {"limit": limit, "offset": offset, "next_offset": page.next_offset}
    data = {
        "data": [
            {"id": t.id, "created_at": t.created_at, "trace_version": t.trace.trace_version}
            for t in page.items
        ],
        "pagination": pagination,
    }
    emit(data, as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("trace_id")
@json_option
@pass_workspace
def show(workspace: Workspace, trace_id: str, as_json: bool) -> None:
    """Show a trace.

    Example: tunix-rt traces show TRACE
    """
    stored = workspace.traces.get(trace_id)
    emit(_data(stored), as_json, table=lambda: _print(stored))


@command.command()
@click.argument("base")
@click.argument("other")
@json_option
@pass_workspace
def compare(workspace: Workspace, base: str, other: str, as_json: bool) -> None:
    """Set two traces side by side, with their baseline scores.

    Example: tunix-rt traces compare TRACE OTHER_TRACE
    """
    comparison = workspace.traces.compare(base, other)
    sides = {"base": comparison.base, "other": comparison.other}
    rows = [_side_row(name, side) for name, side in sides.items()]
    data = {name: {**_data(side.trace), "score": side.score.score} for name, side in sides.items()}
    emit(data, as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("trace_id")
@json_option
@pass_workspace
def score(workspace: Workspace, trace_id: str, as_json: bool) -> None:
    """Score a trace by the number and the length of its steps, 0 to 100.

    Example: tunix-rt traces score TRACE
    """
    result: TraceScore = workspace.traces.score(trace_id)
    fields = asdict(result, filter=lambda field, _: field.name != "scored_at")
    emit(fields, as_json, table=lambda: print_table([fields]))


def _data(stored: StoredTrace) -> dict[str, Any]:
    return {
        "id": stored.id,
        "created_at": stored.created_at,
        "trace_version": stored.trace.trace_version,
        "payload": unstructure(stored.trace),
    }


def _print(stored: StoredTrace) -> None:
    trace = stored.trace
    click.echo(f"trace {stored.id}, stored {stored.created_at}\n")
    click.echo(f"{trace.prompt}\n")
    for step in trace.steps:
        click.echo(f"  {step.i} {step.type}: {step.content}")
    click.echo(f"\nanswer: {trace.final_answer}")
    for key, value in (trace.meta or {}).items():
        click.echo(f"  {key} = {value}")


def _side_row(name: str, side: ScoredTrace) -> dict[str, Any]:
    return {
        "": name,
        "id": side.trace.id,
        "score": side.score.score,
        "steps": side.score.step_count,
        "prompt": side.trace.trace.prompt[:EXCERPT_CHARS],
        "answer": side.trace.trace.final_answer[:EXCERPT_CHARS],
    }
