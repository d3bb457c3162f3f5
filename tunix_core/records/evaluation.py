"""Outcomes of evaluators."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tunix_core.records.score import Scorecard


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
