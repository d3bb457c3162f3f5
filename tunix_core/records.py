"""The data that flows along the line: immutable records, validated when they are made.

Limits on traces are those of the wire contract, so that whatever is stored can be served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from attrs import Attribute, field, frozen

from tunix_core.run_config import Device as Device
from tunix_core.run_config import RunConfig as RunConfig
from tunix_core.run_config import RunMode as RunMode
from tunix_core.run_config import RunResult as RunResult
from tunix_core.run_config import StopReason as StopReason
from tunix_core.run_config import TrainingRequest as TrainingRequest

MAX_VERSION_CHARS = 64
MAX_PROMPT_CHARS = 50_000
MAX_ANSWER_CHARS = 50_000
MAX_STEPS = 1_000
MAX_STEP_TYPE_CHARS = 64
MAX_STEP_CHARS = 20_000

# What a line of a dataset holds.
RecordKind = Literal["trace", "prompt", "preference"]

RunStatus = Literal[
    "pending", "running", "completed", "failed", "timeout", "cancel_requested", "cancelled"
]
TERMINAL_STATUSES: frozenset[RunStatus] = frozenset({"completed", "failed", "timeout", "cancelled"})


def _length(low: int, high: int) -> Any:
    def check(_: object, attribute: Attribute[str], value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"{attribute.name}: expected text, got {type(value).__name__}")
        if not low <= len(value) <= high:
            raise ValueError(
                f"{attribute.name}: length must be {low} to {high} characters, got {len(value)}"
            )

    return check


def _step_index(_: object, attribute: Attribute[int], value: int) -> None:
    if type(value) is not int:
        raise TypeError(f"{attribute.name}: expected an integer, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{attribute.name}: must be 0 or more, got {value}")


@frozen
class Step:
    """One step of shown work.

    Args:
        i: Index, 0 or more, unique within its trace.
        type: What kind of step it is: ``decompose``, ``compute``, ``verify``, ...
        content: The text of the step.
    """

    i: int = field(validator=_step_index)
    type: str = field(validator=_length(1, MAX_STEP_TYPE_CHARS))
    content: str = field(validator=_length(1, MAX_STEP_CHARS))


def _steps(_: object, attribute: Attribute[tuple[Step, ...]], value: tuple[Step, ...]) -> None:
    if not 1 <= len(value) <= MAX_STEPS:
        raise ValueError(f"{attribute.name}: must hold 1 to {MAX_STEPS} steps, got {len(value)}")
    if len({step.i for step in value}) != len(value):
        raise ValueError(f"{attribute.name}: step indices must be unique")


def _as_tuple(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(steps)


@frozen
class Trace:
    """A question, the work shown, and the answer.

    Args:
        prompt: The question, 1 to 50,000 characters.
        final_answer: The answer, 1 to 50,000 characters.
        steps: The shown work, 1 to 1,000 steps with unique indices.
        meta: Free JSON data (``source``, ``family``, ``difficulty``, ...) or None.
        trace_version: Version of this format.

    Raises:
        ValueError: A limit is exceeded or step indices repeat.
        TypeError: A field has the wrong type.
    """

    prompt: str = field(validator=_length(1, MAX_PROMPT_CHARS))
    final_answer: str = field(validator=_length(1, MAX_ANSWER_CHARS))
    steps: tuple[Step, ...] = field(converter=_as_tuple, validator=_steps)
    meta: Mapping[str, Any] | None = None
    trace_version: str = field(default="1.0", validator=_length(1, MAX_VERSION_CHARS))


@frozen
class StoredTrace:
    """A trace as the store holds it.

    Args:
        id: Random UUID in canonical form.
        sequence: Position in the order of insertion, from 1, without gaps.
        created_at: UTC time of insertion, ISO-8601 with microseconds and ``Z``.
        content_key: Hex digest of the canonical record before import stamped it.
        trace: The record.
    """

    id: str
    sequence: int
    created_at: str
    content_key: str
    trace: Trace


@frozen
class Rejected:
    """A record that a source could not accept.

    Args:
        line: Line number in the input, from 1.
        problems: Every problem, each as ``"$.json.path: reason"``.
        text: The beginning of the offending input.
    """

    line: int
    problems: tuple[str, ...]
    text: str = ""


@frozen
class Item:
    """A question with what is needed to judge an answer to it.

    Args:
        id: Stable identifier; evaluations are paired by it.
        trace: The reference: prompt, shown work, answer and meta.
    """

    id: str
    trace: Trace

    @property
    def prompt(self) -> str:
        return self.trace.prompt

    @property
    def answer(self) -> str:
        return self.trace.final_answer

    def label(self, key: str) -> str | None:
        """The meta value under ``key`` as text, or None: the groups of a scorecard."""
        value = (self.trace.meta or {}).get(key)
        return None if value is None else str(value)


@frozen
class Prompt:
    """A text to be completed.

    Args:
        item_id: The item it belongs to.
        text: The rendered prompt.
        sample: Which of several samples of the same item this is, from 0.
    """

    item_id: str
    text: str
    sample: int = 0


@frozen
class Completion:
    """What a model wrote.

    Args:
        item_id: The item that was answered.
        text: The completion without its prompt and without the end token.
        stop: ``stop`` when the model ended by itself, ``length`` when it was cut.
        tokens: Number of tokens generated.
        sample: Which of several samples of the same item this is, from 0.
        token_ids: The tokens generated, the end token included; empty unless asked for.
        logprobs: The natural logarithm of the probability with which each was drawn, after
            temperature and before any cut of the distribution; empty unless asked for.
    """

    item_id: str
    text: str
    stop: Literal["stop", "length"] = "stop"
    tokens: int = 0
    sample: int = 0
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)


@frozen
class StepVerdict:
    """Whether one line of shown work holds.

    Args:
        line: Line number within the reasoning, from 1.
        text: The line.
        ok: True when it was re-executed and holds.
        reason: Why it does not hold.
    """

    line: int
    text: str
    ok: bool
    reason: str | None = None


@frozen
class Score:
    """The judgement of one completion by one evaluator.

    Args:
        item_id: The item that was judged.
        value: 0.0 to 1.0, or None when this evaluator has nothing to say about the item.
        details: JSON data that explains the value.
        groups: The item's labels, such as ``{"family": "..."}``.
    """

    item_id: str
    value: float | None
    details: Mapping[str, Any] = field(factory=dict)
    groups: Mapping[str, str] = field(factory=dict)


@frozen
class Estimate:
    """A mean with its 95 % interval.

    Args:
        mean: Mean of the scored items, or None when there are none.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of scored items.
        stddev: Population standard deviation of their values; None below 2 items.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    stddev: float | None = None


