"""Two runs side by side: a judge says of every item which answer is better, in both orders."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from attrs import frozen

from tunix_core.base.files import write_atomically
from tunix_core.base.locks import FileLock
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.contributions import EVALUATOR
from tunix_core.datasets import Datasets
from tunix_core.errors import NotComparableError, UsageError
from tunix_core.evaluation.basis import UNKNOWN, sampling_text
from tunix_core.evaluation.judges import make_judge
from tunix_core.evaluation.judging import Progress, by_item, concurrency_of, judge_each
from tunix_core.evaluation.predictions import Predictions, PredictionSet
from tunix_core.evaluators.common import labels
from tunix_core.evaluators.remote import PairRequest, PairwiseJudge
from tunix_core.evaluators.statistics import normal_quantile, wilson
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.records import Completion, Item, PairwiseResult, Score

WAIT_S = 600.0
MARK_CHARS = 16
# An answer that is compared where a run gave none.
_NOTHING: Mapping[int, Completion] = {}


class Pairwise:
    """Compares two runs by a judge that is shown the answers of both.

    Args:
        plugins: Where judges are.
        paths: The workspace.
        datasets: What was answered.
        predictions: The answers.
    """

    def __init__(
        self, plugins: Plugins, paths: WorkspacePaths, datasets: Datasets, predictions: Predictions
    ) -> None:
        self._plugins = plugins
        self._paths = paths
        self._datasets = datasets
        self._predictions = predictions

    def compare(
        self,
        run_a: str,
        run_b: str,
        dataset_key: str,
        judge: str,
        settings: Mapping[str, Any] | None = None,
        on_progress: Progress | None = None,
        again: bool = False,
    ) -> PairwiseResult:
        """Let a judge compare the answers of two runs; interrupted work is continued.

        Every pair is shown twice, each answer once in front, so that a liking for a place
        cancels out. Where the answers are the same nobody is asked: it is a tie. A blank answer
        loses to one that is not.

        Args:
            run_a: A run that has answered the dataset.
            run_b: Another one.
            dataset_key: The dataset.
            judge: Name of an evaluator that compares answers.
            settings: Its settings.
            on_progress: Called with (compared, total).
            again: Compare anew what was compared so before.

        Raises:
            UsageError: No such evaluator, or it does not compare answers.
            NotFoundError: No such run or dataset, or no predictions.
            NotComparableError: No sample of any item was answered by both runs.
        """
        tools = PluginTools(self._plugins, self._paths)
        made = make_judge(self._plugins.find(EVALUATOR, judge), tools, settings)
        comparing = made.evaluator
        if not isinstance(comparing, PairwiseJudge):
            name = made.provided.full_name
            raise UsageError(f"{name} judges answers one by one", "name one that compares two")
        both = [self._predictions.read(run, dataset_key) for run in (run_a, run_b)]
        items = list(self._datasets.items(dataset_key))
        path = self._path(made.file_name, both)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, WAIT_S):
            if again:
                path.unlink(missing_ok=True)
            judge_item = _judging(comparing, *both)
            scores = judge_each(items, judge_item, path, on_progress, concurrency_of(comparing))
        result = summarise(
            scores,
            run_ids=(both[0].run_id, both[1].run_id),
            dataset_key=dataset_key,
            judge=made.provided.full_name,
            judge_version=made.version,
            predictions_sha256=(both[0].sha256, both[1].sha256),
            items_path=path.relative_to(self._paths.root).as_posix(),
            items_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            settings=(_settings(both[0]), _settings(both[1])),
        )
        write_atomically(path.with_suffix(".json"), json.dumps(unstructure(result)) + "\n")
        return result

    def _path(self, judge: str, both: Sequence[PredictionSet]) -> Path:
        """The same judge of the same predictions writes the same file."""
        said = "\n".join(f"{one.run_id} {one.sha256}" for one in both)
        mark = hashlib.sha256(said.encode()).hexdigest()[:MARK_CHARS]
        return self._paths.pairwise / both[0].dataset_key / f"{judge}-{mark}.jsonl"


def _settings(said: PredictionSet) -> str:
    if said.basis is None:
        return UNKNOWN
    return sampling_text(unstructure(said.basis.generation_config), said.basis.template)


@frozen
class _Compared:
    """A pair that was shown in both orders; values are 1.0 where run a is better.

    Args:
        values: With the answer of run a in front, and behind; None where there is no judgement.
        details: What explains them.
    """

    values: tuple[float | None, float | None]
    details: tuple[Mapping[str, Any], Mapping[str, Any]]

    @property
    def value(self) -> float | None:
        first, second = self.values
        return None if first is None or second is None else (first + second) / 2

    @property
    def is_consistent(self) -> bool:
        return _winner(self.values[0]) == _winner(self.values[1])


def _judging(judge: PairwiseJudge, a: PredictionSet, b: PredictionSet) -> Callable[[Item], Score]:
    """What judges an item: of several samples the mean over those that both runs have."""
    said_a, said_b = ({key: _samples(said) for key, said in by_item(one).items()} for one in (a, b))

    def judge_item(item: Item) -> Score:
        of_a, of_b = said_a.get(item.id, _NOTHING), said_b.get(item.id, _NOTHING)
        shared = sorted(of_a.keys() & of_b.keys()) or [0]
        nothing = Completion(item.id, "", stop="length")
        pairs = [(of_a.get(one, nothing), of_b.get(one, nothing)) for one in shared]
        compared = [_compare(judge, item, *pair) for pair in pairs]
        values = [one.value for one in compared if one.value is not None]
        value = fmean(values) if values else None
        details: dict[str, Any] = {
            "winner": _winner(value),
            "orders": [list(one.values) for one in compared],
            "consistent": [one.is_consistent for one in compared if one.value is not None],
            "details": [list(one.details) for one in compared],
        }
        return Score(item.id, value, details, labels(item))

    return judge_item


def _samples(said: Sequence[Completion]) -> Mapping[int, Completion]:
    return {completion.sample: completion for completion in said}


def _compare(judge: PairwiseJudge, item: Item, a: Completion, b: Completion) -> _Compared:
    text_a, text_b = a.text.strip(), b.text.strip()
    if text_a == text_b or not text_a or not text_b:
        value = 0.5 if text_a == text_b else float(bool(text_a))
        why = "the answers are the same" if text_a == text_b else "one answer is blank"
        return _Compared((value, value), ({"reasoning": why}, {"reasoning": why}))
    ahead, behind = (judge.prefer(PairRequest(item, *pair)) for pair in ((a, b), (b, a)))
    turned = None if behind.value is None else 1 - behind.value
    return _Compared((ahead.value, turned), (ahead.details, behind.details))


def _winner(value: float | None) -> str | None:
    if value is None:
        return None
    return "tie" if value == 0.5 else "a" if value > 0.5 else "b"


def summarise(scores: Sequence[Score], **known: Any) -> PairwiseResult:
    """What the judgements of items come to.

    Args:
        scores: 1.0 where the first run is better, None without a judgement.
        known: What else is to be in the result.

    Raises:
        NotComparableError: No item has a judgement.
    """
    values = [score.value for score in scores if score.value is not None]
    if not values:
        why = next((s.details["details"] for s in scores), None)
        raise NotComparableError(f"no item has a judgement: {_first_refusal(why)}")
    winners = Counter(_winner(value) for value in values)
    consistent = [one for score in scores for one in score.details["consistent"]]
    low, high = win_rate_interval(values)
    return PairwiseResult(
        win_rate=fmean(values),
        low=low,
        high=high,
        n=len(values),
        wins=winners["a"],
        ties=winners["tie"],
        losses=winners["b"],
        refused=len(scores) - len(values),
        consistency=fmean(consistent),
        **known,
    )


def _first_refusal(details: Any) -> str:
    refused = (order.get("refused") for pair in details or () for order in pair)
    return next(filter(None, refused), "there is no item")


def win_rate_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean of values from 0 to 1; never of width zero.

    Wilson's where there is no tie. Else a win and a loss are added, which makes the usual interval
    a sound one for few pairs (Bonett and Price, 2012, for differences of paired proportions).

    Args:
        values: One an item, so that samples of one item are not taken for several.
    """
    if all(value in (0.0, 1.0) for value in values):
        return wilson(sum(value == 1.0 for value in values), len(values))
    added = [*values, 0.0, 1.0]
    mean = fmean(added)
    variance = math.fsum((value - mean) ** 2 for value in added) / len(added)
    half = normal_quantile() * math.sqrt(variance / len(added))
    return max(0.0, mean - half), min(1.0, mean + half)
