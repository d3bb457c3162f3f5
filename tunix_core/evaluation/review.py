"""The work behind judgements: each item with the answers to it, their score and their steps."""

from __future__ import annotations

from collections.abc import Container, Sequence

from attrs import frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.datasets.reading import read_items
from tunix_core.errors import IntegrityError, NotFoundError
from tunix_core.evaluation.prediction_files import folder_of, read_completions, read_meta
from tunix_core.evaluation.shown_steps import ShownStep, ShownSteps
from tunix_core.records import Completion, Evaluation, Item, Score
from tunix_core.rendering import extract_work

_ANEW = "the run has answered anew since it was judged"


@frozen
class JudgedAnswer:
    """What a model wrote, taken apart.

    Args:
        completion: What it wrote.
        answer: The answer that it marked as such, or None.
        steps: The lines of its reasoning with what is known of each.
    """

    completion: Completion
    answer: str | None
    steps: tuple[ShownStep, ...]


@frozen
class JudgedItem:
    """An item, what was said to it, and what that scored.

    Args:
        item: What was asked, and what was due.
        score: The judgement.
        reference: The steps of the reference with what is known of each.
        answers: In the order of the samples; empty where there are none.
    """

    item: Item
    score: Score
    reference: tuple[ShownStep, ...]
    answers: tuple[JudgedAnswer, ...]


@frozen
class Review:
    """Some of the work that was judged.

    Args:
        items: In the order they were asked for.
        problem: Why the answers are not those that were judged; None when they are.
    """

    items: tuple[JudgedItem, ...]
    problem: str | None


def review(
    paths: WorkspacePaths, steps: ShownSteps, evaluation: Evaluation, scores: Sequence[Score]
) -> Review:
    """Join judgements with the items and the answers behind them.

    Args:
        paths: The workspace.
        steps: Who says which steps hold.
        evaluation: The evaluation.
        scores: Those of its judgements that are of interest.

    Raises:
        NotFoundError: The dataset is gone, or has no such item.
        IntegrityError: The dataset was changed.
    """
    wanted = {score.item_id for score in scores}
    items = {item.id: item for item in read_items(paths.datasets, evaluation.dataset_key, wanted)}
    unknown = wanted - items.keys()
    if unknown:
        raise NotFoundError(f"dataset {evaluation.dataset_key} has no item {min(unknown)!r}")
    said, problem = _said(paths, evaluation, wanted)
    judged = (
        _judged(steps, items[score.item_id], score, said.get(score.item_id, ())) for score in scores
    )
    return Review(tuple(judged), problem)


def _judged(
    steps: ShownSteps, item: Item, score: Score, completions: Sequence[Completion]
) -> JudgedItem:
    answers = (
        JudgedAnswer(said, _marked(said.text), tuple(steps.of_completion(item, said.text)))
        for said in completions
    )
    return JudgedItem(item, score, tuple(steps.of_trace(item)), tuple(answers))


def _marked(text: str) -> str | None:
    work = extract_work(text)
    return None if work is None else work.answer


def _said(
    paths: WorkspacePaths, evaluation: Evaluation, wanted: Container[str]
) -> tuple[dict[str, list[Completion]], str | None]:
    """Answers by item, and why they are not those that were judged."""
    folder = folder_of(paths, evaluation.run_id, evaluation.dataset_key)
    try:
        meta = read_meta(folder)
    except IntegrityError as error:
        return {}, f"the answers cannot be shown: {error.message}"
    if meta is None:
        return {}, "the run has no answers"
    newer = meta["sha256"] != evaluation.predictions_sha256
    said: dict[str, list[Completion]] = {}
    try:
        completions = read_completions(folder, meta)
    except IntegrityError as error:
        problem = f"the answers cannot be shown: {error.message}"
        return {}, f"{_ANEW}; {problem}" if newer else problem
    for completion in completions:
        if completion.item_id in wanted:
            said.setdefault(completion.item_id, []).append(completion)
    for samples in said.values():
        samples.sort(key=lambda completion: completion.sample)
    return said, f"{_ANEW}: what is shown is newer" if newer else None