@frozen
class Scorecard:
    """An evaluator's summary over a dataset.

    Args:
        overall: All scored items.
        n_items: Number of items, scored or not.
        groups: ``{"family": {"fractions": Estimate}, ...}``.
        metrics: Further figures by name.
    """

    overall: Estimate
    n_items: int
    groups: Mapping[str, Mapping[str, Estimate]] = field(factory=dict)
    metrics: Mapping[str, float] = field(factory=dict)


@frozen
class DatasetManifest:
    """What a dataset is and where it came from; written last, so that it never lies.

    The fields and their order are those of the wire contract, version 1.1 adding the hash of
    the data, the counts before filtering, the versions of the plugins and what a line holds as
    ``record``. What services return
    knows the workspace it is in, as ``root``.
    """

    dataset_key: str
    build_id: str
    dataset_name: str
    dataset_version: str
    dataset_schema_version: str
    created_at: str
    filters: Mapping[str, Any]
    selection_strategy: Literal["latest", "random", "explicit", "mix"]
    seed: int | None
    # As many as there are traces: what is printed says their number.
    trace_ids: tuple[str, ...] = field(repr=False)
    trace_count: int
    stats: Mapping[str, Any]
    session_id: str | None
    parent_dataset_id: str | None
    training_run_id: str | None
    provenance: Mapping[str, Any]
    sha256: str
    record: RecordKind = "trace"
    root: Path | None = field(default=None, init=False, eq=False, repr=False)

    def _repr_html_(self) -> str:
        from tunix_core.rich.datasets import dataset_html

        return dataset_html(self)


@frozen
class Run:
    """One execution of a trainer.

    Args:
        id: Random UUID.
        status: State of the run.
        trainer: Full name of the trainer, ``distribution/name``.
        dataset_key: The dataset it trains on.
        model_id: Preset or model that it starts from.
        mode: ``local`` trains, ``dry-run`` only validates.
        config: What was asked for, and what its trainer made of it.
        output_dir: Where the client wants it below ``outputs/``, else ``runs/<id>``; its files
            are in ``runs/<id>`` always.
        plugins: Versions of the plugins that were active.
        created_at: When it was enqueued, UTC ISO-8601.
        started_at: When a worker claimed it.
        completed_at: When it reached a terminal state.
        exit_code: Exit code of the runner process.
        error: One line that says why it failed.
        token: Fencing token; it grows with every claim, and only its holder may write.
        result: What the trainer did, once it has returned.
        root: The workspace that it is in, when a service returned it.
    """

    id: str
    status: RunStatus
    trainer: str
    dataset_key: str
    model_id: str
    mode: RunMode
    config: RunConfig
    output_dir: str
    plugins: Mapping[str, str]
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    exit_code: int | None = None
    error: str | None = None
    token: int = 0
    result: RunResult | None = None
    root: Path | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def datasets(self) -> dict[str, str]:
        """The datasets that it reads, by use: ``train``, and ``eval`` when data is held out."""
        held_out = self.config.eval_dataset_key
        return {"train": self.dataset_key} | ({} if held_out is None else {"eval": held_out})

    @property
    def seconds(self) -> float | None:
        """How long it took, once it has ended; 0 where the clock was set back meanwhile."""
        if self.started_at is None or self.completed_at is None:
            return None
        begun, ended = map(datetime.fromisoformat, (self.started_at, self.completed_at))
        return max(0.0, (ended - begun).total_seconds())

    def _repr_html_(self) -> str:
        from tunix_core.rich.runs import run_html

        return run_html(self)


