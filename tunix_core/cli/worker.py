"""``tunix-rt worker``: execute pending runs and tuning jobs."""

from __future__ import annotations

import signal

import click

from tunix_core.cli.kit import pass_workspace, say
from tunix_core.cli.runs import Duration
from tunix_core.workspace import Workspace


@click.command()
@click.option("--once", is_flag=True, help="End when there is nothing left to do.")
@click.option("--time-limit", type=Duration(), help="End a run that takes longer, say 2h.")
@pass_workspace
def command(workspace: Workspace, once: bool, time_limit: float | None) -> None:
    """Execute pending runs, and move tuning jobs on, until stopped.

    On SIGTERM or Ctrl-C the present run is checkpointed and put back in the queue.

    Example: tunix-rt worker --time-limit 8h
    """
    worker = workspace.worker(time_limit)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    say(f"worker {worker.name} on {workspace.paths.root}")
    worker.work(once=once)
