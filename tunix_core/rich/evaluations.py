"""An evaluation: its score, its groups, and some of the work that was judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.evaluation.basis import settings_text, training_text
from tunix_core.evaluation.judgement_files import read_scores
from tunix_core.evaluation.review import JudgedItem, review
from tunix_core.records import Estimate, Evaluation, Score
from tunix_core.rich.homes import Home
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
from tunix_core.rich.readable import bare, coverage, figure, short, when
from tunix_core.rich.work import judged, work

GROUPS = ("family", "category", "difficulty")
# So many right ones and so many others are shown, the first of each among the first items.
FEW = 2
LOOKED_AT = 10_000


def evaluation_html(evaluation: Evaluation, home: Home | None) -> str:
    """An evaluation in a notebook; without its workspace what the record says."""
    parts = [facts(_facts(evaluation)), *_groups(evaluation.scorecard.groups)]
    if home is not None:
        parts.append(attempt(lambda: _work(evaluation, home)))
    title = f"Evaluation of run {short(evaluation.run_id)}: {bare(evaluation.evaluator)}"
    return whole(title, *parts)


def is_in(paths: WorkspacePaths, evaluation: Evaluation) -> bool:
    """Whether a workspace has the judgements of an evaluation."""
    return (paths.root / evaluation.items_path).is_file()


def _facts(evaluation: Evaluation) -> Iterator[tuple[str, Any]]:
    card = evaluation.scorecard
    yield "id", evaluation.id
    yield "score", estimate(card.overall) if card.overall.mean is not None else evaluation.score
    yield "items", f"{coverage(card)} (scored)"
    yield "verdict", evaluation.verdict
    for name, number in card.metrics.items():
        held = card.estimates.get(name)
        yield name.replace("_", " "), number if held is None else estimate(held)
    yield "run", evaluation.run_id
    yield "dataset", evaluation.dataset_key
    yield "evaluator", f"{evaluation.evaluator}, rules {evaluation.evaluator_version}"
    yield "judged", when(evaluation.created_at)
    yield "answers", settings_text(evaluation.basis)
    remark = training_text(evaluation)
    if remark is not None:
        yield "beware", remark


def _groups(groups: Mapping[str, Mapping[str, Estimate]]) -> Iterator[Html]:
    for label in GROUPS:
        rows: list[dict[str, Any]] = [
            {label: group, "": share(held.mean), "score": estimate(held), "items": held.n}
            for group, held in islice(groups.get(label, {}).items(), MOST_ROWS)
        ]
        if rows:
            yield heading(f"By {label}")
            yield table(rows, len(groups[label]) - len(rows))


def _work(evaluation: Evaluation, home: Home) -> Html:
    chosen = _chosen(read_scores(home.paths, evaluation))
    if not chosen:
        return note("no item has a score")
    shown = review(home.paths, home.shown_steps, evaluation, chosen)
    remark = Html() if shown.problem is None else note(shown.problem)
    items = "".join(map(_item, shown.items))
    return Html(f"{heading('Some of the work that was judged')}{remark}{items}")


def _chosen(scores: Iterable[Score]) -> list[Score]:
    """The first judgements with the full score, then the first with less."""
    full: list[Score] = []
    less: list[Score] = []
    for score in islice(scores, LOOKED_AT):
        if score.value is not None:
            (full if score.value == 1.0 else less).append(score)
        if len(full) >= FEW and len(less) >= FEW:
            break
    return [*full[:FEW], *less[:FEW]]


def _item(one: JudgedItem) -> Html:
    """An item with the first answer to it."""
    kind = "good" if one.score.value == 1.0 else "bad"
    first = one.answers[0] if one.answers else None
    given = None if first is None else first.answer
    return work(
        one.item.prompt,
        [] if first is None else [judged(step) for step in first.steps],
        [
            ("answer given", span(given, kind)),
            ("answer due", one.item.answer),
            ("score", span(figure(one.score.value), kind)),
        ],
    )
