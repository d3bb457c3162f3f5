"""What every trainer must do; subclass :class:`TrainerConformance` in your tests."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from tunix_core.base.file_trees import tree_digest
from tunix_core.codec import trace_to_json
from tunix_core.errors import TunixError
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.protocols import (
    DataFile,
    GenerationConfig,
    LoadRequest,
    Predictor,
    StopReason,
    Trainer,
    TrainJob,
    TrainResult,
)
from tunix_core.records import Completion, Prompt, Step, Trace

STEPS = 6
STOP_AT = 4
SAMPLINGS: tuple[dict[str, Any], ...] = ({}, {"temperature": 1.0, "seed": 3})


class RecordingReporter:
    """A reporter that keeps what it is told, and asks for an end after ``stop_at`` steps."""

    def __init__(self, stop_at: int | None = None, reason: StopReason = "cancelled") -> None:
        self.begun: list[tuple[int, int]] = []
        self.steps: list[tuple[int, Mapping[str, float]]] = []
        self.timings: list[Mapping[str, float]] = []
        self.messages: list[str] = []
        self._stop_at = stop_at
        self._reason: StopReason = reason

    def begin(self, total_steps: int, resumed_from: int) -> None:
        self.begun.append((total_steps, resumed_from))

    def step(
        self, step: int, values: Mapping[str, float], timings: Mapping[str, float] | None = None
    ) -> None:
        self.steps.append((step, dict(values)))
        self.timings.append(dict(timings or {}))

    def log(self, message: str) -> None:
        self.messages.append(message)

    def stop_reason(self) -> StopReason | None:
        # A trainer may report a step while the next one runs, so the questions are counted.
        if self._stop_at is None:
            return None
        self._stop_at -= 1
        return self._reason if self._stop_at <= 0 else None


@frozen
class Finished:
    """A run that came to its end: what was asked, what came of it, and what was reported."""

    job: TrainJob
    result: TrainResult
    reporter: RecordingReporter


class TrainerConformance:
    """The contract of a trainer: repeatable, resumable without a trace, obedient, confined.

    Example::

        class TestMine(TrainerConformance):
            def make(self):
                return MyTrainer()

            def config(self, steps):
                return MyConfig(steps=steps, size="tiny")

    Set ``figure``, ``leaves`` and ``scratch`` where the trainer's contribution does.
    """

    figure: str = "loss"
    leaves: tuple[str, ...] = ("model",)
    scratch: tuple[str, ...] = ("checkpoints",)

    def make(self) -> Trainer:
        """A trainer."""
        raise NotImplementedError

    def config(self, steps: int) -> Any:
        """Settings of a run of ``steps`` steps that takes seconds."""
        raise NotImplementedError

    def job(self, directory: Path, steps: int = STEPS, seed: int = 7) -> TrainJob:
        """A job on a few traces below ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        data = directory.parent / "dataset.jsonl"
        lines = [trace_to_json(trace) + "\n" for trace in sample_traces()]
        data.write_text("".join(lines), encoding="utf-8")
        return train_job(directory, self.config(steps), data, seed=seed)

    def fit(
        self, job: TrainJob, stop_at: int | None = None, reason: StopReason = "cancelled"
    ) -> tuple[TrainResult, RecordingReporter]:
        """Train and return what came of it and what was reported."""
        reporter = RecordingReporter(stop_at, reason)
        return self.make().fit(job, reporter), reporter

    def load(self, result: TrainResult, logprobs: bool = False, **changes: Any) -> Predictor:
        """The run's model, ready to complete."""
        config = GenerationConfig(max_new_tokens=12, **changes)
        request = LoadRequest(model_dir=result.model_dir, generation=config, logprobs=logprobs)
        predictor = self.make().load(request)
        assert isinstance(predictor, Predictor)
        return predictor

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, tmp_path_factory: pytest.TempPathFactory) -> Finished:
        """A run that nothing disturbed; tests look at it and leave it as it is."""
        return cls().finish(tmp_path_factory.mktemp("finished"))

    def finish(self, directory: Path) -> Finished:
        """Train from begin to end below ``directory``."""
        job = self.job(directory / "run")
        return Finished(job, *self.fit(job))

    def test_is_a_trainer(self) -> None:
        assert isinstance(self.make(), Trainer)

    def test_reports_every_step_once_in_order(self, finished: Finished) -> None:
        result, reporter = finished.result, finished.reporter
        assert reporter.begun == [(STEPS, 0)]
        assert [step for step, _ in reporter.steps] == list(range(1, STEPS + 1))
        assert all(self.figure in values for _, values in reporter.steps)
        assert (result.steps, result.stop_reason) == (STEPS, "completed")
        assert result.tokens > 0

    def test_figures_are_numbers_and_stand_apart_from_timings(self, finished: Finished) -> None:
        result, reporter = finished.result, finished.reporter
        reported = zip((values for _, values in reporter.steps), reporter.timings, strict=True)
        for values, timings in (*reported, (result.metrics, result.timings)):
            assert set(values).isdisjoint(timings)
            for name, value in (*values.items(), *timings.items()):
                assert type(value) in (int, float), f"{name} is {value!r}"
                assert math.isfinite(value), f"{name} is {value}"

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
        self, finished: Finished
    ) -> None:
        first, first_reporter = finished.result, finished.reporter
        beside = finished.job.output_dir.parent
        second, second_reporter = self.fit(self.job(beside / "second"))
        other, _ = self.fit(self.job(beside / "other", seed=8))
        assert first_reporter.steps == second_reporter.steps
        assert dict(first.metrics) == dict(second.metrics)
        assert tree_digest(first.model_dir) == tree_digest(second.model_dir)
        assert tree_digest(first.model_dir) != tree_digest(other.model_dir)

    @pytest.mark.parametrize("reason", ["cancelled", "time_budget", "terminated"])
    def test_a_stop_ends_in_a_usable_model_and_resumes_as_if_it_never_was(
        self, tmp_path: Path, finished: Finished, reason: StopReason
    ) -> None:
        whole, whole_reporter = finished.result, finished.reporter
        job = self.job(tmp_path / "stopped")
        stopped, before = self.fit(job, STOP_AT, reason)
        assert (stopped.steps, stopped.stop_reason) == (STOP_AT, reason)
        complete(self.load(stopped), sample_prompts(1))
        resumed, after = self.fit(evolve(job, resume=True))
        assert after.begun == [(STEPS, STOP_AT)]
        assert before.steps + after.steps == whole_reporter.steps
        assert (resumed.steps, resumed.tokens) == (whole.steps, whole.tokens)
        assert dict(resumed.metrics) == dict(whole.metrics)
        assert tree_digest(resumed.model_dir) == tree_digest(whole.model_dir)

    def test_resume_without_a_checkpoint_begins_at_the_beginning(self, tmp_path: Path) -> None:
        result, reporter = self.fit(evolve(self.job(tmp_path / "run"), resume=True))
        assert reporter.begun == [(STEPS, 0)]
        assert result.steps == STEPS

    def test_writes_only_what_it_declares(self, finished: Finished) -> None:
        written = {path.name for path in finished.job.output_dir.iterdir()}
        assert written <= {*self.leaves, *self.scratch}

    def test_what_an_item_gets_does_not_depend_on_its_batch(self, finished: Finished) -> None:
        prompts = sample_prompts(5)
        for sampling in SAMPLINGS:
            predictor = self.load(finished.result, batch_size=4, **sampling)
            together = complete(predictor, prompts)
            assert complete(predictor, prompts[::-1]) == together[::-1]
            assert [c for prompt in prompts for c in complete(predictor, [prompt])] == together
            again = self.load(finished.result, batch_size=4, **sampling)
            assert complete(again, prompts[2:3]) == together[2:3]

    def test_completions_carry_tokens_and_logprobs_when_asked(self, finished: Finished) -> None:
        for sampling in SAMPLINGS:
            plain = complete(self.load(finished.result, **sampling), sample_prompts(3))
            asked = complete(
                self.load(finished.result, logprobs=True, **sampling), sample_prompts(3)
            )
            assert [c.text for c in asked] == [c.text for c in plain]
            assert all((c.token_ids, c.logprobs) == ((), ()) for c in plain)
            for completion in asked:
                assert len(completion.token_ids) == len(completion.logprobs) == completion.tokens
                assert all(token >= 0 for token in completion.token_ids)
                assert all(math.isfinite(x) and x <= 0.0 for x in completion.logprobs)

    def test_no_data_is_refused(self, tmp_path: Path) -> None:
        job = self.job(tmp_path / "run")
        data = job.data["train"].path
        data.write_text("")
        job = evolve(job, data={"train": data_file(data)})
        with pytest.raises(TunixError):
            self.fit(job)

    def test_a_directory_without_a_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TunixError):
            self.make().load(LoadRequest(model_dir=tmp_path))


