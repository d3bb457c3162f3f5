"""``tunix-rt fit``: what a run would take, before anything is spent on it."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from tunix_core.cli.kit import emit, json_option, pass_workspace, print_table, say, settings_option
from tunix_core.contributions import TRAINER
from tunix_core.workspace import Workspace
from tunix_jax.fit.request import (
    dataset_places,
    merged,
    mesh_settings,
    resolve_model,
    shape_of,
)
from tunix_jax.fit.targets import is_topology

if TYPE_CHECKING:
    from tunix_jax.fit.changes import Change
    from tunix_jax.fit.check import FitReport, FitRequest

OURS = "tunix-jax/jax"


@click.command()
@click.option("--model", required=True, help="Name of a shape, a directory, a Hub id, or a run.")
@click.option(
    "--topology",
    metavar="NAME",
    help="cpu, gpu, or a TPU slice such as v5e:2x4, here or not.  [default: the devices here]",
)
@click.option("--batch", "rows", type=int, help="Rows per step, over all devices.")
@click.option("--seq", "max_length", type=int, help="Tokens in a row.")
@click.option("--lora-rank", type=int, help="Rank of adapters; 0 trains all weights.")
@click.option("--accumulation", type=int, help="Micro-batches per step.")
@click.option("--remat", help="none, dots or full: what is computed again instead of kept.")
@click.option("--optimizer", help="adamw, adafactor or muon.")
@click.option("--dtype", help="bfloat16 or float32: type of the computation.")
@click.option("--mesh", metavar="AXES", help="Such as fsdp=4,tensor=2.")
@settings_option
@click.option("--dataset", metavar="KEY", help="Say how many hours this dataset takes.")
@click.option("--tokens", type=int, help="Say how many hours so many tokens take.")
@click.option(
    "--tries",
    default=1,
    show_default=True,
    help="If it does not fit, how many changes to compile; others are estimated.",
)
@click.option("--table", is_flag=True, help="What fits: by length, all weights and LoRA.")
@json_option
@pass_workspace
def fit(
    workspace: Workspace,
    /,
    model: str,
    topology: str | None,
    mesh: str | None,
    settings: dict[str, Any],
    dataset: str | None,
    tokens: int | None,
    tries: int,
    table: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Compile the training step for some devices, and say what it takes of them.

    Weights stay abstract: they need no memory, and those of a shape that has a name need not
    even be here. TPUs are compiled for without having one, by libtpu, which is an extra: pip
    install 'tunix-jax[tpu-compile]'. Exits with 1 when the step does not fit, after saying what
    to change.

    Times are bounds: FLOPs at the chip's peak, bytes at its bandwidth. A step takes longer.

    \b
    Examples:
      tunix-rt fit --model small --dataset mine-v1
      tunix-rt fit --model gemma-2-2b --topology v5e:2x4 --batch 8 --seq 16384
      tunix-rt fit --model google/gemma-3-4b-it --topology v5e:2x4 --batch 8 --lora-rank 16
      tunix-rt fit --model small --table
    """
    if is_topology(topology):
        # What is compiled for is elsewhere: look for no accelerator here.
        os.environ["JAX_PLATFORMS"] = "cpu"
    options |= {"model_id": resolve_model(model, workspace)}
    options |= {} if mesh is None else {"mesh": mesh_settings(mesh)}
    request = _request(workspace, merged(settings, options), topology, dataset, tokens)
    if table:
        return _table(request, as_json)
    with Waiting(f"compiling for {topology or 'the devices here'}"):
        from tunix_jax.fit.check import check_fit

        report = check_fit(request)
    changes: list[Change] = []
    if not report.fits:
        from tunix_jax.fit.check import compiled_changes

        with Waiting("it does not fit; compiling changes"):
            changes = compiled_changes(report, tries)
    emit(_json(report, changes), as_json, table=lambda: _print(report, changes))
    return int(not report.fits)


def _request(
    workspace: Workspace,
    settings: dict[str, Any],
    topology: str | None,
    dataset: str | None,
    tokens: int | None,
) -> FitRequest:
    config = workspace.plugins.find(TRAINER, OURS).config(settings)
    if dataset is not None:
        places = dataset_places(workspace.datasets.data_path(dataset), config)
        tokens = places.count
        if not places.exact:
            say(f"{dataset}: about {tokens:,} tokens, at 4 characters each")
    from tunix_jax.fit.check import FitRequest

    return FitRequest(config, shape_of(config), topology, tokens)


def _table(request: FitRequest, as_json: bool) -> int:
    from tunix_jax.fit.table import table_rows

    rows = []
    for row in table_rows(request, lambda what: Waiting(f"compiling {what}")):
        rows.append(row)
    emit(rows, as_json, table=lambda: print_table(rows))
    return 0


def _json(report: FitReport, changes: list[Change]) -> dict[str, Any]:
    listed = [
        {"settings": c.text, "total_bytes": c.total_bytes, "compiled": c.compiled} for c in changes
    ]
    return report.to_json() | {"changes": listed}


def _print(report: FitReport, changes: list[Change]) -> None:
    """The report for people."""
    from tunix_jax.fit.text import change_rows, report_rows, verdict

    print_table(report_rows(report))
    click.echo(verdict(report))
    if not report.fits:
        click.echo("what to change:" if changes else "no change of settings is known to be enough")
        if changes:
            print_table(change_rows(changes))


class Waiting:
    """Says what is going on and for how long, on standard error: a line that counts, on a
    terminal; elsewhere one line when it is over.

    Args:
        what: What is going on.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            click.echo("\r\x1b[K", nl=False, err=True)
        elif error is None:
            say(f"{self._what}: {self._seconds():.0f} s")

    def _count(self) -> None:
        while not self._over.wait(1.0):
            click.echo(f"\r{self._what} ... {self._seconds():.0f} s", nl=False, err=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._began
