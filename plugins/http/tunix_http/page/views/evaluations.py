"""Evaluations: the leaderboard, one evaluation item by item, one item step by step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tunix_core import Workspace
from tunix_core.contributions import EVALUATOR
from tunix_core.errors import NotFoundError
from tunix_core.evaluation.basis import settings_text, training_text
from tunix_core.evaluation.leaderboard import Place
from tunix_core.evaluators import USUAL_JUDGE_FULL
from tunix_core.records import Evaluation, Score
from tunix_core.rich.readable import coverage
from tunix_http.page.pages import Data, Page
from tunix_http.page.panels import panels
from tunix_http.page.query import Query, Window
from tunix_http.page.views.rows import dataset_keys, evaluation_row, question

ALL_GRADES = "all grades"


def leaderboard(workspace: Workspace, query: Query) -> Data:
    """Runs by their newest evaluation, best first among those that can be compared."""
    limit = query.number("limit", 20, 1, 100)
    offset = query.number("offset", 0, 0, 10**9)
    known = [p.full_name for p in workspace.plugins.all(EVALUATOR)]
    chosen = query.choice("evaluator", (ALL_GRADES, *known), USUAL_JUDGE_FULL)
    outdated = query.choice("outdated", ("0", "1"), "0") == "1"
    found = workspace.evaluations.places(
        None if chosen == ALL_GRADES else chosen,
        query.text("dataset"),
        model_id=query.text("model"),
        limit=limit + 1,
        offset=offset,
        outdated=outdated,
    )
    return {
        "groups": [
            {"group": group, "ranked": [_ranked(workspace, place) for place in held]}
            for group, held in groupby(found[:limit], key=lambda place: place.group)
        ],
        "outdated": outdated,
        "evaluator": chosen,
        "evaluators": (*known, ALL_GRADES),
        "dataset": query.text("dataset"),
        "datasets": dataset_keys(workspace),
        "model": query.text("model"),
        "window": Window.of(query, limit, offset, more=len(found) > limit),
    }


def _ranked(workspace: Workspace, place: Place) -> dict[str, Any]:
    run = workspace.runs.get(place.evaluation.run_id)
    return {"rank": place.rank_text, **evaluation_row(run, place.evaluation, place.outdated)}


def evaluation(workspace: Workspace, query: Query) -> Data:
    """One evaluation: its figures, its groups, its items."""
    held = workspace.evaluations.get(query.path["id"])
    limit = query.number("limit", 25, 1, 100)
    offset = query.number("offset", 0, 0, 10**9)
    wrong = query.choice("show", ("all", "wrong"), "all") == "wrong"
    scores = workspace.evaluations.scores(held)
    chosen = [score for score in scores if not wrong or _is_wrong(score)]
    return {
        "evaluation": held,
        "coverage": coverage(held.scorecard),
        "settings": settings_text(held.basis),
        "on_training_data": training_text(held),
        "outdated": workspace.evaluations.outdated(held),
        "run": workspace.runs.get(held.run_id),
        "show": "wrong" if wrong else "all",
        "total": len(scores),
        "wrong": sum(map(_is_wrong, scores)),
        "items": [
            {"prompt": question(workspace, score.item_id), "score": score}
            for score in chosen[offset : offset + limit]
        ],
        "window": Window.of(query, limit, offset, more=len(chosen) > offset + limit),
        "panels": panels(workspace, "evaluation", held.id),
    }


def item(workspace: Workspace, query: Query) -> Data:
    """One item: the question, what the model wrote, which steps hold, what was expected."""
    held = workspace.evaluations.get(query.path["id"])
    scores = workspace.evaluations.scores(held)
    wrong = query.choice("show", ("all", "wrong"), "all") == "wrong"
    place = _place(scores, query.path["item_id"], held)
    review = workspace.evaluations.review(held, [scores[place]])
    (judged,) = review.items
    nothing = None if judged.answers else "the model gave no answer to this item"
    return {
        "evaluation": held,
        "run": workspace.runs.get(held.run_id),
        "score": judged.score,
        "item": judged.item,
        "number": place + 1,
        "total": len(scores),
        "reference": judged.reference,
        "completions": judged.answers,
        "problem": review.problem or nothing,
        "show": "wrong" if wrong else "all",
        "previous": _next_id(scores[:place][::-1], wrong=wrong),
        "following": _next_id(scores[place + 1 :], wrong=wrong),
    }


def _is_wrong(score: Score) -> bool:
    return score.value is not None and score.value < 1.0


def _place(scores: Sequence[Score], item_id: str, held: Evaluation) -> int:
    for place, score in enumerate(scores):
        if score.item_id == item_id:
            return place
    raise NotFoundError(f"evaluation {held.id} has no item {item_id!r}")


def _next_id(scores: Sequence[Score], *, wrong: bool) -> str | None:
    return next((score.item_id for score in scores if not wrong or _is_wrong(score)), None)


PAGES = [
    Page("/evaluations", "evaluations.html", leaderboard),
    Page("/evaluations/{id}", "evaluation.html", evaluation, slow=True),
    Page("/evaluations/{id}/items/{item_id}", "evaluation_item.html", item, slow=True),
]
