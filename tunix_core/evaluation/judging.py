"""Judging item by item, so that an interruption costs one item."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import TypeGuard

from attrs import evolve, frozen

from tunix_core.base import jsonl
from tunix_core.codec import structure, unstructure
from tunix_core.errors import TunixError
from tunix_core.evaluation.predictions import PredictionSet
from tunix_core.evaluation.samples import MAJORITY, SAMPLES
from tunix_core.evaluators.remote import RemoteEvaluator
from tunix_core.evaluators.voting import MajorityVoter
from tunix_core.protocols import Evaluator
from tunix_core.records import SCORE_RANGE, Completion, Item, Score, Scorecard

NO_PREDICTION = "no prediction"
PROGRESS_S = 0.2

Progress = Callable[[int, int], None]


@frozen
class Checked:
    """An evaluator whose every word is checked before anything is stored.

    Args:
        inner: The evaluator.
        name: Its full name, for errors.
    """

    inner: Evaluator
    name: str

    def score(self, item: Item, completion: Completion) -> Score:
        """The judgement of a completion.

        Raises:
            TunixError: It is of another item, or no number within the range of scores.
        """
        judged = self.inner.score(item, completion)
        problem = _problem(judged, item)
        if problem is not None:
            raise TunixError(f"{self.name} gave {problem}", "ask the author of this evaluator")
        return judged

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        """The summary of judgements.

        Raises:
            TunixError: A number in it is not finite, or its mean no score.
        """
        card = self.inner.aggregate(scores)
        if not isinstance(card, Scorecard):
            problem = f"{type(card).__name__} as its summary, not Scorecard"
        else:
            try:
                wrong = [str(name) for name, value in _figures(card) if not _is_finite(value)]
                if not _is_score(card.overall.mean):
                    wrong.append(f"mean score {card.overall.mean!r}")
                problem = wrong and f"a scorecard with what is no number: {', '.join(wrong)}"
            except (AttributeError, OverflowError, TypeError) as error:
                problem = f"a scorecard that cannot be read: {error}"
        if problem:
            raise TunixError(f"{self.name} gave {problem}", "ask the author of this evaluator")
        return card


def _figures(card: Scorecard) -> Iterator[tuple[str, object]]:
    """Every figure of a scorecard that is there, with where it stands."""
    yield from card.metrics.items()
    estimates = [("overall", card.overall), *card.estimates.items()]
    for label, groups in card.groups.items():
        estimates += [(f"{label} {group}", held) for group, held in groups.items()]
    for name, estimate in estimates:
        for end in ("mean", "low", "high", "stddev"):
            value = getattr(estimate, end)
            if value is not None:
                yield f"{end} of {name}", value


def _is_finite(value: object) -> TypeGuard[float]:
    # True is an int, but no figure.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _problem(judged: Score, item: Item) -> str | None:
    """What is wrong with a judgement of an item."""
    if not isinstance(judged, Score):
        return f"{type(judged).__name__} as the judgement of item {item.id!r}, not Score"
    if judged.item_id != item.id:
        return f"a judgement of item {judged.item_id!r} when it was asked about {item.id!r}"
    if not _is_score(judged.value):
        low, high = SCORE_RANGE
        return f"item {item.id!r} the score {judged.value!r}, not one from {low:g} to {high:g}"
    return None


def _is_score(value: float | None) -> bool:
    if value is None:
        return True
    # NaN lies in no range.
    return _is_finite(value) and SCORE_RANGE[0] <= value <= SCORE_RANGE[1]


@frozen
class NothingSaid:
    """An evaluator as it judges a run without a model: every item counts, and none is right.

    Args:
        inner: The evaluator; its details and groups are kept.
    """

    inner: Evaluator

    def score(self, item: Item, completion: Completion) -> Score:
        return evolve(self.inner.score(item, completion), value=0.0)

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        return self.inner.aggregate(scores)


def judge_items(
    evaluator: Evaluator,
    predictions: PredictionSet,
    items: Sequence[Item],
    path: Path,
    on_progress: Progress | None,
    concurrency: int = 1,
    voter: MajorityVoter | None = None,
) -> list[Score]:
    """Append to ``path`` the judgements that are missing there; returns all of them.

    Args:
        evaluator: The judge.
        predictions: What is judged.
        items: What was asked, in the order of the dataset.
        path: The file; an error, also one from ``on_progress``, leaves what has been judged.
        on_progress: Called a few times a second with (judged, total).
        concurrency: In how many threads the judge may be called at the same time.
        voter: Tells what the commonest answer of several samples is worth.
    """
    said = by_item(predictions)
    return judge_each(
        items,
        lambda item: _score(evaluator, voter, item, said.get(item.id, [])),
        path,
        on_progress,
        concurrency,
    )


def judge_each(
    items: Sequence[Item],
    judge: Callable[[Item], Score],
    path: Path,
    on_progress: Progress | None,
    concurrency: int = 1,
) -> list[Score]:
    """Append to ``path`` the judgements of items that are missing there; returns all of them.

    Args:
        items: What is judged, in order.
        judge: Judges one.
        path: The file, as for :func:`judge_items`.
        on_progress: As for :func:`judge_items`.
        concurrency: In how many threads ``judge`` may be called at the same time.
    """
    scores = _recover(path, items)
    due = 0.0
    with jsonl.resume(path) as out:
        for score in _in_order(judge, items[len(scores) :], concurrency):
            jsonl.append(out, json.dumps(unstructure(score), ensure_ascii=False))
            scores.append(score)
            ended = len(scores) == len(items)
            if on_progress is not None and (ended or time.monotonic() >= due):
                due = time.monotonic() + PROGRESS_S
                on_progress(len(scores), len(items))
    return scores


def by_item(predictions: PredictionSet) -> dict[str, list[Completion]]:
    """The completions of each item that was answered."""
    said: dict[str, list[Completion]] = {}
    for completion in predictions.completions:
        said.setdefault(completion.item_id, []).append(completion)
    return said


def concurrency_of(evaluator: object) -> int:
    """In how many threads an evaluator may be called at the same time."""
    return evaluator.concurrency if isinstance(evaluator, RemoteEvaluator) else 1


def _in_order(
    judge: Callable[[Item], Score], items: Sequence[Item], concurrency: int
) -> Iterator[Score]:
    """The judgements of items, in their order; the first error ends it."""
    if concurrency == 1:
        yield from map(judge, items)
        return
    pool = ThreadPoolExecutor(concurrency, "judge")
    waiting: deque[Future[Score]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(judge, item))
            # One that takes long keeps the others busy no further ahead than this.
            if len(waiting) > 2 * concurrency:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def voter_of(evaluator: object) -> MajorityVoter | None:
    """An evaluator as one that tells which samples of an item give the same answer."""
    return evaluator if isinstance(evaluator, MajorityVoter) else None


def _score(
    evaluator: Evaluator,
    voter: MajorityVoter | None,
    item: Item,
    completions: Sequence[Completion],
) -> Score:
    """The judgement of an item: of several samples the mean, explained by the first."""
    if not completions:
        # A missing answer is judged as an empty one that was cut off, and counts against the run.
        judged = evaluator.score(item, Completion(item.id, "", stop="length"))
        return evolve(judged, details={**judged.details, "fault": NO_PREDICTION})
    samples = [evaluator.score(item, completion) for completion in completions]
    first = samples[0]
    if len(samples) == 1:
        return first
    values = [score.value for score in samples]
    known = [value for value in values if value is not None]
    details = {**first.details, SAMPLES: values}
    if voter is not None:
        details[MAJORITY] = voter.majority(item, samples)
    return evolve(first, value=fmean(known) if known else None, details=details)


def _recover(path: Path, items: Sequence[Item]) -> list[Score]:
    """Judgements from before an interruption."""
    scores = [structure(Score, json.loads(line), "score") for line in jsonl.whole_lines(path)]
    wanted = [item.id for item in items[: len(scores)]]
    if [score.item_id for score in scores] != wanted:
        raise TunixError(f"{path} belongs to another dataset", "remove it to judge again")
    wrong = [score.item_id for score in scores if not _is_score(score.value)]
    if wrong:
        raise TunixError(f"{path}: no score of item {wrong[0]!r}", "remove it to judge again")
    return scores
