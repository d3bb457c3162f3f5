"""Searches for settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

TuningStatus = Literal["created", "running", "completed", "failed", "cancelled"]
TrialStatus = Literal["running", "completed", "failed"]


@frozen
class TuningJob:
    """A search for the settings with which training does best.

    Args:
        id: Random UUID.
        name: What people call it, 1 to 256 characters.
        status: State of the job.
        dataset_key: The dataset that every trial trains on.
        base_model_id: Preset or model that every trial starts from.
        metric_name: What is compared: ``score`` (0 to 100), ``primary_score``, the name of an
            evaluator, or a final figure of the trainer such as ``eval_loss``.
        metric_mode: Whether the largest or the smallest value is the best.
        num_samples: Number of trials.
        max_concurrent_trials: How many may run at once.
        search_space: What is varied, see :mod:`tunix_core.search_space`.
        tuner: Full name of the tuner, or the name that was asked for.
        trainer: Full name of the trainer, or the name that was asked for.
        settings: The trainer's settings that all trials share.
        seed: Seed of the suggestions and of every run.
        created_at: UTC ISO-8601.
        mode: Trials train on this machine's workspace.
        eval_dataset_key: Dataset that the models are judged on; None judges on the training data.
        best_run_id: The run of the best trial, once the job has ended.
        best_params: What that trial sampled.
        started_at: When it was last started.
        completed_at: When it ended.
        error: One line that says why it failed.
    """

    id: str
    name: str
    status: TuningStatus
    dataset_key: str
    base_model_id: str
    metric_name: str
    metric_mode: Literal["max", "min"]
    num_samples: int
    max_concurrent_trials: int
    search_space: Mapping[str, Any]
    tuner: str
    trainer: str
    settings: Mapping[str, Any]
    seed: int
    created_at: str
    mode: Literal["local"] = "local"
    eval_dataset_key: str | None = None
    best_run_id: str | None = None
    best_params: Mapping[str, Any] | None = None
    started_at: str | None = None
    completed_at: str | None = None
    error: str | None = None


@frozen
class TuningTrial:
    """One point of a job's search space, and what came of it.

    Args:
        id: Random UUID.
        job_id: The job.
        number: Place within the job, from 1.
        run_id: The run that trains with it, or None when no run could be made.
        params: What the tuner suggested.
        status: State of the trial.
        created_at: UTC ISO-8601.
        metric_value: What the job's metric says of the run; None unless completed.
        error: One line that says why it failed.
        completed_at: When it ended.
    """

    id: str
    job_id: str
    number: int
    run_id: str | None
    params: Mapping[str, Any]
    status: TrialStatus
    created_at: str
    metric_value: float | None = None
    error: str | None = None
    completed_at: str | None = None
