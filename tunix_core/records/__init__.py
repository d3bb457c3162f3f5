"""The data that flows along the line: immutable records, validated when they are made."""

from __future__ import annotations

from tunix_core.records.contamination import Contamination, Match, Shared
from tunix_core.records.dataset import DatasetManifest, RecordKind
from tunix_core.records.evaluation import Evaluation, EvaluationBasis, PairwiseResult
from tunix_core.records.item import Completion, Item, Prompt
from tunix_core.records.model import ModelArtifact, ModelVersion
from tunix_core.records.regression import Baseline, MetricCheck, Outcome, Verdict
from tunix_core.records.run import TERMINAL_STATUSES, Run, RunStatus, RunTotal
from tunix_core.records.run_config import (
    Device,
    RunConfig,
    RunMode,
    RunResult,
    StopReason,
    TrainingRequest,
)
from tunix_core.records.score import SCORE_RANGE, Estimate, Score, Scorecard, StepVerdict
from tunix_core.records.trace import (
    MAX_ANSWER_CHARS,
    MAX_PROMPT_CHARS,
    MAX_STEP_CHARS,
    MAX_STEP_TYPE_CHARS,
    MAX_STEPS,
    MAX_VERSION_CHARS,
    Rejected,
    Step,
    StoredTrace,
    Trace,
)
from tunix_core.records.tuning import TrialStatus, TuningJob, TuningStatus, TuningTrial

__all__ = [
    "MAX_ANSWER_CHARS",
    "MAX_PROMPT_CHARS",
    "MAX_STEPS",
    "MAX_STEP_CHARS",
    "MAX_STEP_TYPE_CHARS",
    "MAX_VERSION_CHARS",
    "SCORE_RANGE",
    "TERMINAL_STATUSES",
    "Baseline",
    "Completion",
    "Contamination",
    "DatasetManifest",
    "Device",
    "Estimate",
    "Evaluation",
    "EvaluationBasis",
    "Item",
    "Match",
    "MetricCheck",
    "ModelArtifact",
    "ModelVersion",
    "Outcome",
    "PairwiseResult",
    "Prompt",
    "RecordKind",
    "Rejected",
    "Run",
    "RunConfig",
    "RunMode",
    "RunResult",
    "RunStatus",
    "RunTotal",
    "Score",
    "Scorecard",
    "Shared",
    "Step",
    "StepVerdict",
    "StopReason",
    "StoredTrace",
    "Trace",
    "TrainingRequest",
    "TrialStatus",
    "TuningJob",
    "TuningStatus",
    "TuningTrial",
    "Verdict",
]
