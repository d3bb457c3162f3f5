"""The trainer: data in, checkpoints and a usable model out."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from attrs import frozen

from tunix_core.errors import TunixError, UsageError
from tunix_core.protocols import GenerationConfig, Predictor, Reporter, TrainJob, TrainResult
from tunix_core.rendering import Rendered
from tunix_jax.checkpoints import Checkpoints, load_model, save_model
from tunix_jax.config import ModelConfig, TrainerConfig
from tunix_jax.data import IntArray, PackedRows, pack, read_examples, rows_of_step, tokenize
from tunix_jax.generate import JaxPredictor
from tunix_jax.loss import Batch
from tunix_jax.model import make_model
from tunix_jax.tokenizer import TextTokenizer
from tunix_jax.train_step import TrainState, make_eval, make_state, make_step


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, where ``JAX_COMPILATION_CACHE_DIR`` says."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunix-jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@frozen
class _Plan:
    """What a job comes to once its data is read."""

    config: TrainerConfig
    shape: ModelConfig
    tokenizer: TextTokenizer
    rows: PackedRows
    held_out: PackedRows | None
    total_steps: int
    seed: int

    def batch(self, step: int) -> tuple[Batch, int]:
        """What a step (from 0) learns from, and its number of tokens, padding excluded."""
        rows = self.rows.take(self._rows_of(step))
        return jax.device_put(rows), int(np.count_nonzero(rows["segments"]))

    def tokens_until(self, steps: int) -> int:
        """Tokens in the first ``steps`` steps, padding excluded."""
        in_row = np.count_nonzero(self.rows.segments, axis=1)
        return sum(int(in_row[self._rows_of(step)].sum()) for step in range(steps))

    def _rows_of(self, step: int) -> IntArray:
        return rows_of_step(step, self.config.rows, len(self.rows), self.seed)

    def data_key(self) -> str:
        """Digest of the packed rows and the vocabulary."""
        digest = hashlib.sha256(self.rows.tokens.tobytes())
        digest.update(self.rows.targets.tobytes())
        digest.update(f"{self.shape}/{self.seed}".encode())
        return digest.hexdigest()


class JaxTrainer:
    """Trains decoders from scratch; the same seed gives the same weights."""

    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult:
        """Train, or continue from the newest checkpoint.

        Raises:
            UsageError: The data is empty, nothing fits, or the tokenizer cannot be used.
            ConflictError: The checkpoint belongs to another config or other data.
            TunixError: The loss is no longer a number.
        """
        use_compilation_cache()
        plan = _prepare(job, reporter)
        graph, params = make_model(plan.shape, job.seed)
        state = make_state(params, plan.config, plan.total_steps)
        checkpoints = Checkpoints(job.output_dir / "checkpoints", plan.config, plan.data_key())
        try:
            restored = checkpoints.restore(state) if job.resume else None
            state = state if restored is None else restored
            reporter.begin(plan.total_steps, int(state["step"]))
            state, reason, metrics = _train(graph, state, plan, checkpoints, reporter)
            model = job.output_dir / "model"
            save_model(model, state["params"], plan.shape, plan.tokenizer, plan.config.dtype)
        finally:
            checkpoints.close()
        return TrainResult(
            model_dir=model,
            steps=int(state["step"]),
            tokens=plan.tokens_until(int(state["step"])),
            stop_reason=reason,
            metrics=metrics,
        )

    def load(self, model_dir: Path, config: GenerationConfig) -> Predictor:
        """A saved model, ready to answer.

        Raises:
            UsageError: The directory holds no model.
        """
        use_compilation_cache()
        params, shape, tokenizer, dtype = load_model(model_dir)
        return JaxPredictor(params, shape, tokenizer, config, dtype)


def _prepare(job: TrainJob, reporter: Reporter) -> _Plan:
    config: TrainerConfig = job.config
    examples = list(read_examples(job.train_data, job.template))
    if not examples:
        raise UsageError(f"{job.train_data} holds no trace")
    tokenizer = _tokenizer(config, examples)
    rows = pack(tokenize(examples, tokenizer), config.max_length, tokenizer.pad)
    held_out = None
    if job.eval_data is not None:
        held = list(read_examples(job.eval_data, job.template))
        held_out = pack(tokenize(held, tokenizer), config.max_length, tokenizer.pad)
    steps = config.steps
    if steps is None:
        steps = -(-len(rows) * config.epochs // config.rows)
    padding = 1 - np.count_nonzero(rows.segments) / rows.segments.size
    reporter.log(
        f"{len(examples)} examples in {len(rows)} rows of {config.max_length} tokens, "
        f"{padding:.1%} padding, {rows.too_long} left out as too long; "
        f"vocabulary {tokenizer.vocab_size}; {steps} steps of {config.rows} rows"
    )
    shape = config.shape(tokenizer.vocab_size)
    return _Plan(config, shape, tokenizer, rows, held_out, steps, job.seed)


def _tokenizer(config: TrainerConfig, examples: list[Rendered]) -> TextTokenizer:
    if config.tokenizer is not None:
        return TextTokenizer.load(Path(config.tokenizer))
    texts = (text for example in examples for text in (example.prompt, example.completion))
    return TextTokenizer.train(texts, config.vocab_size)


def _train(
    graph: Any, state: TrainState, plan: _Plan, checkpoints: Checkpoints, reporter: Reporter
) -> tuple[TrainState, Any, dict[str, float]]:
    """Step until the end or until the reporter says stop; the last state is checkpointed."""
    config = plan.config
    step_function = make_step(graph, config, plan.total_steps)
    evaluate = _evaluator(graph, plan)
    step = int(state["step"])
    meter = _Meter(reporter, plan.tokens_until(step))
    reason: Any = None
    while step < plan.total_steps and reason is None:
        batch, tokens = plan.batch(step)
        state, metrics = step_function(state, batch)
        step += 1
        held_out = evaluate(state["params"], step)
        meter.add(step, metrics, tokens, held_out)
        reason = reporter.stop_reason()
        if config.checkpoint_every and step % config.checkpoint_every == 0:
            meter.flush()
            checkpoints.save(step, state)
    meter.flush()
    if step:
        checkpoints.save(step, state)
    return state, reason or "completed", meter.last


def _evaluator(graph: Any, plan: _Plan) -> Callable[[Any, int], Mapping[str, float]]:
    """A function that gives the held-out loss at the steps where it is due."""
    rows = plan.held_out
    if rows is None:
        return lambda _params, _step: {}
    evaluate = make_eval(graph, plan.config)
    size = plan.config.rows

    def held_out_loss(params: Any, step: int) -> Mapping[str, float]:
        if step % plan.config.eval_every and step != plan.total_steps:
            return {}
        total = count = 0.0
        for begin in range(0, len(rows), size):
            wanted = np.arange(begin, begin + size)
            batch = rows.take((wanted % len(rows)).astype(np.int32))
            # The last batch is filled up with rows that do not count.
            batch["targets"] = batch["targets"] * (wanted < len(rows))[:, None].astype(np.int32)
            loss, number = evaluate(params, batch)
            total, count = total + float(loss), count + float(number)
        return {"eval_loss": total / max(count, 1.0)}

    return held_out_loss


class _Meter:
    """Reports each step while the next one runs, so that the device never waits for the host."""

    def __init__(self, reporter: Reporter, tokens: int) -> None:
        self._reporter = reporter
        self._tokens = tokens
        self._pending: tuple[int, Mapping[str, Any], int, Mapping[str, float]] | None = None
        self._clock = time.perf_counter()
        self.last: dict[str, float] = {}

    def add(
        self,
        step: int,
        metrics: Mapping[str, Any],
        new_tokens: int,
        held_out: Mapping[str, float],
    ) -> None:
        self.flush()
        self._pending = (step, metrics, new_tokens, held_out)

    def flush(self) -> None:
        """Report the step that is still outstanding.

        Raises:
            TunixError: Its loss is not a number.
        """
        if self._pending is None:
            return
        step, metrics, new_tokens, held_out = self._pending
        self._pending = None
        self._tokens += new_tokens
        values = {name: float(value) for name, value in metrics.items()} | dict(held_out)
        values["tokens"] = self._tokens
        if not np.isfinite(values["loss"]):
            raise TunixError(f"the loss is not a number at step {step}", "lower learning_rate")
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        timings = {"step_seconds": seconds, "tokens_per_second": new_tokens / seconds}
        self._reporter.step(step, values, timings)
        self.last = {**self.last, **values}