def complete(predictor: Predictor, prompts: Sequence[Prompt]) -> list[Completion]:
    """What the model says to each prompt, in order."""
    completions = list(predictor.complete(prompts))
    assert [c.item_id for c in completions] == [p.item_id for p in prompts]
    return completions


def train_job(
    directory: Path, config: Any, train: Path, held_out: Path | None = None, seed: int = 0
) -> TrainJob:
    """A job on files of traces, with the core's own evaluators as tools.

    Args:
        directory: The run's directory.
        config: Instance of the trainer's config class.
        train: What is learned from.
        held_out: What is held out, or None.
        seed: Seed of the run.
    """
    files = {"train": train} if held_out is None else {"train": train, "eval": held_out}
    return TrainJob(
        run_id="run",
        data={use: data_file(path) for use, path in files.items()},
        output_dir=directory,
        config=config,
        tools=PluginTools(Plugins.of()),
        seed=seed,
    )


def data_file(path: Path) -> DataFile:
    """A file of traces, as a run would describe it."""
    content = path.read_bytes()
    return DataFile(path, "trace", hashlib.sha256(content).hexdigest(), content.count(b"\n"))


def sample_traces() -> list[Trace]:
    """A few sums."""
    return [
        Trace(
            prompt=f"What is {a} + {b}?",
            final_answer=str(a + b),
            steps=(Step(0, "compute", f"{a} + {b} = {a + b}"),),
        )
        for a in range(6)
        for b in range(6)
    ]


def sample_prompts(count: int) -> list[Prompt]:
    """Prompts of several lengths."""
    return [Prompt(f"item {n}", f"What is {n} + {n}?{' Think first.' * n}\n") for n in range(count)]
