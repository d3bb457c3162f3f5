"""``tunix-rt tune``: search for the settings with which training does best."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from tunix_core.base.settings_text import parse_value
from tunix_core.cli.kit import (
    emit,
    json_option,
    pass_workspace,
    print_fields,
    print_table,
    say,
    settings_option,
)
from tunix_core.cli.progress import Progress
from tunix_core.codec import loads, unstructure
from tunix_core.contributions import DEFAULT
from tunix_core.errors import InvalidRecordError, TunixError, UsageError
from tunix_core.records import TuningJob, TuningTrial
from tunix_core.workspace import Workspace

_FORMS = "choice:V1,V2,...  uniform:MIN:MAX  loguniform:MIN:MAX  randint:MIN:MAX"


@click.group()
def command() -> None:
    """Search for the settings with which training does best.

    \b
    Example:
      tunix-rt tune create rates --dataset mine-v1 --eval-dataset held-out-v1 \\
          --param learning_rate=loguniform:1e-4:1e-1 --param rows=choice:8,16 --samples 10
      tunix-rt tune start 9d3e70c5 --wait
    """


@command.command()
@click.argument("name")
@click.option("--dataset", "dataset_key", required=True, help="What every trial trains on.")
@click.option("--eval-dataset", help="What the models are judged on.  [default: --dataset]")
@click.option("--model", default="small", show_default=True, help="What every trial starts from.")
@click.option("--trainer", default=DEFAULT, show_default=True, help="Name of the trainer.")
@settings_option
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=TYPE:...",
    help=f"What is varied; may be given many times. {_FORMS}",
)
@click.option(
    "--space",
    "space_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='What is varied, as JSON: {"learning_rate": {"type": "uniform", "min": 0, "max": 1}}.',
)
@click.option("--metric", default="score", show_default=True, help="What is compared.")
@click.option("--mode", type=click.Choice(["max", "min"]), default="max", show_default=True)
@click.option("--samples", default=10, show_default=True, help="Number of trials, 1 to 100.")
@click.option("--concurrent", default=1, show_default=True, help="Trials at once, 1 to 10.")
@click.option("--tuner", default=DEFAULT, show_default=True, help="Name of the tuner.")
@click.option("--seed", default=0, show_default=True, help="Seed of suggestions and runs.")
@json_option
@pass_workspace
def create(
    workspace: Workspace,
    name: str,
    dataset_key: str,
    eval_dataset: str | None,
    model: str,
    trainer: str,
    settings: dict[str, Any],
    params: tuple[str, ...],
    space_file: Path | None,
    metric: str,
    mode: Literal["max", "min"],
    samples: int,
    concurrent: int,
    tuner: str,
    seed: int,
    as_json: bool,
) -> None:
    """Describe a search; `tune start` begins it.

    Parameters are settings of the trainer; learning_rate, weight_decay, num_epochs, batch_size
    and max_seq_length are known under these names too.

    Metrics: score (0 to 100) and primary_score are the share of right answers; the name of an
    evaluator; or a figure that the trainer leaves, such as eval_loss (then with --mode min).

    \b
    Example:
      tunix-rt tune create rates --dataset mine-v1 --set steps=300 \\
          --param learning_rate=loguniform:1e-4:1e-1 --param optimizer=choice:muon,adamw
    """
    try:
        job = workspace.tuning.create(
            name,
            dataset_key,
            model,
            search_space=_space(params, space_file),
            metric_name=metric,
            metric_mode=mode,
            num_samples=samples,
            max_concurrent_trials=concurrent,
            tuner=tuner,
            trainer=trainer,
            settings=settings,
            eval_dataset_key=eval_dataset,
            seed=seed,
        )
    except InvalidRecordError as error:
        problems = "; ".join(problem.removeprefix("$.") for problem in error.problems)
        raise UsageError(problems, "see: tunix-rt tune create --help") from None
    next_step = f"created; begin with: tunix-rt tune start {job.id[:8]} --wait"
    emit(unstructure(job), as_json, table=lambda: _print_job(workspace, job, next_step))


@command.command()
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Execute the trials here and wait for the end.")
@json_option
@pass_workspace
def start(workspace: Workspace, job_id: str, wait: bool, as_json: bool) -> None:
    """Begin a search, or begin a failed one again.

    Without --wait, `tunix-rt worker` executes the trials. With it this command does, also those
    of a search that runs already; on Ctrl-C the present trial is checkpointed and put back, and
    the search goes on whenever a worker does.

    Example: tunix-rt tune start 9d3e70c5 --wait
    """
    job = workspace.tuning.get(job_id)
    if not (wait and job.status == "running"):
        job = workspace.tuning.start(job.id)
    said = f"tuning job {job.id} is running; execute it with: tunix-rt worker"
    if wait:
        job = _wait(workspace, job)
        if job.status != "running":
            said = f"tuning job {job.id} is {job.status}"
    trials = workspace.tuning.trials(job.id)
    emit(_data(job, trials), as_json, table=lambda: _print_job(workspace, job, said))
    if job.status == "failed":
        raise TunixError(f"tuning job {job.id} failed: {job.error}")


def _wait(workspace: Workspace, job: TuningJob) -> TuningJob:
    worker = workspace.worker()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: worker.stop()) for number in signals}
    try:
        with Progress(workspace.tuning.wanted(job.id), f"tuning {job.name}") as bar:
            return workspace.tuning.execute(job.id, worker, bar.reach)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@command.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
@json_option
@pass_workspace
def list_jobs(workspace: Workspace, limit: int, offset: int, as_json: bool) -> None:
    """List searches, newest first.

    Example: tunix-rt tune list
    """
    jobs = workspace.tuning.list(limit, offset)
    rows = [
        {
            "id": job.id[:8],
            "name": job.name,
            "status": job.status,
            "dataset": job.dataset_key,
            "metric": f"{job.metric_name} ({job.metric_mode})",
            "trials": job.num_samples,
            "created": job.created_at[:19],
        }
        for job in jobs
    ]
    emit([unstructure(job) for job in jobs], as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("job_id")
@json_option
@pass_workspace
def show(workspace: Workspace, job_id: str, as_json: bool) -> None:
    """Show a search: its state, its trials, the best so far.

    Example: tunix-rt tune show 9d3e70c5
    """
    job = workspace.tuning.get(job_id)
    data = _data(job, workspace.tuning.trials(job.id))
    emit(data, as_json, table=lambda: _print_job(workspace, job))


@command.command()
@click.argument("job_id")
@json_option
@pass_workspace
def cancel(workspace: Workspace, job_id: str, as_json: bool) -> None:
    """End a search and the trials that run; what has completed is kept.

    Example: tunix-rt tune cancel b7a60d12
    """
    job = workspace.tuning.cancel(job_id)
    emit(unstructure(job), as_json, table=lambda: say(f"tuning job {job.id} is {job.status}"))


def _space(params: Sequence[str], file: Path | None) -> dict[str, Any]:
    """The search space of the options; ``--param`` adds to what ``--space`` holds."""
    space: dict[str, Any] = {}
    if file is not None:
        held = loads(file.read_bytes())
        if not isinstance(held, dict):
            raise UsageError(f"{file}: expected a JSON object of parameters")
        space.update(held)
    for param in params:
        name, equals, form = param.partition("=")
        kind, colon, rest = form.partition(":")
        if not (name and equals and colon):
            raise UsageError(f"{param!r} is not NAME=TYPE:...", f"types: {_FORMS}")
        if kind == "choice":
            texts = rest.split(",") if rest else []
            values = [parse_value(text) for text in texts]
            space[name] = {"type": kind, "values": values}
        else:
            low, _, high = rest.partition(":")
            ends = {end: parse_value(text) for end, text in (("min", low), ("max", high)) if text}
            space[name] = {"type": kind, **ends}
    return space


def _data(job: TuningJob, trials: Sequence[TuningTrial]) -> dict[str, Any]:
    return {**unstructure(job), "trials": [unstructure(trial) for trial in trials]}


def _print_job(workspace: Workspace, job: TuningJob, said: str | None = None) -> None:
    best = workspace.tuning.best(job.id)
    trials = workspace.tuning.trials(job.id)
    ended = sum(trial.status != "running" for trial in trials)
    rows = [
        ("id", job.id),
        ("name", job.name),
        ("status", job.status),
        ("dataset", job.dataset_key),
        ("judged on", job.eval_dataset_key or job.dataset_key),
        ("model", job.base_model_id),
        ("trainer", job.trainer),
        ("settings", json.dumps(job.settings) if job.settings else ""),
        ("searched", json.dumps(job.search_space)),
        ("tuner", f"{job.tuner}, seed {job.seed}"),
        ("metric", f"{job.metric_name} ({job.metric_mode})"),
        (
            "trials",
            f"{ended} of {workspace.tuning.wanted(job.id)}, {job.max_concurrent_trials} at once",
        ),
        ("best", "" if best is None else f"trial {best.number}: {json.dumps(best.params)}"),
        ("error", job.error or ""),
    ]
    print_fields((name, value) for name, value in rows if value != "")
    if trials:
        click.echo()
        print_table([_row(job, trial) for trial in trials])
    if said is not None:
        say(said)


def _row(job: TuningJob, trial: TuningTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "status": trial.status,
        **trial.params,
        job.metric_name: trial.metric_value,
        "run": (trial.run_id or "")[:8],
        "error": trial.error,
    }
