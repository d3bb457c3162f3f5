"""The core's own contributions keep the contracts that everyone else's must keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attrs import evolve

from tests.samples.counting_trainer import CountingConfig, CountingTrainer
from tunix_core.codec import trace_to_json
from tunix_core.evaluators.answer_correctness import AnswerCorrectness
from tunix_core.evaluators.show_your_work import ShowYourWork
from tunix_core.evaluators.step_validity import StepValidity
from tunix_core.models.local_registry import LocalRegistry
from tunix_core.protocols import (
    Evaluator,
    Registry,
    Reporter,
    Source,
    Trainer,
    TrainJob,
    TrainResult,
)
from tunix_core.records import Completion, Trace
from tunix_core.testing.evaluator import EvaluatorConformance, Sample, completion, item
from tunix_core.testing.registry import RegistryConformance
from tunix_core.testing.source import SourceConformance
from tunix_core.testing.trainer import Finished, TrainerConformance
from tunix_core.traces.jsonl_source import JsonlSource


class TestJsonl(SourceConformance):
    def make(self) -> Source:
        return JsonlSource()

    def write(self, directory: Path, traces: Sequence[Trace]) -> Path:
        path = directory / "traces.jsonl"
        path.write_text("".join(trace_to_json(trace) + "\n" for trace in traces), encoding="utf-8")
        return path

    def write_broken(
        self, directory: Path, traces: Sequence[Trace], place: int
    ) -> tuple[Path, int]:
        path = self.write(directory, traces)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        broken = json.loads(lines[place]) | {"final_answer": 4}
        lines[place] = json.dumps(broken) + "\n"
        path.write_text("".join(lines), encoding="utf-8")
        return path, place + 1


class TestLocalRegistry(RegistryConformance):
    def make(self, directory: Path) -> Registry:
        return LocalRegistry(directory)


class TestCounting(TrainerConformance):
    def make(self) -> Trainer:
        return CountingTrainer()

    def config(self, steps: int) -> CountingConfig:
        return CountingConfig(steps=steps)


class Careless(CountingTrainer):
    """Puts what a clock says where the figures of the run belong."""

    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult:
        result = super().fit(job, reporter)
        return evolve(result, metrics={**result.metrics, **result.timings}, timings={})


class Vague(CountingTrainer):
    """Reports a timing that is no number."""

    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult:
        result = super().fit(job, reporter)
        return evolve(result, timings={"tokens_per_second": float("nan")})


@pytest.mark.parametrize(
    ("trainer", "broken"),
    [
        (Careless, TestCounting.test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not),
        (Vague, TestCounting.test_figures_are_numbers_and_stand_apart_from_timings),
    ],
)
def test_the_suite_of_trainers_bites(
    tmp_path: Path,
    trainer: type[CountingTrainer],
    broken: Callable[[TestCounting, Finished], None],
) -> None:
    suite = TestCounting()
    broken(suite, suite.finish(tmp_path / "good"))
    suite.make = trainer  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        broken(suite, suite.finish(tmp_path / "bad"))


class TestAnswerCorrectness(EvaluatorConformance):
    def make(self) -> Evaluator:
        return AnswerCorrectness()

    def deserving(self) -> Sequence[Sample]:
        return [
            (item("q", "12", answer_type="integer"), completion("12", prompt="q")),
            (item("q", "1,200", answer_type="integer"), completion("1200.0", prompt="q")),
            (item("q", "1/2", answer_type="fraction"), completion("2/4", prompt="q")),
            (item("q", "yes", answer_type="boolean"), completion("True", prompt="q")),
            (item("q", "a, b", answer_type="set"), completion("b, a", prompt="q")),
            (item("q", "Anna"), completion(" anna ", prompt="q")),
            (item("q", "7"), Completion("item q", "Reasoning:\n1. so\nAnswer: 7<end_of_turn>")),
        ]

    def undeserving(self) -> Sequence[Sample]:
        return [
            (item("q", "12", answer_type="integer"), completion("112", prompt="q")),
            (item("q", "12", answer_type="integer"), completion("12 or 13", prompt="q")),
            (item("q", "12", answer_type="integer"), completion("1 2", prompt="q")),
            (item("q", "yes", answer_type="boolean"), completion("yes and no", prompt="q")),
            (item("q", "a, b", answer_type="list"), completion("b, a", prompt="q")),
            (item("q", "Anna"), completion("Hanna", prompt="q")),
            (item("q", "Anna"), completion("not Anna", prompt="q")),
            (item("q", "12"), Completion("item q", "I count 12, or so")),
            (item("q", "12"), Completion("item q", "")),
        ]


class TestShowYourWork(EvaluatorConformance):
    def make(self) -> Evaluator:
        return ShowYourWork()

    def deserving(self) -> Sequence[Sample]:
        return [(item("q", "1"), completion("wrong but well formed", prompt="q"))]

    def undeserving(self) -> Sequence[Sample]:
        good = completion("1", prompt="q").text
        texts = (
            good + " and more",
            "So: " + good,
            good * 2,
            good.replace("</reasoning>", ""),
            good.replace("some work", " "),
            "<answer>1</answer>\n<reasoning>some work</reasoning>",
            "<reasoning>a</reasoning>\n<answer> </answer>",
        )
        cut = (item("q", "1"), Completion("item q", good, "length"))
        return [cut, *((item("q", "1"), Completion("item q", text)) for text in texts)]


class TestStepValidity(EvaluatorConformance):
    def make(self) -> Evaluator:
        return StepValidity()

    def deserving(self) -> Sequence[Sample]:
        return [
            (item("q", "1"), completion("9", work, "q"))
            for work in (
                "2 + 2 = 4",
                "first 1.5 * 2 = 3, then 3 - 4 = -1",
                "(1 + 2) * 3 = 9 = 4.5 × 2",
                "1/3 + 1/3 = 2/3",
                "1,000 + 1 = 1,001",
            )
        ]

    def undeserving(self) -> Sequence[Sample]:
        return [
            (item("q", "4"), completion("4", work, "q"))
            for work in ("2 + 2 = 5", "2 + 2 = 4 and 4 + 1 = 6", "no equation at all", "4")
        ]
