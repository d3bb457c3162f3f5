"""An evaluation: its score, its groups, and some of the work that was judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import trace_from_json
from tunix_core.datasets.files import DATA
from tunix_core.evaluation import prediction_files, shown_steps
from tunix_core.plugins import Plugins
from tunix_core.records import Completion, Estimate, Evaluation, Item
from tunix_core.rendering import extract_work
from tunix_core.rich.markup import (
    MOST_ROWS,
    Html,
    attempt,
    estimate,
    facts,
    heading,
    note,
    share,
    span,
    table,
    whole,
)
from tunix_core.rich.readable import NOTHING, bare, figure, short, when
from tunix_core.rich.work import judged, work

GROUPS = ("family", "category", "difficulty")
# So many right ones and so many others are shown, the first of each among the first items.
FEW = 2
LOOKED_AT = 10_000

_find_plugins = cache(Plugins.discover)


@frozen
class _Judged:
    """An item that was judged: its place in the dataset, its id, its score."""

    place: int
    item_id: str
    value: float


def evaluation_html(evaluation: Evaluation) -> str:
    """An evaluation in a notebook."""
    parts = [facts(_facts(evaluation)), *_groups(evaluation.scorecard.groups)]
    root = evaluation.root
    if root is not None:
        parts.append(attempt(lambda: _work(evaluation, WorkspacePaths(root))))
    title = f"Evaluation of run {short(evaluation.run_id)}: {bare(evaluation.evaluator)}"
    return whole(title, *parts)


def _facts(evaluation: Evaluation) -> Iterator[tuple[str, Any]]:
    card = evaluation.scorecard
    yield "id", evaluation.id
    yield "score", estimate(card.overall) if card.overall.mean is not None else evaluation.score
    yield "items", f"{card.overall.n:,} of {card.n_items:,} scored"
    yield "verdict", evaluation.verdict
    for name, number in card.metrics.items():
        yield name.replace("_", " "), number
    yield "run", evaluation.run_id
    yield "dataset", evaluation.dataset_key
    yield "evaluator", f"{evaluation.evaluator}, rules {evaluation.evaluator_version}"
    yield "judged", when(evaluation.created_at)


def _groups(groups: Mapping[str, Mapping[str, Estimate]]) -> Iterator[Html]:
    for label in GROUPS:
        rows: list[dict[str, Any]] = [
            {label: group, "": share(held.mean), "score": estimate(held), "items": held.n}
            for group, held in islice(groups.get(label, {}).items(), MOST_ROWS)
        ]
        if rows:
            yield heading(f"By {label}")
            yield table(rows, len(groups[label]) - len(rows))


def _work(evaluation: Evaluation, paths: WorkspacePaths) -> Html:
    chosen = _chosen(paths.root / evaluation.items_path)
    if not chosen:
        return note("no item has a score")
    items = _items(paths.dataset(evaluation.dataset_key) / DATA, chosen)
    folder = prediction_files.folder_of(paths, evaluation.run_id, evaluation.dataset_key)
    meta = prediction_files.read_meta(folder)
    said, remark = {}, note("the run has no answers")
    if meta is not None:
        said = _said(folder / prediction_files.DATA, set(items))
        anew = meta["sha256"] != evaluation.predictions_sha256
        remark = note("answered anew since it was judged") if anew else Html()
    shown = [_item(one, items[one.item_id], said.get(one.item_id)) for one in chosen]
    return Html(f"{heading('Some of the work that was judged')}{remark}{''.join(shown)}")


def _chosen(path: Path) -> list[_Judged]:
    """The first items with the full score, then the first with less."""
    full: list[_Judged] = []
    less: list[_Judged] = []
    with path.open("rb") as file:
        for place, line in enumerate(islice(file, LOOKED_AT)):
            score = json.loads(line)
            if score["value"] is not None:
                kind = full if score["value"] == 1.0 else less
                kind.append(_Judged(place, score["item_id"], score["value"]))
            if len(full) >= FEW and len(less) >= FEW:
                break
    return [*full[:FEW], *less[:FEW]]


def _items(data: Path, chosen: Sequence[_Judged]) -> dict[str, Item]:
    """The items by id; judgements are in the order of the dataset, one for each item."""
    ids = {one.place: one.item_id for one in chosen}
    with data.open("rb") as file:
        lines = enumerate(islice(file, max(ids) + 1))
        return {
            ids[place]: Item(ids[place], trace_from_json(line))
            for place, line in lines
            if place in ids
        }


def _said(path: Path, wanted: set[str]) -> dict[str, Completion]:
    """The first answer to each item that is wanted; models answer about in the order asked."""
    said: dict[str, Completion] = {}
    with path.open("rb") as file:
        for line in islice(file, 10 * LOOKED_AT):
            completion = prediction_files.parse_line(line)
            if completion.item_id in wanted and completion.sample == 0:
                said[completion.item_id] = completion
                if len(said) == len(wanted):
                    break
    return said


def _item(one: _Judged, item: Item, completion: Completion | None) -> Html:
    said = "" if completion is None else completion.text
    marked = extract_work(said)
    kind = "good" if one.value == 1.0 else "bad"
    given = NOTHING if marked is None else marked.answer
    return work(
        item.prompt,
        [judged(step) for step in shown_steps.of_completion(_find_plugins(), item, said)],
        [
            ("answer given", span(given, kind)),
            ("answer due", item.answer),
            ("score", span(figure(one.value), kind)),
        ],
    )
