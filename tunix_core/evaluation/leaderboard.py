"""Runs ranked by their newest scores: only what still holds, only what can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, groupby

from attrs import frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.errors import TunixError
from tunix_core.evaluation.basis import Present, dataset_hash, outdated, settings_text
from tunix_core.evaluation.judgement_files import read_scores
from tunix_core.evaluators.statistics import mean_interval
from tunix_core.records import Evaluation
from tunix_core.store import Store
from tunix_core.store.evaluations import LeaderboardFilters, RankedScore

# All pairs of so many runs, over so many judgements, are compared within a second.
MOST_COMPARED = 24
MOST_JUDGEMENTS = 50_000
# With fewer items that differ even the exact sign test finds no difference at 5 %.
FEWEST_DIFFERING = 6

# By evaluation: the rank, and the best and the worst that are left open.
_Ranks = dict[str, tuple[int, int | None, int | None]]


@frozen(order=True)
class Group:
    """What scores must share to be ranked together.

    Args:
        dataset_key: The dataset that was answered.
        dataset_sha256: Its hash; empty when it is not known.
        evaluator: Full name of the evaluator.
        version: Version of its rules.
        distribution: Its distribution with the version; empty when it is not known.
        settings: How the answers were made, in short.
    """

    dataset_key: str
    dataset_sha256: str
    evaluator: str
    version: str
    distribution: str
    settings: str


@frozen
class Place:
    """A run's place among those that it can be compared with.

    Args:
        evaluation: The newest evaluation.
        group: What it shares with the others.
        rank: From 1; equal scores share it. None without a score, or when it no longer holds.
        best: The best rank that the differences between items leave open; None when these were
            not looked at.
        worst: The worst.
        outdated: Why it no longer holds, where it does not.
    """

    evaluation: Evaluation
    group: Group
    rank: int | None
    best: int | None
    worst: int | None
    outdated: str | None = None

    @property
    def rank_text(self) -> str:
        """The rank, or the range of ranks that are not told apart, such as ``1-2``."""
        if self.rank is None:
            return ""
        low, high = self.best or self.rank, self.worst or self.rank
        return str(low) if low == high else f"{low}-{high}"


class Leaderboard:
    """Ranks the newest evaluation of every run, evaluator and dataset.

    Args:
        store: Where evaluations are.
        paths: The workspace.
    """

    def __init__(self, store: Store, paths: WorkspacePaths) -> None:
        self._store = store
        self._paths = paths

    def best(self, filters: LeaderboardFilters, limit: int, offset: int) -> list[Evaluation]:
        """Evaluations in one list, best first; what no longer holds is left out."""
        held = [score for score, why in self._judged(filters) if why is None]
        return self._store.evaluations.of_ids([s.id for s in held[offset : offset + limit]])

    def places(
        self, filters: LeaderboardFilters, limit: int, offset: int, *, with_outdated: bool
    ) -> list[Place]:
        """Places group by group, in each the best first.

        Args:
            filters: What is ranked.
            limit: At most so many places.
            offset: Leave out so many of the first.
            with_outdated: Also what no longer holds, without a rank, at the end of its group.
        """
        judged = [(s, why) for s, why in self._judged(filters) if with_outdated or why is None]
        # Sorting keeps the order of scores within a group.
        judged.sort(key=lambda pair: (_group(pair[0]), pair[1] is not None))
        chosen = judged[offset : offset + limit]
        wanted = {_group(score) for score, _ in chosen}
        evaluations = {
            e.id: e for e in self._store.evaluations.of_ids([score.id for score, _ in chosen])
        }
        ranks: _Ranks = {}
        for group, members in groupby(judged, key=lambda pair: _group(pair[0])):
            if group in wanted:
                ranks |= self._ranks([score for score, why in members if why is None])
        found = []
        for score, why in chosen:
            rank, best, worst = ranks.get(score.id, (None, None, None))
            found.append(Place(evaluations[score.id], _group(score), rank, best, worst, why))
        return found

    def _judged(self, filters: LeaderboardFilters) -> list[tuple[RankedScore, str | None]]:
        """Every score, best first, with why it no longer holds."""
        scores = self._store.evaluations.ranked(filters)
        keys = {score.dataset_key for score in scores if score.basis is not None}
        hashes = {key: dataset_hash(self._paths, key) for key in keys}
        return [
            (
                score,
                outdated(
                    score.basis,
                    Present(score.has_model, score.weights_sha256, hashes.get(score.dataset_key)),
                ),
            )
            for score in scores
        ]

    def _ranks(self, scores: Sequence[RankedScore]) -> _Ranks:
        """Rank and range of ranks of the scores of a group, which come best first."""
        scored = [score for score in scores if score.score is not None]
        rank, ranks = 0, {}
        for place, score in enumerate(scored, start=1):
            if place == 1 or score.score != scored[place - 2].score:
                rank = place
            ranks[score.id] = rank
        values = self._values(scored)
        if values is None:
            return {score_id: (rank, None, None) for score_id, rank in ranks.items()}
        better = dict.fromkeys(ranks, 0)
        worse = dict.fromkeys(ranks, 0)
        for one, other in combinations([score.id for score in scored], 2):
            if told_apart(values[one], values[other]):
                worse[one] += 1
                better[other] += 1
        return {
            score_id: (rank, better[score_id] + 1, len(scored) - worse[score_id])
            for score_id, rank in ranks.items()
        }

    def _values(self, scores: Sequence[RankedScore]) -> dict[str, dict[str, float]] | None:
        """The judgements of every item; None where there are too many, or some are damaged."""
        if len(scores) > MOST_COMPARED:
            return None
        evaluations = self._store.evaluations.of_ids([score.id for score in scores])
        if sum(e.scorecard.n_items for e in evaluations) > MOST_JUDGEMENTS:
            return None
        try:
            return {
                e.id: {
                    s.item_id: s.value for s in read_scores(self._paths, e) if s.value is not None
                }
                for e in evaluations
            }
        except (TunixError, ValueError):
            return None


def told_apart(better: Mapping[str, float], worse: Mapping[str, float]) -> bool:
    """Whether one run is better than another beyond chance, by the items that both have.

    The 95 % interval of the mean difference leaves out 0, over enough items that differ.

    Args:
        better: Values by item of the run that has the better mean.
        worse: Those of the other.
    """
    differences = [value - worse[item] for item, value in better.items() if item in worse]
    if sum(difference != 0 for difference in differences) < FEWEST_DIFFERING:
        return False
    return mean_interval(differences)[1] > 0


def _group(score: RankedScore) -> Group:
    basis = score.basis
    return Group(
        score.dataset_key,
        "" if basis is None else basis.dataset_sha256 or "",
        score.evaluator,
        score.evaluator_version,
        "" if basis is None else basis.evaluator,
        settings_text(basis),
    )
