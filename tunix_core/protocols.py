"""What the objects behind contributions do.

Every method that may grow takes one frozen request, so that fields can be added later without
breaking a plugin. :mod:`tunix_core.testing` holds a conformance suite for each protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from attrs import field, frozen
from attrs.validators import ge, gt, le, max_len

from tunix_core.records import (
    MAX_PROMPT_CHARS,
    Completion,
    Item,
    Prompt,
    RecordKind,
    Rejected,
    Score,
    Scorecard,
    StepVerdict,
    Trace,
    Verdict,
)
from tunix_core.records import StopReason as StopReason
from tunix_core.search_space import SearchSpace


@frozen
class SourceRequest:
    """Where a source reads from.

    Args:
        path: File to read.
        config: Instance of the source's config class, or None.
        max_record_bytes: A longer record is rejected without being held whole; None leaves it to
            the source.
    """

    path: Path
    config: Any = None
    max_record_bytes: int | None = None


@runtime_checkable
class Source(Protocol):
    """Reads traces in bounded memory; a bad record is yielded with its position and reason."""

    def read(self, request: SourceRequest) -> Iterator[Trace | Rejected]: ...


@runtime_checkable
class Generator(Protocol):
    """Makes items as a pure function of (version, mix, split, seed, index).

    The same arguments give the same bytes in every process, on every platform and under every
    ``PYTHONHASHSEED``; any index can be asked for without those before it; splits share no
    item. Asking beyond :meth:`capacity` raises :class:`~tunix_core.errors.CapacityError`.
    """

    def item(self, split: str, seed: int, index: int) -> Item: ...

    def verify(self, item: Item, answer: str) -> bool:
        """True when ``answer`` means what is right, found by another path than that which made it.

        What means the same is told by :func:`~tunix_core.evaluators.answers.answers_match`.
        """
        ...

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        """Re-execute every line of ``text`` (steps joined by newlines) against the item.

        Spacing and line ends make no difference, nor does a plan that is left out.

        Returns:
            A verdict for each line, and one that is not ok for each that is missing.
        """
        ...

    def capacity(self, split: str) -> int:
        """Number of distinct items in ``split`` under this generator's config."""
        ...


@runtime_checkable
class Game(Protocol):
    """Plays episodes as a pure function of (seed, index) and writes each down as a trace.

    The same arguments give the same bytes in every process; neighbouring seeds and indices share
    nothing. The seed stays out of the trace: who plays the game says whether it was chosen.
    """

    @property
    def version(self) -> str:
        """Version of the engine that deals and judges."""
        ...

    def episode(self, seed: int, index: int) -> Trace:
        """Play one whole episode, with its number in ``meta.episode_index``.

        Args:
            seed: Any integer.
            index: Number of the episode, from 0.

        Raises:
            UsageError: ``index`` is negative.
        """
        ...


class Tools(Protocol):
    """The door to the other plugins of the same workspace, for rewards and drawn completions."""

    def evaluator(self, name: str, settings: Mapping[str, Any] | None = None) -> Evaluator:
        """An evaluator by its name, made with settings.

        Raises:
            UsageError: No such evaluator, or a setting that it refuses.
        """
        ...

    def generator(self, name: str, settings: Mapping[str, Any] | None = None) -> Generator:
        """A generator by its name, made with settings.

        Raises:
            UsageError: No such generator, or a setting that it refuses.
        """
        ...


@frozen
class DataFile:
    """The data of a dataset.

    Args:
        path: One canonical record per line, as JSON.
        record: What a line holds.
        sha256: Digest of the file, in hex.
        count: Number of lines.
    """

    path: Path
    record: RecordKind
    sha256: str
    count: int


@frozen
class Host:
    """Which of the processes that train together this one is.

    Args:
        index: Its number; 0 leads, and alone writes what the run leaves behind.
        count: How many there are, where that is known beforehand; a further one that joins a
            running leader knows no more than that it does not lead.
    """

    index: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether what it writes is the run's."""
        return self.index == 0


@frozen(kw_only=True)
class TrainJob:
    """Everything a trainer needs.

    Args:
        run_id: The run this is.
        data: Data by what it is for: ``train`` always; ``eval``, held-out data for figures
            during training, and others that the trainer declares, where they were given.
        output_dir: The run's directory. The trainer owns the folders that its contribution
            declares in it.
        config: Instance of the trainer's config class.
        tools: Evaluators and generators of the same workspace.
        template: Name of the rendering template, see :mod:`tunix_core.rendering`.
        seed: Seed of initialisation and data order.
        resume: Continue from the newest checkpoint in ``output_dir`` when there is one.
        host: Which of several processes this is. A further one trains together with the leader
            or not at all, and what it writes must not stand in the leader's way.
    """

    run_id: str
    data: Mapping[str, DataFile]
    output_dir: Path
    config: Any
    tools: Tools
    template: str = "show_your_work"
    seed: int = 0
    resume: bool = False
    host: Host = Host()


