"""``tunix-rt demo``: the whole line, for people to watch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from tunix_core.cli.evaluations import print_places
from tunix_core.cli.kit import emit, json_option, pass_workspace, print_table, say
from tunix_core.cli.progress import Progress, TrainingProgress
from tunix_core.contributions import bare_name
from tunix_core.demo import DemoConfig, DemoResult, run_demo
from tunix_core.errors import UsageError
from tunix_core.evaluators import USUAL_JUDGE
from tunix_core.records import Run
from tunix_core.rich.plots import plot_outcome
from tunix_core.rich.readable import estimate_text, shared_text, standing
from tunix_core.workspace import Workspace

LEADERBOARD_ROWS = 5


class _Screen:
    """Shows each phase with a bar of its own."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._number = 0
        self._bar: Any = None
        self._started = 0.0

    def phase(self, title: str) -> None:
        self.close()
        self._number += 1
        self._started = time.monotonic()
        say(f"[{self._number}] {title}")

    def progress(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = Progress(total, "    done", self._started)
            self._bar.__enter__()
        self._bar.reach(done)

    def training(self, run: Run) -> Callable[[], None]:
        self.close()
        self._bar = TrainingProgress(self._workspace, run)
        poll: Callable[[], None] = self._bar
        return poll

    def close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


@click.command()
@click.option("--train-items", type=click.IntRange(100), help="Training items to generate.")
@click.option("--test-items", type=click.IntRange(24), help="Held-out items to answer.")
@click.option("--steps", type=click.IntRange(0), help="Training steps.")
@json_option
@pass_workspace
def command(
    workspace: Workspace,
    train_items: int | None,
    test_items: int | None,
    steps: int | None,
    as_json: bool,
) -> None:
    """Run the whole line on dev-reasoning-v1 with a small model, on the CPU.

    Generates items, trains a model from scratch to show its work on them, evaluates it before
    and after on held-out items, checks for a regression and promotes it to the registry.

    Example: tunix-rt --workspace demo-workspace demo
    """
    defaults = DemoConfig()
    trainer_settings = dict(defaults.trainer_settings)
    if steps is not None:
        trainer_settings["steps"] = steps
    config = DemoConfig(
        trainer_settings=trainer_settings,
        train_items=train_items or defaults.train_items,
        test_items=test_items or defaults.test_items,
    )
    screen = _Screen(workspace)
    try:
        result = run_demo(workspace, config, screen)
    finally:
        screen.close()
    picture = _draw(workspace, result)
    emit(result.summary, as_json, table=lambda: _print_result(workspace, result, picture))


def _draw(workspace: Workspace, result: DemoResult) -> str:
    """Where the picture of the outcome lies, or why there is none."""
    path = workspace.paths.root / "demo.png"
    losses = [(m["step"], m["loss"]) for m in workspace.runs.metrics(result.run.id)]
    try:
        plot_outcome(losses, result.before, result.after, path)
    except UsageError as error:
        return str(error)
    return str(path)


def _print_result(workspace: Workspace, result: DemoResult, picture: str) -> None:
    summary = result.summary
    click.echo("\nThree held-out items, as the trained model answered them\n")
    for judged in result.examples:
        click.echo(f"  {judged.item.label('family')}: {judged.item.prompt}")
        for line in judged.answers[0].completion.text.splitlines():
            click.echo(f"    {line}")
        click.echo("")
    print_table(
        [
            {
                "score": bare_name(after.evaluator),
                "before": standing(before.scorecard),
                "after": standing(after.scorecard),
            }
            for before, after in zip(result.before, result.after, strict=True)
        ]
    )
    click.echo(f"\nin the training data, {shared_text(result.contamination)}")
    judge = bare_name(result.after[0].evaluator)
    click.echo(f"{judge} without the same work: {estimate_text(result.apart)}")
    dataset = result.after[0].dataset_key
    click.echo(f"\nLeaderboard of {dataset}\n")
    places = workspace.evaluations.places(USUAL_JUDGE, dataset, limit=LEADERBOARD_ROWS)
    print_places(workspace, places)
    click.echo(f"\nalways the most frequent answer: {summary['constant_answer_baseline']:.3f}")
    click.echo(f"regression check: {result.verdict.reason}")
    root = workspace.paths.root
    seconds = summary["seconds"]
    rows = [
        ("model", f"{summary['model_version']} in {root / 'models'}"),
        ("run", str(root / result.run.output_dir)),
        ("datasets", str(root / "datasets")),
        ("summary", str(root / "summary.json")),
        ("picture", picture),
        ("time", ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())),
    ]
    click.echo("")
    print_table([{"what": name, "where": value} for name, value in rows])
