"""``tunix-rt eval``: judge what a run's model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import click
from attrs import evolve

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
from tunix_core.cli.progress import Progress
from tunix_core.codec import structure, unstructure
from tunix_core.contributions import EVALUATOR, bare_name
from tunix_core.errors import InvalidRecordError, UsageError
from tunix_core.evaluation.basis import settings_text, training_text
from tunix_core.evaluation.leaderboard import Place
from tunix_core.evaluators import USUAL_JUDGE, USUAL_JUDGES
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Estimate, Evaluation, Scorecard
from tunix_core.rich.readable import coverage, estimate_text, standing
from tunix_core.workspace import Workspace

_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])
SHOWN_CHARS = 80
SHOWN_MATCHES = 2
_WRITTEN = "YYYY-MM-DD[THH:MM:SS]"


@click.group()
def command() -> None:
    """Evaluate runs and show the leaderboard."""


@command.command()
@click.argument("run_id")
@click.option("--dataset", "dataset_key", required=True, help="The dataset to be answered.")
@click.option(
    "-e",
    "--evaluator",
    "evaluators",
    multiple=True,
    default=USUAL_JUDGES,
    show_default=True,
    help="Name of an evaluator; may be given many times.",
)
@click.option(
    "--generate",
    "generation",
    multiple=True,
    metavar="KEY=VALUE",
    help="How to sample, such as temperature=0.7; greedy by default.",
)
@click.option("--system-prompt", metavar="TEXT", help="What stands before every question.")
@click.option(
    "--fewshot",
    type=(click.IntRange(1), str),
    metavar="N KEY",
    help="N items of another dataset that are not asked, worked, before every question.",
)
@settings_option
@click.option("--again", is_flag=True, help="Judge anew what was judged before.")
@json_option
@pass_workspace
def run(
    workspace: Workspace,
    run_id: str,
    dataset_key: str,
    evaluators: tuple[str, ...],
    generation: tuple[str, ...],
    system_prompt: str | None,
    fewshot: tuple[int, str] | None,
    settings: dict[str, Any],
    again: bool,
    as_json: bool,
) -> None:
    """Let a run's model answer a dataset and judge the answers.

    What was answered before is not answered again, and what was judged before is said again,
    unless --again is given. Settings are those of the one evaluator that is named. How the model
    was asked is stored with its answers; scores are ranked with those that were asked alike.

    \b
    Examples:
      tunix-rt eval run 4f0c2a1b --dataset held-out-v1
      tunix-rt eval run 5b1c88d0 --dataset held-out-v1 --fewshot 4 mine-v1
      tunix-rt eval run 4f0c2a1b --dataset held-out-v1 -e llm-judge --set model=qwen3
    """
    if settings and len(evaluators) != 1:
        raise UsageError("--set needs one evaluator", "name it with -e")
    for name in evaluators:
        workspace.plugins.find(EVALUATOR, name)
    config = _generation(generation, system_prompt or "")
    if fewshot is not None:
        count, key = fewshot
        examples = workspace.datasets.examples(key, count, apart_from=dataset_key)
        config = evolve(config, examples=examples)
    samples = config.samples
    total = workspace.datasets.manifest(dataset_key).trace_count * samples
    with Progress(total, f"answering {dataset_key}") as bar:
        workspace.predictions.create(run_id, dataset_key, config, bar.reach)
    evaluations = []
    for name in evaluators:
        with Progress(total // samples, f"judging by {name}") as bar:
            evaluations += workspace.evaluations.run(
                run_id, dataset_key, [name], bar.reach, settings, again=again
            )
    for evaluation in evaluations:
        _say_of(workspace, evaluation)
    emit([unstructure(e) for e in evaluations], as_json, table=lambda: _print_made(evaluations))


@command.command()
@click.argument("run_a")
@click.argument("run_b")
@click.option("--dataset", "dataset_key", required=True, help="The dataset that both answered.")
@click.option("--judge", required=True, help="An evaluator that compares answers.")
@settings_option
@click.option("--again", is_flag=True, help="Compare anew what was compared so before.")
@json_option
@pass_workspace
def pairwise(
    workspace: Workspace,
    run_a: str,
    run_b: str,
    dataset_key: str,
    judge: str,
    settings: dict[str, Any],
    again: bool,
    as_json: bool,
) -> None:
    """Let a model say of every item which run's answer is better, in both orders.

    Exits with 3 when there is no judgement of any item.

    Example: tunix-rt eval pairwise 4f0c2a1b 77fe65b2 --dataset held-out-v1 --judge llm-judge
    """
    total = workspace.datasets.manifest(dataset_key).trace_count
    with Progress(total, f"comparing {dataset_key}") as bar:
        result = workspace.pairwise.compare(
            run_a, run_b, dataset_key, judge, settings, bar.reach, again
        )
    fields = [
        ("runs", f"{result.run_ids[0][:8]} against {result.run_ids[1][:8]}"),
        ("judge", f"{result.judge}, version {result.judge_version}"),
        ("answers", " against ".join(dict.fromkeys(result.settings))),
        ("win rate", f"{result.win_rate:.3f}"),
        ("95 % interval", f"{result.low:.3f} to {result.high:.3f}"),
        ("items", f"{result.n} judged, {result.refused} without a judgement"),
        ("wins, ties, losses", f"{result.wins}, {result.ties}, {result.losses}"),
        ("both orders agree", f"{result.consistency:.1%} of pairs"),
        ("judgements", result.items_path),
    ]
    emit(unstructure(result), as_json, table=lambda: print_fields(fields))


@command.command()
@click.argument("train")
@click.argument("test")
@click.option("--run", "run_id", help="Judge this run without the items that are shared.")
@click.option(
    "-e", "--evaluator", default=USUAL_JUDGE, show_default=True, help="The judge for --run."
)
@json_option
@pass_workspace
def contamination(
    workspace: Workspace,
    train: str,
    test: str,
    run_id: str | None,
    evaluator: str,
    as_json: bool,
) -> None:
    """Say what the dataset TEST shares with the dataset TRAIN.

    \b
    exact      the question is asked in TRAIN; case, spaces and labels aside
    ngram      13 words in a row of the question stand in an item of TRAIN
    same_work  the same equations lead to the same answer, operands swapped or not

    \b
    Examples:
      tunix-rt eval contamination mine-v1 held-out-v1
      tunix-rt eval contamination mine-v1 held-out-v1 --run 4f0c2a1b
    """
    judged = None if run_id is None else workspace.evaluations.run(run_id, test, [evaluator])[0]
    total = workspace.datasets.manifest(train).trace_count
    with Progress(total, f"comparing {test} with {train}") as bar:
        found = workspace.datasets.contamination(train, test, bar.reach)
    apart = {
        measure: workspace.evaluations.estimate_without(judged, found.items(measure))
        for measure in (found.counts if judged is not None else ())
        if judged is not None
    }

    def table() -> None:
        print_table(
            {
                "measure": shared.measure,
                "items": len(shared.matches),
                "of": shared.compared,
                "share": _share(len(shared.matches), shared.compared),
                **({"score without": estimate_text(apart[shared.measure])} if apart else {}),
            }
            for shared in found.shared
        )
        if judged is not None:
            click.echo(f"\n{bare_name(judged.evaluator)} of all: {standing(judged.scorecard)}")
        for shared in found.shared:
            for match in shared.matches[:SHOWN_MATCHES]:
                click.echo(f"\n{shared.measure}")
                for name, item in ((test, match.test_item), (train, match.train_item)):
                    click.echo(f"  {name}: {_one_line(workspace.traces.get(item).trace.prompt)}")

    emit({**unstructure(found), "score_without": unstructure(apart)}, as_json, table)


def _share(part: int, whole: int) -> str | None:
    return f"{part / whole:.1%}" if whole else None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}…"


def _print_made(evaluations: Sequence[Evaluation]) -> None:
    """Print what was judged, and below it what several samples come to."""
    print_table([_row(evaluation) for evaluation in evaluations])
    of_samples = [
        {"evaluator": bare_name(evaluation.evaluator), "metric": name, **_estimate(estimate)}
        for evaluation in evaluations
        for name, estimate in evaluation.scorecard.estimates.items()
    ]
    if of_samples:
        click.echo("")
        print_table(of_samples)


def _metric_rows(card: Scorecard) -> list[dict[str, Any]]:
    """The metrics of a scorecard, with their intervals where any has one."""
    rows: list[dict[str, Any]] = []
    for name, value in card.metrics.items():
        row = {"metric": name, "value": value}
        if card.estimates:
            held = card.estimates.get(name)
            row["95 % interval"] = None if held is None else _estimate(held)["95 % interval"]
        rows.append(row)
    return rows


def _say_of(workspace: Workspace, evaluation: Evaluation) -> None:
    """Tell that judgements are not new, or that the questions were trained on."""
    earlier = workspace.evaluations.judged_before(evaluation)
    if earlier is not None:
        say(
            f"judged before: {bare_name(evaluation.evaluator)}, {earlier.created_at[:19]} as "
            f"{earlier.id[:8]}; --again judges anew"
        )
    remark = training_text(evaluation)
    if remark is not None:
        say(f"beware: {bare_name(evaluation.evaluator)}: {remark}")


def _generation(pairs: tuple[str, ...], system_prompt: str) -> GenerationConfig:
    given = {"system_prompt": system_prompt} if system_prompt else {}
    try:
        return structure(GenerationConfig, {**parse_pairs(pairs), **given})
    except InvalidRecordError as error:
        known = ", ".join(attribute.name for attribute in GenerationConfig.__attrs_attrs__)
        raise UsageError("--generate: " + "; ".join(error.problems), f"known: {known}") from None


@command.command()
@click.argument("evaluation_id")
@click.option("--items", is_flag=True, help="Show the judgement of every item.")
@json_option
@pass_workspace
def show(workspace: Workspace, evaluation_id: str, items: bool, as_json: bool) -> None:
    """Show an evaluation, with its groups and intervals.

    Example: tunix-rt eval show EVALUATION --items
    """
    evaluation = workspace.evaluations.get(evaluation_id)
    outdated = workspace.evaluations.outdated(evaluation)
    remarks = (training_text(evaluation), outdated and f"it no longer holds: {outdated}")
    data = {**unstructure(evaluation), "outdated": outdated}
    scores = [unstructure(s) for s in workspace.evaluations.scores(evaluation)] if items else []
    if items:
        data["items"] = scores

    def table() -> None:
        print_table([_row(evaluation)])
        click.echo(f"\nanswers: {settings_text(evaluation.basis)}")
        for remark in filter(None, remarks):
            click.echo(f"beware: {remark}")
        for label, groups in evaluation.scorecard.groups.items():
            click.echo("")
            print_table([{label: name, **_estimate(estimate)} for name, estimate in groups.items()])
        if metrics := _metric_rows(evaluation.scorecard):
            click.echo("")
            print_table(metrics)
        if scores:
            click.echo("")
            print_table(
                {"item": s["item_id"], "score": s["value"], **_short(s["details"])} for s in scores
            )

    emit(data, as_json, table)


@command.command()
@click.option("-e", "--evaluator", default=USUAL_JUDGE, show_default=True)
@click.option("--all", "every", is_flag=True, help="Every evaluator whose numbers are grades.")
@click.option("--dataset", "dataset_key", help="Only this dataset.")
@click.option("--model", "model_id", metavar="TEXT", help="Only models whose id contains this.")
@click.option(
    "--config",
    "config_path",
    metavar="TEXT",
    help="Only runs whose configuration, as JSON, contains this.",
)
@click.option(
    "--from", "date_from", type=_TIME, metavar=_WRITTEN, help="Only what was judged then or later."
)
@click.option(
    "--to", "date_to", type=_TIME, metavar=_WRITTEN, help="Only what was judged then or earlier."
)
@click.option("--outdated", is_flag=True, help="Also what no longer holds, without a rank.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
@json_option
@pass_workspace
def leaderboard(
    workspace: Workspace,
    evaluator: str,
    every: bool,
    dataset_key: str | None,
    model_id: str | None,
    config_path: str | None,
    date_from: datetime | None,
    date_to: datetime | None,
    outdated: bool,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """Rank runs by their newest evaluation, best first.

    Only what was asked, sampled and judged alike is ranked together. Ranks such as 1-2 are not
    told apart by the items that both runs answered. An evaluation no longer holds when its run
    was trained on or its dataset built anew since.

    Times are UTC; a day without a time is its first moment.

    Example: tunix-rt eval leaderboard --model small --from 2026-01-31
    """
    places = workspace.evaluations.places(
        None if every else evaluator,
        dataset_key,
        model_id=model_id,
        config_path=config_path,
        date_from=date_from,
        date_to=date_to,
        limit=limit,
        offset=offset,
        outdated=outdated,
    )
    data = [
        {
            **unstructure(place.evaluation),
            "rank": place.rank_text or None,
            "settings": place.group.settings,
            "outdated": place.outdated,
        }
        for place in places
    ]
    emit(data, as_json, table=lambda: print_places(workspace, places))


def print_places(workspace: Workspace, places: Sequence[Place]) -> None:
    """Print a leaderboard, a table for each group of scores that can be compared."""
    if not places:
        print_table([])
    for number, (group, held) in enumerate(groupby(places, key=lambda place: place.group)):
        judge = bare_name(group.evaluator)
        version = f"{judge} {group.version} ({group.distribution or 'distribution not known'})"
        click.echo(f"{chr(10) if number else ''}{group.dataset_key}: {version}, {group.settings}")
        print_table([_place_row(workspace, place) for place in held])


def _place_row(workspace: Workspace, place: Place) -> dict[str, Any]:
    evaluation = place.evaluation
    shown = _row(evaluation)
    del shown["dataset"], shown["evaluator"]
    remarks = filter(None, (training_text(evaluation), place.outdated))
    return {
        "rank": place.rank_text,
        "model": workspace.runs.get(evaluation.run_id).model_id,
        **shown,
        "beware": "; ".join(remarks),
    }


def _short(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details for a table; JSON has them whole."""
    texts = {key: str(value) for key, value in details.items()}
    long = {key: f"{text[:SHOWN_CHARS]}…" for key, text in texts.items() if len(text) > SHOWN_CHARS}
    return {**details, **long}


def _row(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "run": evaluation.run_id[:8],
        "dataset": evaluation.dataset_key,
        "evaluator": evaluation.evaluator.removeprefix("tunix-core/"),
        **_estimate(evaluation.scorecard.overall),
        "n": coverage(evaluation.scorecard),
        "evaluation": evaluation.id,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return {"score": None, "95 % interval": None, "n": estimate.n}
    return {
        "score": f"{estimate.mean:.3f}",
        "95 % interval": f"{estimate.low:.3f} to {estimate.high:.3f}",
        "n": estimate.n,
    }