class Reporter(Protocol):
    """The only writer of metrics, and the only voice that says when to stop."""

    def begin(self, total_steps: int, resumed_from: int) -> None:
        """Training starts; metrics of steps after ``resumed_from`` are cut back."""
        ...

    def step(
        self, step: int, values: Mapping[str, float], timings: Mapping[str, float] | None = None
    ) -> None:
        """Record the deterministic ``values`` of a step (from 1), apart from its ``timings``."""
        ...

    def log(self, message: str) -> None: ...

    def stop_reason(self) -> StopReason | None:
        """Asked once per step; anything but None asks for a checkpoint and an end."""
        ...


@frozen
class TrainResult:
    """What a trainer did.

    Args:
        model_dir: Directory of the usable model.
        steps: Optimizer steps taken in all, resumed ones included.
        tokens: Tokens seen in all, padding excluded.
        stop_reason: Why training ended.
        metrics: Final figures by name; the same seed gives the same.
        timings: Final figures that a clock or the machine had a part in, by name.
        hardware: What it was computed on, by name, such as ``device_kind`` and ``devices``.
    """

    model_dir: Path
    steps: int
    tokens: int
    stop_reason: StopReason
    metrics: Mapping[str, float] = field(factory=dict)
    timings: Mapping[str, float] = field(factory=dict)
    hardware: Mapping[str, str | int] = field(factory=dict)


@frozen
class GenerationConfig:
    """How to sample.

    Args:
        max_new_tokens: Cut after this many tokens.
        temperature: 0.0 is greedy.
        top_k: Keep the k most likely tokens; 0 keeps all.
        top_p: Of these, keep the smallest set with this probability; 1.0 keeps all.
        min_p: Of these, keep tokens at least this times as likely as the likeliest; 0.0 keeps
            all.
        seed: With the item, sample and position it keys every random draw.
        stop: Texts that end a completion; kept in it.
        batch_size: Rows decoded at once; it never changes what a row says.
        samples: Completions of every item of a dataset; more than one needs a temperature. A
            predictor makes one completion for each prompt it is given, whatever this says.
        system_prompt: What stands before every question of a dataset; prompts have it already.
        examples: Worked examples that stand before every question, likewise.
    """

    max_new_tokens: int = field(default=256, validator=ge(1))
    temperature: float = field(default=0.0, validator=ge(0.0))
    top_k: int = field(default=0, validator=ge(0))
    top_p: float = field(default=1.0, validator=[gt(0.0), le(1.0)])
    min_p: float = field(default=0.0, validator=[ge(0.0), le(1.0)])
    seed: int = 0
    stop: tuple[str, ...] = ("</answer>",)
    batch_size: int = field(default=64, validator=ge(1))
    samples: int = field(default=1, validator=ge(1))
    system_prompt: str = field(default="", validator=max_len(MAX_PROMPT_CHARS))
    examples: tuple[Trace, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.samples > 1 and self.temperature == 0.0:
            raise ValueError("samples: more than 1 need a temperature above 0.0")


@frozen(kw_only=True)
class LoadRequest:
    """Which model is loaded, and what for.

    Args:
        model_dir: Directory of a model that a trainer of this kind left behind.
        generation: How to sample.
        device: Where to compute: ``auto``, or what the trainer calls it.
        logprobs: Let completions carry token ids and log-probabilities.
    """

    model_dir: Path
    generation: GenerationConfig = field(factory=GenerationConfig)
    device: str = "auto"
    logprobs: bool = False


@runtime_checkable
class Predictor(Protocol):
    """Completes prompts; an item's output depends on the item, not on its batch."""

    def complete(self, prompts: Iterable[Prompt]) -> Iterator[Completion]: ...


@runtime_checkable
class Trainer(Protocol):
    """Trains; same seed, same result; stop and resume equal no stop."""

    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult: ...

    def load(self, request: LoadRequest) -> Predictor:
        """A model that :meth:`fit` left behind, ready to complete prompts.

        Raises:
            TunixError: The directory holds no such model.
        """
        ...


@runtime_checkable
class Evaluator(Protocol):
    """Judges completions without an accelerator; no credit for substrings."""

    def score(self, item: Item, completion: Completion) -> Score: ...

    def aggregate(self, scores: Sequence[Score]) -> Scorecard: ...


@frozen
class Tolerance:
    """How much worse is still fine.

    Args:
        absolute: Difference of means that is accepted.
        confidence: Level of the interval, 0.95 by default.
    """

    absolute: float = 0.0
    confidence: float = 0.95


@frozen
class CompareRequest:
    """Two sets of values by item id.

    Args:
        baseline: Value of each item under the baseline.
        candidate: Value of each item under the candidate.
        tolerance: What is still fine.
        allow_missing: Items that one side lacks count as its worst; otherwise they make the two
            not comparable.
        bounds: The lowest and the highest value that an item can have; values beyond widen them.
    """

    baseline: Mapping[str, float]
    candidate: Mapping[str, float]
    tolerance: Tolerance = Tolerance()
    allow_missing: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)


