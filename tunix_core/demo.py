"""The whole line in one call: generate, import, build, train, evaluate, compare, promote."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from tunix_core.base.files import write_atomically
from tunix_core.codec import trace_to_json
from tunix_core.contributions import COMPARATOR, DEFAULT, GENERATOR, TRAINER
from tunix_core.errors import TunixError
from tunix_core.evaluation.regressions import DEFAULT_COMPARATOR
from tunix_core.evaluation.review import JudgedItem
from tunix_core.protocols import GenerationConfig
from tunix_core.records import (
    Contamination,
    DatasetManifest,
    Estimate,
    Evaluation,
    ModelVersion,
    Run,
    Score,
    Trace,
    Verdict,
)
from tunix_core.workspace import Workspace

BASELINE = "untrained"
ARTIFACT = "dev-reasoning-demo"
SPLITS = ("train", "test")
# No item of difficulty 1 needs more tokens than this to be answered.
GENERATION = GenerationConfig(max_new_tokens=112)


@frozen
class DemoConfig:
    """What the demo does.

    Args:
        generator: Name of the generator.
        generator_settings: Its settings.
        trainer: Name of the trainer.
        trainer_settings: Its settings.
        train_items: Number of generated training items.
        test_items: Number of held-out items, drawn evenly over the families.
        seed: Seed of the data and of the training.
    """

    generator: str = "dev-reasoning-v1"
    generator_settings: Mapping[str, Any] = field(factory=lambda: {"difficulty": 1})
    trainer: str = DEFAULT
    trainer_settings: Mapping[str, Any] = field(
        factory=lambda: {"model_id": "small", "steps": 1200}
    )
    train_items: int = 21_000
    test_items: int = 500
    seed: int = 42


class Listener(Protocol):
    """Is told what the demo is doing."""

    def phase(self, title: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def training(self, run: Run) -> Callable[[], None]:
        """Returns what is called several times a second while ``run`` trains."""
        ...


@frozen
class DemoResult:
    """What the demo found.

    Args:
        summary: What it wrote to ``summary.json``.
        before: Scores of the untrained model.
        after: Those of the trained one.
        verdict: How the second compares with the first.
        version: What was promoted.
        examples: Answers of the trained model.
        run: The run that trained it.
        contamination: What the test shares with the training data.
        apart: The first score of the trained model, over items whose work is not shared.
    """

    summary: Mapping[str, Any]
    before: tuple[Evaluation, ...]
    after: tuple[Evaluation, ...]
    verdict: Verdict
    version: ModelVersion
    examples: tuple[JudgedItem, ...]
    run: Run
    contamination: Contamination
    apart: Estimate


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - begin
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + spent, 3)

    def total(self) -> float:
        return round(time.monotonic() - self._started, 3)


def _find_plugins(workspace: Workspace, config: DemoConfig) -> None:
    """Refuse to begin what could not be ended."""
    workspace.plugins.find(GENERATOR, config.generator)
    workspace.plugins.find(TRAINER, config.trainer)
    workspace.plugins.find(COMPARATOR, DEFAULT_COMPARATOR)


def run_demo(workspace: Workspace, config: DemoConfig, listener: Listener) -> DemoResult:
    """Run the whole line; writes ``summary.json`` into the workspace.

    Raises:
        TunixError: A stage failed, or a held-out item was found in the training data.
    """
    _find_plugins(workspace, config)
    watch = _Stopwatch()
    folder = workspace.paths.root / "demo"
    folder.mkdir(exist_ok=True)
    with watch.measure("generate"):
        listener.phase(
            f"Generating {config.train_items} training and {config.test_items} test items"
        )
        _generate(workspace, config, folder, listener)
    with watch.measure("import"):
        listener.phase("Importing the traces")
        ids = {split: _import(workspace, folder / f"{split}.jsonl") for split in SPLITS}
        listener.progress(sum(map(len, ids.values())), 0)
    with watch.measure("build"):
        listener.phase("Building the datasets and looking for what they share")
        train, test = (_build(workspace, config, split, ids[split]) for split in SPLITS)
        shared = workspace.datasets.contamination(
            train.dataset_key, test.dataset_key, listener.progress
        )
        if asked := shared.items("exact"):
            raise TunixError(f"{len(asked)} held-out items are in the training data")
    untrained = _run(workspace, config, train.dataset_key, {"steps": 0})
    listener.phase("Making the untrained model that everything is compared with")
    with watch.measure("evaluate"):
        _execute(workspace, untrained, listener, quiet=True)
        before = _evaluate(workspace, untrained, test.dataset_key, listener)
    trained = _run(workspace, config, train.dataset_key, {})
    with watch.measure("train"):
        listener.phase(f"Training {trained.model_id} from scratch on {train.trace_count} items")
        trained = _execute(workspace, trained, listener)
    with watch.measure("evaluate"):
        after = _evaluate(workspace, trained, test.dataset_key, listener)
    listener.phase("Checking for a regression against the untrained model, then promoting")
    workspace.regressions.set_baseline(BASELINE, untrained.id)
    _, verdict = workspace.regressions.check(trained.id, BASELINE)
    if verdict.regressed:
        raise TunixError(f"the trained model is worse than the untrained one: {verdict.reason}")
    version = workspace.models.promote(ARTIFACT, trained.id)
    summary = {
        "dataset_sha256": train.sha256,
        "train_items": train.trace_count,
        "test_items": test.trace_count,
        "contamination": shared.counts,
        "before": _scores(before),
        "after": _scores(after),
        "constant_answer_baseline": after[0].scorecard.metrics["constant_answer_baseline"],
        "steps": trained.result and trained.result.steps,
        "tokens": trained.result and trained.result.tokens,
        "seconds": {**watch.seconds, "total": watch.total()},
        "run_id": trained.id,
        "model_version": f"{version.artifact}@{version.version}",
    }
    write_atomically(workspace.paths.root / "summary.json", json.dumps(summary, indent=2) + "\n")
    examples = _examples(workspace, after[0])
    apart = workspace.evaluations.estimate_without(after[0], shared.items("same_work"))
    return DemoResult(summary, before, after, verdict, version, examples, trained, shared, apart)


def _generate(workspace: Workspace, config: DemoConfig, folder: Path, listener: Listener) -> None:
    def stream(split: str, count: int) -> Iterator[Trace]:
        return workspace.traces.generate(
            config.generator,
            split=split,
            start=0,
            count=count,
            seed=config.seed,
            settings=dict(config.generator_settings),
        )

    with (folder / "train.jsonl").open("w", encoding="utf-8") as out:
        for done, trace in enumerate(stream("train", config.train_items), start=1):
            out.write(trace_to_json(trace) + "\n")
            if done % 1000 == 0:
                listener.progress(done, config.train_items)
    with (folder / "test.jsonl").open("w", encoding="utf-8") as out:
        for trace in _evenly(list(stream("test", 2 * config.test_items)), config.test_items):
            out.write(trace_to_json(trace) + "\n")


def _evenly(traces: Iterable[Trace], count: int) -> Iterator[Trace]:
    """The first ``count`` traces of a stream that keep the families in balance."""
    held = list(traces)
    families = sorted({_family(trace) for trace in held})
    share, extra = divmod(count, len(families))
    quota = Counter({name: share + (place < extra) for place, name in enumerate(families)})
    for trace in held:
        if quota[_family(trace)] > 0:
            quota[_family(trace)] -= 1
            yield trace


def _family(trace: Trace) -> str:
    return str((trace.meta or {}).get("family"))


def _import(workspace: Workspace, path: Path) -> list[str]:
    """Ids of the traces of a file, in its order, those that were stored before included."""
    ids: list[str] = []
    workspace.traces.import_file(path, trace_ids=ids)
    return ids


def _build(
    workspace: Workspace, config: DemoConfig, split: str, trace_ids: Sequence[str]
) -> DatasetManifest:
    version = f"{len(trace_ids)}-seed{config.seed}"
    return workspace.datasets.build(f"demo-{split}", version, trace_ids=trace_ids, seed=config.seed)


def _run(
    workspace: Workspace, config: DemoConfig, dataset_key: str, changes: Mapping[str, Any]
) -> Run:
    settings = {**config.trainer_settings, **changes}
    return workspace.runs.create(dataset_key, config.trainer, settings, seed=config.seed)


def _execute(workspace: Workspace, run: Run, listener: Listener, quiet: bool = False) -> Run:
    on_poll = None if quiet else listener.training(run)
    ended = workspace.worker().execute(run.id, on_poll)
    if ended.status != "completed":
        raise TunixError(f"run {run.id} ended as {ended.status}: {ended.error}")
    return ended


def _evaluate(
    workspace: Workspace, run: Run, dataset_key: str, listener: Listener
) -> tuple[Evaluation, ...]:
    listener.phase(f"Answering and judging {dataset_key}")
    workspace.predictions.create(run.id, dataset_key, GENERATION, listener.progress)
    return tuple(workspace.evaluations.run(run.id, dataset_key))


def _scores(evaluations: Iterable[Evaluation]) -> dict[str, float | None]:
    return {e.evaluator.rpartition("/")[2]: e.score for e in evaluations}


def _examples(workspace: Workspace, evaluation: Evaluation) -> tuple[JudgedItem, ...]:
    """Three right answers from three families, to be read by people."""
    by_family: dict[str | None, Score] = {}
    for score in workspace.evaluations.scores(evaluation):
        if score.value == 1.0:
            by_family.setdefault(score.groups.get("family"), score)
    return workspace.evaluations.review(evaluation, list(by_family.values())[:3]).items