@frozen
class RunTotal:
    """The runs that share a status and a mode.

    Args:
        status: Their status.
        mode: How they were asked to be executed.
        count: Number of runs.
        timed: Those of them that have both started and ended.
        seconds: Sum of the seconds that those took.
        within: How many of those took at most as long as each bound, in the order of the bounds.
    """

    status: RunStatus
    mode: str
    count: int
    timed: int
    seconds: float
    within: tuple[int, ...]


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
        root: The workspace that it is in, when a service returned it.
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
    root: Path | None = field(default=None, init=False, eq=False, repr=False)

    def _repr_html_(self) -> str:
        from tunix_core.rich.evaluations import evaluation_html

        return evaluation_html(self)


Located = TypeVar("Located", DatasetManifest, Run, Evaluation)


def located(record: Located, root: Path) -> Located:
    """The record, knowing the workspace that it is in, so that notebooks can show its files.

    ``root`` is no argument of a constructor, so that the codec neither reads nor writes it.
    """
    object.__setattr__(record, "root", root)
    return record


@frozen
class Baseline:
    """What later runs must not fall behind.

    Args:
        name: Unique name.
        run_id: The run that set it.
        metric: Full name of the evaluator whose item scores are compared.
        dataset_key: The dataset it was measured on.
        comparator: Full name of the comparator; it fixes the direction.
        evaluation_id: The evaluation that was the newest when the baseline was set.
        created_at: UTC ISO-8601.
        metric_name: The one figure that is compared, such as ``primary_score``; None when the
            baseline was set to be compared item by item.
        lower_is_better: Direction of that figure; None leaves it to the figure's name.
        eval_set: Label of the evaluation set, kept as it was given.
        wanted_dataset_key: The dataset that was asked for by name, or None; only evaluations on
            it are compared then.
    """

    id: str
    name: str
    run_id: str
    metric: str
    dataset_key: str
    comparator: str
    evaluation_id: str
    created_at: str
    metric_name: str | None = None
    lower_is_better: bool | None = None
    eval_set: str | None = None
    wanted_dataset_key: str | None = None


@frozen
class Verdict:
    """The outcome of comparing a candidate with a baseline, item by item.

    Args:
        regressed: True when the candidate is worse beyond the tolerance and beyond chance.
        direction: ``higher`` or ``lower``: which values are better.
        baseline: Mean over the paired items.
        candidate: Mean over the paired items.
        delta: ``candidate - baseline``.
        low: Lower end of the 95 % interval of delta.
        high: Upper end of the 95 % interval of delta.
        p_value: Two-sided, of no difference; None when it cannot be had.
        smallest_detectable: The smallest difference this many pairs could have shown, or None
            for a single pair.
        n_paired: Items in both.
        missing: Items only in the baseline.
        new: Items only in the candidate.
        regressions: Items that got worse, with both values.
        reason: One line for people.
    """

    regressed: bool
    direction: Literal["higher", "lower"]
    baseline: float
    candidate: float
    delta: float
    low: float
    high: float
    p_value: float | None
    smallest_detectable: float | None
    n_paired: int
    missing: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    regressions: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""


@frozen
class MetricCheck:
    """The outcome of comparing one figure of a run with that of a baseline.

    Args:
        run_id: The run that was checked.
        baseline_name: Name of the baseline.
        baseline_run_id: The run that set it.
        metric_name: The figure, such as ``primary_score``.
        lower_is_better: The direction that was used.
        baseline_value: Its value for the baseline.
        current_value: Its value for the run.
        delta: ``current_value - baseline_value``.
        delta_percent: ``delta`` in percent of the size of the baseline, to 2 decimal places.
        verdict: ``fail`` when the figure became worse beyond the tolerance.
        details: One line for people.
        paired: The comparison item by item, where both were judged alike on the same dataset.
    """

    run_id: str
    baseline_name: str
    baseline_run_id: str
    metric_name: str
    lower_is_better: bool
    baseline_value: float
    current_value: float
    delta: float
    delta_percent: float
    verdict: Literal["pass", "fail"]
    details: str
    paired: Verdict | None = None


@frozen
class ModelArtifact:
    """A family of model versions.

    Args:
        id: Random UUID.
        name: Unique name.
        description: What it is for.
        task_type: What kind of task it does.
        created_at: UTC ISO-8601.
        updated_at: When it last got a version.
    """

    id: str
    name: str
    description: str | None
    task_type: str | None
    created_at: str
    updated_at: str


@frozen
class ModelVersion:
    """An immutable model in the registry.

    Args:
        id: Random UUID.
        artifact: Name of the model family.
        version: Label, unique within the family.
        sha256: Digest of the file tree; the address of the content.
        size_bytes: Sum of the file sizes.
        source_run_id: The run that made it.
        registry: Full name of the registry that holds it.
        metrics: The run's evaluations when it was promoted.
        config: The run's resolved configuration.
        provenance: Dataset digest, evaluation ids, plugin versions.
        created_at: UTC ISO-8601.
    """

    id: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int
    source_run_id: str | None
    registry: str
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    created_at: str
    description: str | None = None


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