@runtime_checkable
class Comparator(Protocol):
    """Compares pairs.

    Raises :class:`~tunix_core.errors.NotComparableError` without any, and where one side has
    items that the other lacks, unless the request allows that.
    """

    def compare(self, request: CompareRequest) -> Verdict: ...


@frozen
class StoredModel:
    """Where a registry put a model.

    Args:
        sha256: Digest of the file tree.
        size_bytes: Sum of the file sizes.
    """

    sha256: str
    size_bytes: int


@runtime_checkable
class Registry(Protocol):
    """Content-addressed, immutable, verified on the way out."""

    def put(self, source: Path) -> StoredModel:
        """Store the file tree below ``source``; storing it twice is storing it once."""
        ...

    def get(self, sha256: str) -> Path:
        """Path of a stored tree whose content was checked against its digest just now."""
        ...


@frozen
class Observation:
    """A trial as a tuner sees it; one that has neither a value nor failed still runs.

    Args:
        params: What was tried.
        value: The metric of the trial, or None.
        failed: No metric will come of it.
    """

    params: Mapping[str, Any]
    value: float | None = None
    failed: bool = False


@frozen
class SuggestRequest:
    """What a tuner may know when it suggests the next trial.

    Args:
        space: What may be suggested.
        history: The earlier trials, in order.
        mode: Whether large or small values are good.
        seed: Seed of the job.
        number: Number of the trial within the job, from 1.
    """

    space: SearchSpace
    history: tuple[Observation, ...]
    mode: Literal["max", "min"]
    seed: int
    number: int


@runtime_checkable
class Tuner(Protocol):
    """Suggests what to try next: a pure function of the request, with no memory of its own."""

    def suggest(self, request: SuggestRequest) -> dict[str, Any]:
        """A value for every parameter of the space, as plain JSON values."""
        ...


@frozen(kw_only=True)
class ProcessRequest:
    """A process in which a model runs: ``python -m tunix_core.runner JOB WORKSPACE ARGUMENTS``.

    Its standard input has to stay open for as long as it shall live: when that ends, so does the
    process, at once, with all that it started. It needs the workspace's directory, and no database.

    Args:
        job: What it does: ``train`` a run, ``join`` one as a further host, or ``predict``.
        workspace: The workspace's directory, which the process must see under this path.
        arguments: What the job needs besides.
        log: Where what it prints is kept, see :class:`~tunix_core.runs.log.RunLog`.
        resources: What it needs, by name: ``cpu``, ``gpu`` and ``tpu`` in numbers of devices,
            ``memory`` in bytes; empty for whatever there is.
    """

    job: Literal["train", "join", "predict"]
    workspace: Path
    arguments: tuple[str, ...]
    log: Path
    resources: Mapping[str, float] = field(factory=dict)


class Process(Protocol):
    """A process that was started, wherever it is; it ends when whoever started it ends."""

    def poll(self) -> int | None:
        """Exit code, or None while it runs; what it printed is in the log by then.

        One that a signal ended has that signal's number, negative.
        """
        ...

    def terminate(self) -> None:
        """Ask it to end with a checkpoint; of no effect once it has ended."""
        ...

    def kill(self) -> None:
        """End it and everything it started, now; of no effect once it has ended."""
        ...

    def last_line(self) -> str:
        """The last line it wrote, for a one-line error."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Starts the processes of runs, of predictions and of tuning trials."""

    def start(self, request: ProcessRequest) -> Process:
        """Start a process; it waits for its resources where they have to be waited for.

        Raises:
            TunixError: It cannot be started.
        """
        ...
