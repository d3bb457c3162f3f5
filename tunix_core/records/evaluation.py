"""Outcomes of evaluators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from tunix_core.records.score import Scorecard


@frozen(kw_only=True)
class EvaluationBasis:
    """What the numbers of an evaluation depend on, besides the rules of its evaluator.

    Args:
        weights_sha256: Digest of the model's file tree; None when it is not known.
        dataset_sha256: Hash of the data that was answered; None where there was none.
        template: How the questions were rendered.
        generation: How the answers were sampled, as plain data; None without a model to answer.
        evaluator: The evaluator's distribution and its version, such as ``tunix-core 0.1.0``.
        training_overlap: How many of the questions are also in the data that the run was
            trained on; None when that is not known.
    """

    weights_sha256: str | None
    dataset_sha256: str | None
    template: str
    generation: Mapping[str, Any] | None
    evaluator: str
    training_overlap: int | None = None


@frozen
class Evaluation:
    """The stored outcome of one evaluator over one run's predictions on one dataset.

    Args:
        id: Random UUID.
        run_id: The run whose predictions were judged.
        dataset_key: The dataset that was answered.
        evaluator: Full name, ``distribution/name``.
        evaluator_version: Version of its rules.
        score: The scorecard's overall mean, 0.0 to 1.0, or None; 0.0 for a run that ended
            without a model.
        scorecard: The whole summary.
        items_path: Per-item results as JSONL, relative to the workspace.
        predictions_sha256: Digest of the predictions that were judged.
        created_at: UTC ISO-8601.
        verdict: What the evaluator's numbers come to, see
            :mod:`tunix_core.evaluation.verdicts`; None when it was stored without one.
        grade: False when the numbers say nothing about the model.
        items_sha256: Digest of the per-item results; None when it was stored without one.
        basis: What its numbers depend on; None when it was stored without.
    """

    id: str
    run_id: str
    dataset_key: str
    evaluator: str
    evaluator_version: str
    score: float | None
    scorecard: Scorecard
    items_path: str
    predictions_sha256: str
    created_at: str
    verdict: Literal["pass", "fail", "uncertain"] | None = None
    grade: bool = True
    items_sha256: str | None = None
    basis: EvaluationBasis | None = None

    @property
    def training_overlap(self) -> int | None:
        """How many of its questions the run was trained on; None when that is not known."""
        return None if self.basis is None else self.basis.training_overlap


@frozen(kw_only=True)
class PairwiseResult:
    """What a judge says of the answers of two runs, every pair shown in both orders.

    Args:
        run_ids: The two runs.
        dataset_key: The dataset that both answered.
        judge: Full name of the evaluator.
        judge_version: Version of its rules, with a digest of its settings.
        win_rate: Mean over the items: 1.0 where the first run is better, 0.0 where the second
            is, 0.5 for a tie.
        low: Lower end of its 95 % interval.
        high: Upper end of the interval.
        n: Number of items with a judgement.
        wins: Items at which the first run is better.
        ties: Items at which neither is, or each in one order.
        losses: Items at which the second run is better.
        refused: Items without a judgement.
        consistency: Share of pairs at which both orders say the same.
        predictions_sha256: Digests of the predictions of the two runs.
        items_path: Judgements of the items as JSONL, relative to the workspace.
        items_sha256: Digest of that file.
        settings: How the answers of each run were made, in short, such as ``greedy``.
    """

    run_ids: tuple[str, str]
    dataset_key: str
    judge: str
    judge_version: str
    win_rate: float
    low: float
    high: float
    n: int
    wins: int
    ties: int
    losses: int
    refused: int
    consistency: float
    predictions_sha256: tuple[str, str]
    items_path: str
    items_sha256: str
    settings: tuple[str, str]
