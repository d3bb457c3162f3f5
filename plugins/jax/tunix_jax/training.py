"""The loop over steps: when to evaluate, to keep a state, and to end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tunix_core.errors import TunixError
from tunix_core.protocols import Reporter, StopReason, TrainJob
from tunix_jax.batches import Prefetch, Shuffle
from tunix_jax.checkpoints import Checkpoints, Progress
from tunix_jax.decoder import Params
from tunix_jax.distributed import agreed_stop, place_rows
from tunix_jax.meter import Meter, Profile
from tunix_jax.packing import PackedRows
from tunix_jax.train_step import TrainProgram, TrainState

# A loss of this many times what a guess among all words costs has diverged.
_DIVERGED = 2.0
# Lines of the data that an error names; the log has them all.
_NAMED_LINES = 5


class Training:
    """Takes a state to the end of a run, or to where it is told to stop.

    Args:
        program: What runs.
        compiled: Its training step; None when there are no steps.
        rows: What is learned.
        held_out: What the loss is evaluated on, or None.
        checkpoints: Where states are kept.
        reporter: Where figures go, and who says when to stop.
        job: The run.

    Attributes:
        step: Steps taken in all.
        meter: The figures.
    """

    def __init__(
        self,
        program: TrainProgram,
        compiled: Any,
        rows: PackedRows,
        held_out: PackedRows | None,
        checkpoints: Checkpoints,
        reporter: Reporter,
        job: TrainJob,
    ) -> None:
        self._program, self._compiled = program, compiled
        self._rows, self._held_out = rows, held_out
        self._checkpoints, self._reporter = checkpoints, reporter
        config = program.config
        self._shuffle = Shuffle(len(rows), config.rows, job.seed)
        self._evaluate = program.evaluation()
        self._profile = Profile(
            job.output_dir / "profile", config.profile_from, config.profile_steps
        )
        self.step = 0
        self.meter: Meter

    def run(
        self, state: TrainState, frozen: Params, progress: Progress
    ) -> tuple[TrainState, Progress, StopReason]:
        """Step until the end or until there is a reason to stop; the last state is kept.

        Raises:
            TunixError: The loss is no longer a number, or has left all bounds.
        """
        config, total = self._program.config, self._program.total_steps
        self.step = int(state["step"])
        self.meter = Meter(
            self._reporter, self._program, self._rows, self._shuffle, self.step, self._check
        )
        self._reporter.begin(total, self.step)
        stop = agreed_stop(self._reporter, self._program.mesh)
        reason: StopReason | None = None
        with Prefetch(self._batch, self.step, total) as batches:
            for index, batch in batches:
                self._profile.before(index + 1)
                state, metrics = self._compiled(state, frozen, batch)
                self.step = index + 1
                self._profile.after(self.step, state)
                held_out: dict[str, float] = {}
                if self._due(config.eval_every) and self._held_out is not None:
                    held_out = self._held_out_loss(state["params"], frozen)
                    progress = progress.after(self.step, held_out["eval_loss"])
                self.meter.add(self.step, metrics, held_out)
                reason = stop()
                if self._exhausted(progress):
                    reason = "early_stopping"
                improved = progress.best_step == self.step
                due = config.checkpoint_every and self.step % config.checkpoint_every == 0
                if due or (improved and config.keep_best):
                    self.meter.flush()
                    self._checkpoints.save(self.step, state, progress)
                    self.meter.restart()
                if reason is not None:
                    break
        self._profile.stop()
        self.meter.flush()
        if self.step:
            self._checkpoints.save(self.step, state, progress)
        return state, progress, reason or "completed"

    def final_metrics(self, progress: Progress) -> dict[str, float]:
        """The newest values, and where the held-out loss was lowest."""
        found = dict(self.meter.last)
        if progress.best_step is not None:
            found |= {"best_eval_loss": progress.best_loss, "best_step": progress.best_step}
        return found

    def _batch(self, step: int) -> dict[str, Any]:
        return place_rows(self._rows, self._shuffle.rows(step), self._program.abstract_batch())

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self._program.total_steps

    def _exhausted(self, progress: Progress) -> bool:
        patience = self._program.config.early_stopping_patience
        return bool(patience) and progress.evaluated == self.step and progress.stale >= patience

    def _held_out_loss(self, trained: Params, frozen: Params) -> dict[str, float]:
        """Mean loss of all held-out tokens, in nats."""
        rows = self._held_out
        assert rows is not None  # noqa: S101 - asked for only when there are some
        whole = self._program.abstract_batch()
        size = self._program.config.rows // self._program.config.accumulation
        abstract = {
            name: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype, sharding=leaf.sharding)
            for name, leaf in whole.items()
        }
        parts = []
        for begin in range(0, len(rows), size):
            wanted = np.arange(begin, begin + size)
            batch = place_rows(rows, wanted % len(rows), abstract)
            # The last batch is filled up with rows that do not count.
            counted = jax.device_put(
                (wanted < len(rows)).astype(np.int32)[None, :, None], batch["targets"].sharding
            )
            batch["targets"] = batch["targets"] * counted
            parts.append(self._evaluate(trained, frozen, batch))
        total = math.fsum(float(loss) for loss, _ in parts)
        count = math.fsum(float(number) for _, number in parts)
        return {"eval_loss": total / max(count, 1.0)}

    def _check(self, step: int, values: Mapping[str, float]) -> None:
        """Refuse a step whose loss is not a number or has left all bounds."""
        loss = values["loss"]
        bound = _DIVERGED * math.log(self._program.shape.vocab_size)
        if math.isfinite(loss) and math.isfinite(values["grad_norm"]) and loss <= bound:
            return
        problem = f"diverged to {loss:.1f}" if math.isfinite(loss) else "is not a number"
        if math.isfinite(loss) and loss <= bound:
            problem = "has a gradient that is not a number"
        examples = self._rows.examples_of(self._shuffle.rows(step - 1))
        lines = [str(example + 1) for example in sorted(set(examples))]
        self._reporter.log(f"the batch of step {step}: lines {', '.join(lines)} of the dataset")
        named = ", ".join(lines[:_NAMED_LINES])
        more = f" and {len(lines) - _NAMED_LINES} more, see the log" if lines[_NAMED_LINES:] else ""
        raise TunixError(
            f"the loss {problem} at step {step}; its batch: lines {named}{more} of the dataset",
            "lower learning_rate, or look at these lines",
        )
