"""``tunix-rt runs``: start, watch, compare and steer training runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click

from tunix_core.base.durations import seconds
from tunix_core.base.settings_text import parse_pairs
from tunix_core.cli.kit import (
    emit,
    json_option,
    pass_workspace,
    print_fields,
    print_table,
    say,
    settings_option,
)
from tunix_core.cli.progress import TrainingProgress
from tunix_core.codec import unstructure
from tunix_core.contributions import DEFAULT
from tunix_core.errors import TunixError, UsageError
from tunix_core.records import TERMINAL_STATUSES, Run, RunMode, RunResult, RunStatus
from tunix_core.runs import joining
from tunix_core.runs.log import RunLog
from tunix_core.workspace import Workspace


class Duration(click.ParamType[float]):
    """Seconds, written as ``8h30m``, ``90s`` or ``90``."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return seconds(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


@click.group()
def command() -> None:
    """Start, resume, watch and compare training runs."""


@command.command()
@click.argument("dataset_key")
@click.option("--trainer", default=DEFAULT, show_default=True, help="Name of the trainer.")
@settings_option
@click.option("--seed", default=0, show_default=True, help="Seed of weights and data order.")
@click.option("--template", default="show_your_work", show_default=True, help="Rendering.")
@click.option("--eval-dataset", help="Dataset for the loss during training.")
@click.option("--time-budget", type=Duration(), help="End with a usable model after, say, 8h30m.")
@click.option("--output-dir", metavar="PATH", help="Find it as outputs/PATH in the workspace too.")
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="NAME=NUMBER",
    callback=lambda _ctx, _param, pairs: parse_pairs(pairs, "resource"),
    help="What its processes need, such as gpu=1; for executors that have to find it.",
)
@click.option("--or-resume", is_flag=True, help="Go on with an earlier run of this request.")
@click.option("--dry-run", is_flag=True, help="Check data and settings; train nothing.")
@click.option("--detach", is_flag=True, help="Only enqueue; a `tunix-rt worker` executes it.")
@json_option
@pass_workspace
def start(
    workspace: Workspace,
    dataset_key: str,
    trainer: str,
    settings: dict[str, Any],
    seed: int,
    template: str,
    eval_dataset: str | None,
    time_budget: float | None,
    output_dir: str | None,
    resources: dict[str, Any],
    or_resume: bool,
    dry_run: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Train on a dataset.

    \b
    Examples:
      tunix-rt runs start mine-v1 --set model_id=small --set epochs=3
      tunix-rt runs start mine-v1 --set epochs=3 --dry-run
    """
    if or_resume and dry_run:
        raise UsageError("--or-resume and --dry-run exclude each other", "leave one out")
    request: dict[str, Any] = {
        "seed": seed,
        "template": template,
        "eval_dataset_key": eval_dataset,
        "time_budget_s": time_budget,
        "output_dir": output_dir,
        "resources": resources,
    }
    if or_resume:
        run = workspace.runs.create_or_resume(dataset_key, trainer, settings, **request)
    else:
        mode: RunMode = "dry-run" if dry_run else "local"
        run = workspace.runs.create(dataset_key, trainer, settings, mode=mode, **request)
    _execute(workspace, run, detach, as_json)


@command.command()
@click.argument("run_id")
@click.option("--detach", is_flag=True, help="Only enqueue; a `tunix-rt worker` executes it.")
@json_option
@pass_workspace
def resume(workspace: Workspace, run_id: str, detach: bool, as_json: bool) -> None:
    """Continue a run from its newest checkpoint.

    One that failed, was cancelled or timed out, or whose time budget ran out: it gets another
    budget of the same length.

    Example: tunix-rt runs resume 77fe65b2
    """
    _execute(workspace, workspace.runs.resume(run_id), detach, as_json)


@command.command()
@click.argument("run_id")
@pass_workspace
def join(workspace: Workspace, run_id: str) -> None:
    """Take part in a run that another host executes.

    For training on several hosts that share the workspace directory: `runs start` on the first,
    `runs join` on each of the others, all at once, since they wait for each other. How they find
    each other is the trainer's to say. Only the first writes metrics, the state and the outcome.

    Example: tunix-rt --workspace /shared/workspace runs join 4f0c2a1b
    """
    run = joining.created_run(workspace.paths, run_id)
    say(f"joining run {run.id}")
    joining.join(workspace.paths, run.id, workspace.executor)


def _execute(workspace: Workspace, run: Run, detach: bool, as_json: bool) -> None:
    if not detach:
        say(f"run {run.id}")
        with TrainingProgress(workspace, run) as progress:
            run = workspace.worker().execute(run.id, progress)
    if run.mode == "dry-run" and not detach and not as_json:
        _print_log(workspace.runs.log(run.id), 0)
    else:
        emit(unstructure(run), as_json, table=lambda: _print_run(run))
    if run.status not in ("completed", "pending"):
        raise TunixError(f"run {run.id} ended as {run.status}: {run.error}")


@command.command("list")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs in this state.")
@click.option("--dataset", help="Only runs on this dataset.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
@json_option
@pass_workspace
def list_runs(
    workspace: Workspace,
    status: str | None,
    dataset: str | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List runs, newest first.

    Example: tunix-rt runs list --status completed
    """
    runs = workspace.runs.list(status=status, dataset_key=dataset, limit=limit, offset=offset)
    rows = [
        {
            "id": run.id[:8],
            "status": run.status,
            "model": run.model_id,
            "dataset": run.dataset_key,
            "steps": run.result.steps if run.result else "",
            "created": run.created_at[:19],
        }
        for run in runs
    ]
    emit([unstructure(run) for run in runs], as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("run_id")
@json_option
@pass_workspace
def show(workspace: Workspace, run_id: str, as_json: bool) -> None:
    """Show a run: state, configuration, outcome.

    Example: tunix-rt runs show 4f0c2a1b
    """
    run = workspace.runs.get(run_id)
    emit(unstructure(run), as_json, table=lambda: _print_run(run))


def _print_run(run: Run) -> None:
    rows = [
        ("id", run.id),
        ("status", run.status),
        ("model", run.model_id),
        ("trainer", run.trainer),
        ("dataset", run.dataset_key),
        ("started", run.started_at or ""),
        ("completed", run.completed_at or ""),
        ("error", run.error or ""),
        *(() if run.result is None else _outcome(run.result)),
        ("mode", "" if run.mode == "local" else run.mode),
        ("directory", f"runs/{run.id}"),
        ("output_dir", "" if run.output_dir.endswith(run.id) else run.output_dir),
    ]
    print_fields((name, value) for name, value in rows if value != "")


def _outcome(result: RunResult) -> Iterator[tuple[str, Any]]:
    yield "stop_reason", result.stop_reason
    yield "steps", result.steps
    for figures in (result.metrics, result.timings, result.hardware):
        yield from figures.items()


@command.command()
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@pass_workspace
def logs(workspace: Workspace, run_id: str, follow: bool) -> None:
    """Print what a run printed.

    Example: tunix-rt runs logs 4f0c2a1b --follow
    """
    log = workspace.runs.log(run_id)
    seq = _print_log(log, 0)
    while follow and workspace.runs.get(run_id).status not in TERMINAL_STATUSES:
        time.sleep(0.5)
        seq = _print_log(log, seq)
    _print_log(log, seq)


def _print_log(log: RunLog, since_seq: int) -> int:
    """Print what is new; returns the number of the last chunk."""
    for chunk in log.read(since_seq):
        click.echo(chunk.chunk, nl=False)
        since_seq = chunk.seq
    return since_seq


@command.command()
@click.argument("run_id")
@json_option
@pass_workspace
def artifacts(workspace: Workspace, run_id: str, as_json: bool) -> None:
    """List the files of a run.

    Example: tunix-rt runs artifacts 4f0c2a1b
    """
    files = workspace.runs.artifacts(run_id)
    rows = [{"path": file.path, "size": file.size} for file in files]
    emit([unstructure(file) for file in files], as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("run_id")
@click.option("--last", type=click.IntRange(1), help="Only this many steps.")
@json_option
@pass_workspace
def metrics(workspace: Workspace, run_id: str, last: int | None, as_json: bool) -> None:
    """Print the recorded steps of a run.

    Example: tunix-rt runs metrics 4f0c2a1b --last 3
    """
    steps = list(workspace.runs.metrics(run_id))
    steps = steps[-last:] if last else steps
    rows = [{k: v for k, v in step.items() if k != "timings"} for step in steps]
    emit(steps, as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("run_ids", nargs=-1, required=True)
@json_option
@pass_workspace
def compare(workspace: Workspace, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Set runs side by side: the settings that differ, and the outcomes.

    Example: tunix-rt runs compare 4f0c2a1b 77fe65b2
    """
    runs = [workspace.runs.get(run_id) for run_id in run_ids]
    table = workspace.runs.compare([run.id for run in runs])
    names = [run.id[:8] for run in runs]
    rows = [{"": name, **dict(zip(names, values, strict=True))} for name, values in table.items()]
    emit(table, as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("run_id")
@json_option
@pass_workspace
def cancel(workspace: Workspace, run_id: str, as_json: bool) -> None:
    """End a run; one that is training ends with a checkpoint.

    Example: tunix-rt runs cancel 77fe65b2
    """
    run = workspace.runs.cancel(run_id)
    emit(unstructure(run), as_json, table=lambda: say(f"run {run.id} is {run.status}"))


@command.command()
@click.argument("run_ids", nargs=-1, required=True)
@click.option("--metric", default="loss", show_default=True, help="Which value to draw.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write this PNG file.")
@pass_workspace
def plot(workspace: Workspace, run_ids: tuple[str, ...], metric: str, output: Path | None) -> None:
    """Draw a metric of one or more runs, in the terminal or into a PNG file.

    \b
    Examples:
      tunix-rt runs plot 4f0c2a1b 77fe65b2 --metric eval_loss
      tunix-rt runs plot 4f0c2a1b -o loss.png
    """
    from tunix_core.rich.plots import draw_metric, metric_curves, plot_metric

    series = metric_curves(workspace.runs, run_ids, metric)
    if output is None:
        click.echo(draw_metric(series, metric), nl=False)
    else:
        plot_metric(series, metric, output)
        say(f"wrote {output}")
