"""A trainer of a few lines: its model answers with the most frequent training answer.

It takes as many steps as it is told, as slowly as it is told, and checkpoints its counts, so
that runs can be stopped, killed and resumed without an accelerator library.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from tunix_core import hookimpl
from tunix_core.base.files import write_atomically
from tunix_core.contributions import TrainerContribution
from tunix_core.errors import TunixError, UsageError
from tunix_core.protocols import LoadRequest, Reporter, StopReason, TrainJob, TrainResult
from tunix_core.records import Completion, Prompt


@frozen
class CountingConfig:
    """Settings.

    Args:
        steps: Steps to take; each counts one line of the data.
        step_seconds: How long a step takes.
        fail_at: Step at which it fails, or None.
        enough_at: Step after which it stops early, or None.
        checkpoint_every: Steps between checkpoints.
        echo: Whether its model says as its reasoning what it was asked.
    """

    steps: int = 10
    step_seconds: float = 0.0
    fail_at: int | None = None
    enough_at: int | None = None
    checkpoint_every: int = 5
    echo: bool = False

    @property
    def model_id(self) -> str:
        return f"counting-{self.steps}"


class CountingTrainer:
    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult:
        config: CountingConfig = job.config
        path = job.data["train"].path
        with path.open(encoding="utf-8") as lines:
            answers = [json.loads(line)["final_answer"] for line in lines]
        if not answers:
            raise UsageError(f"{path} holds no trace")
        checkpoint = job.output_dir / "checkpoints" / "counts.json"
        checkpoint.parent.mkdir(exist_ok=True)
        state: dict[str, Any] = {"step": 0, "counts": {}}
        if job.resume and checkpoint.exists():
            state = json.loads(checkpoint.read_text())
        step, counts = int(state["step"]), Counter(state["counts"])
        reporter.begin(config.steps, step)
        if not job.host.leads:
            reporter.log(f"counting along for {job.run_id}")
        reason: StopReason | None = None
        begun = time.monotonic()
        while step < config.steps and reason is None:
            time.sleep(config.step_seconds)
            step += 1
            if step == config.fail_at:
                raise TunixError("the loss is not a number", f"step {step}")
            counts[answers[(step + job.seed) % len(answers)]] += 1
            reporter.step(step, {"loss": 1.0 / step}, {"clock": time.monotonic() - begun})
            reason = "early_stopping" if step == config.enough_at else reporter.stop_reason()
            if reason is not None or step % config.checkpoint_every == 0:
                write_atomically(checkpoint, json.dumps({"step": step, "counts": counts}))
        model = job.output_dir / "model"
        model.mkdir(exist_ok=True)
        best = max(sorted(counts), key=lambda answer: counts[answer], default="")
        held = {"answer": best, "counts": counts, "echo": config.echo}
        write_atomically(model / "answer.json", json.dumps(held))
        metrics, timings = {"loss": 1.0 / max(step, 1)}, {"seconds": time.monotonic() - begun}
        return TrainResult(model, step, step, reason or "completed", metrics, timings)

    def load(self, request: LoadRequest) -> CountingPredictor:
        path = request.model_dir / "answer.json"
        if not path.exists():
            raise UsageError(f"{request.model_dir} holds no model")
        held = json.loads(path.read_text())
        return CountingPredictor(held["answer"], request.logprobs, held["echo"])


class CountingPredictor:
    """Gives the answer, or in every second sample of an item the number of the sample."""

    def __init__(self, answer: str, logprobs: bool = False, echo: bool = False) -> None:
        self._answer = answer
        self._logprobs = logprobs
        self._echo = echo

    def complete(self, prompts: Iterable[Prompt]) -> Iterator[Completion]:
        for prompt in prompts:
            answer = f"sample {prompt.sample}" if prompt.sample % 2 else self._answer
            reasoning = prompt.text if self._echo else "it was frequent"
            text = f"<reasoning>{reasoning}</reasoning>\n<answer>{answer}</answer>"
            # Its tokens are characters, of which it is sure.
            ids = tuple(map(ord, text)) if self._logprobs else ()
            yield Completion(
                prompt.item_id,
                text,
                tokens=len(text),
                sample=prompt.sample,
                token_ids=ids,
                logprobs=(0.0,) * len(ids),
            )


@hookimpl
def tunix_trainers() -> list[TrainerContribution]:
    return [
        TrainerContribution(
            name="counting",
            summary="Answers with the most frequent training answer",
            factory=CountingTrainer,
            config=CountingConfig,
            execution_settings=("checkpoint_every",),
        )
    ]
