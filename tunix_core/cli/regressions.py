"""``tunix-rt regress``: has a run become worse?"""

from __future__ import annotations

import click

from tunix_core.cli.kit import (
    emit,
    json_option,
    pass_workspace,
    print_fields,
    print_table,
    refuse_given,
)
from tunix_core.codec import unstructure
from tunix_core.errors import UsageError
from tunix_core.evaluation.regressions import DEFAULT_COMPARATOR
from tunix_core.evaluators import USUAL_JUDGE
from tunix_core.protocols import Tolerance
from tunix_core.records import Baseline, MetricCheck, Verdict
from tunix_core.workspace import Workspace

SHOWN = 10
EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 2, "not comparable": 3}
SAID = {"fail": "fail: regressed"}


@click.group()
def command() -> None:
    """Set baselines and check runs against them."""


@command.command()
@click.argument("name")
@click.argument("run_id")
@click.option("-e", "--evaluator", default=USUAL_JUDGE, show_default=True)
@click.option("--dataset", "dataset_key", help="On which dataset; that of the newest evaluation.")
@click.option("--comparator", default=DEFAULT_COMPARATOR, show_default=True)
@click.option(
    "--metric",
    help="Compare this one figure instead of every item: primary_score, score, a figure of an "
    "evaluation, or item_ with the first 8 characters of an item's id.",
)
@click.option(
    "--lower-is-better/--higher-is-better",
    default=None,
    help="Direction of the figure; by default its name tells.",
)
@json_option
@pass_workspace
def baseline(
    workspace: Workspace,
    name: str,
    run_id: str,
    evaluator: str,
    dataset_key: str | None,
    comparator: str,
    metric: str | None,
    lower_is_better: bool | None,
    as_json: bool,
) -> None:
    """Let a run's newest evaluation be a baseline; one of the same name is replaced.

    \b
    Examples:
      tunix-rt regress baseline released 4f0c2a1b
      tunix-rt regress baseline released-score 4f0c2a1b --metric score
    """
    regressions = workspace.regressions
    if metric is None:
        if lower_is_better is not None:
            raise UsageError(
                "--lower-is-better and --higher-is-better need --metric",
                "item by item the comparator fixes the direction",
            )
        made = regressions.set_baseline(name, run_id, evaluator, dataset_key, comparator)
    else:
        refuse_given(("evaluator", "comparator"), "it is for baselines without --metric")
        made = regressions.set_metric_baseline(
            name, run_id, metric, lower_is_better, dataset_key=dataset_key
        )
    emit(unstructure(made), as_json, table=lambda: print_table([_row(made)]))


@command.command("list")
@json_option
@pass_workspace
def list_baselines(workspace: Workspace, as_json: bool) -> None:
    """List the baselines.

    Example: tunix-rt regress list
    """
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
@click.option(
    "--by",
    type=click.Choice(["items", "metric"]),
    help="What is compared; by default what the baseline was set for.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Let an item without a score on one side count as the worst score there.",
)
@json_option
@pass_workspace
def check(
    workspace: Workspace,
    run_id: str,
    baseline_name: str,
    tolerance: float,
    confidence: float,
    by: str | None,
    allow_missing: bool,
    as_json: bool,
) -> int:
    """Compare a run with a baseline, item by item or by one figure.

    The run fails when it is worse beyond the tolerance and beyond chance, and passes when its
    observed loss is within the tolerance. Exits with 0 for pass, 1 for fail, 2 for inconclusive
    and 3 for not comparable. Wrong usage ends with 2 as well, and prints nothing but an error.

    Example: tunix-rt regress check 4f0c2a1b released --tolerance 0.02
    """
    by = by or ("metric" if workspace.regressions.baseline(baseline_name).metric_name else "items")
    if by == "metric":
        refuse_given(
            ("tolerance", "confidence", "allow_missing"),
            "a figure passes up to 5 % worse; try --by items",
        )
        outcome = workspace.regressions.check_metric(run_id, baseline_name)
        emit(unstructure(outcome), as_json, table=lambda: print_fields(_metric_fields(outcome)))
        return EXIT_CODES[outcome.verdict]
    made, verdict = workspace.regressions.check(
        run_id, baseline_name, Tolerance(tolerance, confidence), allow_missing
    )
    data = {"baseline": unstructure(made), "verdict": unstructure(verdict)}
    emit(data, as_json, table=lambda: _print_verdict(made, verdict))
    return EXIT_CODES[verdict.outcome]


def _row(baseline: Baseline) -> dict[str, str]:
    return {
        "name": baseline.name,
        "run": baseline.run_id[:8],
        "evaluator": baseline.metric,
        "metric": baseline.metric_name or "",
        "dataset": baseline.dataset_key,
        "comparator": baseline.comparator,
        "set": baseline.created_at[:19],
    }


def _metric_fields(outcome: MetricCheck) -> list[tuple[str, str]]:
    return [
        ("verdict", SAID.get(outcome.verdict, outcome.verdict)),
        ("why", outcome.details),
        ("metric", outcome.metric_name),
        ("baseline", f"{outcome.baseline_value:.4f}"),
        ("candidate", f"{outcome.current_value:.4f}"),
        ("difference", f"{outcome.delta:+.4f} ({outcome.delta_percent:+.2f} %)"),
    ]


def _print_verdict(baseline: Baseline, verdict: Verdict) -> None:
    p_value = "" if verdict.p_value is None else f"{verdict.p_value:.3g}"
    detectable = verdict.smallest_detectable
    rows = [
        ("verdict", SAID.get(verdict.outcome, verdict.outcome)),
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
