"""``tunix-rt regress``: has a run become worse?"""

from __future__ import annotations

import click

from tunix_core.cli._common import pass_workspace
from tunix_core.cli._output import emit, json_option, print_fields, print_table
from tunix_core.codec import unstructure
from tunix_core.protocols import Tolerance
from tunix_core.records import Baseline, Verdict
from tunix_core.regressions import DEFAULT_COMPARATOR
from tunix_core.workspace import Workspace

SHOWN = 10


@click.group()
def command() -> None:
    """Set baselines and check runs against them."""


@command.command()
@click.argument("name")
@click.argument("run_id")
@click.option("-e", "--evaluator", default="answer_correctness", show_default=True)
@click.option("--dataset", "dataset_key", help="On which dataset; that of the newest evaluation.")
@click.option("--comparator", default=DEFAULT_COMPARATOR, show_default=True)
@json_option
@pass_workspace
def baseline(
    workspace: Workspace,
    name: str,
    run_id: str,
    evaluator: str,
    dataset_key: str | None,
    comparator: str,
    as_json: bool,
) -> None:
    """Let a run's newest evaluation be a baseline; one of the same name is replaced.

    Example: tunix-rt regress baseline released 4f0c2a1b
    """
    made = workspace.regressions.set_baseline(name, run_id, evaluator, dataset_key, comparator)
    emit(unstructure(made), as_json, table=lambda: print_table([_row(made)]))


@command.command("list")
@json_option
@pass_workspace
def list_baselines(workspace: Workspace, as_json: bool) -> None:
    """List the baselines."""
    held = workspace.regressions.list()
    emit(unstructure(held), as_json, table=lambda: print_table([_row(b) for b in held]))


@command.command()
@click.argument("run_id")
@click.argument("baseline_name")
@click.option(
    "--tolerance",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Difference of means that is still fine.",
)
@click.option(
    "--confidence",
    default=0.95,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
)
@json_option
@pass_workspace
def check(
    workspace: Workspace,
    run_id: str,
    baseline_name: str,
    tolerance: float,
    confidence: float,
    as_json: bool,
) -> int:
    """Compare a run with a baseline, item by item.

    Exits with 0 when it has not regressed, 1 when it has, 3 when they cannot be compared.
    """
    made, verdict = workspace.regressions.check(
        run_id, baseline_name, Tolerance(tolerance, confidence)
    )
    data = {"baseline": unstructure(made), "verdict": unstructure(verdict)}
    emit(data, as_json, table=lambda: _print_verdict(made, verdict))
    return int(verdict.regressed)


def _row(baseline: Baseline) -> dict[str, str]:
    return {
        "name": baseline.name,
        "run": baseline.run_id[:8],
        "evaluator": baseline.metric,
        "dataset": baseline.dataset_key,
        "comparator": baseline.comparator,
        "set": baseline.created_at[:19],
    }


def _print_verdict(baseline: Baseline, verdict: Verdict) -> None:
    p_value = "" if verdict.p_value is None else f"{verdict.p_value:.3g}"
    detectable = verdict.smallest_detectable
    rows = [
        ("verdict", "regressed" if verdict.regressed else "good"),
        ("why", verdict.reason),
        ("metric", f"{baseline.metric}, {verdict.direction} is better"),
        ("baseline", f"{verdict.baseline:.4f}"),
        ("candidate", f"{verdict.candidate:.4f}"),
        ("difference", f"{verdict.delta:+.4f} ({verdict.low:+.4f} to {verdict.high:+.4f})"),
        ("p-value", p_value),
        ("smallest detectable", "" if detectable is None else f"{detectable:.4f}"),
        ("pairs", f"{verdict.n_paired}"),
        ("only in the baseline", f"{len(verdict.missing)}"),
        ("only in the candidate", f"{len(verdict.new)}"),
        ("items that got worse", f"{len(verdict.regressions)}"),
    ]
    print_fields(rows)
    if verdict.regressions:
        click.echo("")
        print_table(verdict.regressions[:SHOWN])
        if len(verdict.regressions) > SHOWN:
            click.echo(f"... and {len(verdict.regressions) - SHOWN} more with --json")
