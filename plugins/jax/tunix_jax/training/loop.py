"""The loop over steps: when to evaluate, to keep a state, and to end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from attrs import evolve

from tunix_core.errors import TunixError
from tunix_core.protocols import Reporter, StopReason, TrainJob
from tunix_jax.data.batches import Prefetch, Shuffle
from tunix_jax.data.packing import PackedRows
from tunix_jax.data.training_rows import TrainingRows
from tunix_jax.models.decoder import Params
from tunix_jax.training.checkpoints import Checkpoints, Progress
from tunix_jax.training.distributed import agreed_stop, place_rows
from tunix_jax.training.meter import Meter, Profile
from tunix_jax.training.train_step import TrainProgram, TrainState

# Lines of the data that an error names; the log has them all.
_NAMED_LINES = 5


class Training:
    """Takes a state to the end of a run, or to where it is told to stop.

    Args:
        program: What runs.
        compiled: Its training step; None when there are no steps.
        data: What is learned, and what the loss is evaluated on.
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
        data: TrainingRows,
        checkpoints: Checkpoints,
        reporter: Reporter,
        job: TrainJob,
    ) -> None:
        self._program, self._compiled = program, compiled
        self._rows, self._held_out = data.learned, data.held_out
        self._checkpoints, self._reporter = checkpoints, reporter
        config = program.config
        self._shuffle = Shuffle(len(data.learned), config.rows, job.seed)
        self._evaluate, self._figure = program.evaluation(), program.objective.figure
        self._profiles = job.output_dir / "profile"
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
            self._reporter,
            self._program,
            self._rows,
            self._shuffle,
            self.step,
            progress.metrics,
            self._check,
        )
        self._reporter.begin(total, self.step)
        stop = agreed_stop(self._reporter, self._program.mesh)
        # A run that was killed after its last step has nothing left to do.
        reason: StopReason | None = "early_stopping" if self._exhausted(progress) else None
        end = self.step if reason else total
        first = max(config.profile_from, self.step + 1)
        profile = Profile(self._profiles, first, config.profile_steps)
        with profile, Prefetch(self._batch, self.step, end) as batches:
            for index, batch in batches:
                profile.before(index + 1)
                state, metrics = self._compiled(state, frozen, batch)
                self.step = index + 1
                profile.after(self.step, state)
                self.meter.add(self.step, metrics)
                progress = self._evaluated(state["params"], frozen, progress)
                reason = stop()
                if self._exhausted(progress):
                    reason = "early_stopping"
                if reason is not None:
                    break
                progress = self._kept(state, progress, ending=False)
        if reason != "early_stopping" and self.step == total:
            reason = "completed"
        return state, self._kept(state, progress, ending=True), reason or "completed"

    def _evaluated(self, trained: Params, frozen: Params, progress: Progress) -> Progress:
        """Evaluate when it is due."""
        config = self._program.config
        due = self.step % config.eval_every == 0 or self.step == self._program.total_steps
        if self._held_out is None or not due:
            return progress
        with self.meter.evaluating() as values:
            means = self._held_out_means(self._held_out, trained, frozen)
            values.update({f"eval_{name}": mean for name, mean in means.items()})
        return progress.after(self.step, means[self._figure], config.keep_best)

    def _kept(self, state: TrainState, progress: Progress, *, ending: bool) -> Progress:
        """Keep the state when that is due, or it is among the best, or the last."""
        config = self._program.config
        due = config.checkpoint_every and self.step % config.checkpoint_every == 0
        among_best = progress.evaluated == self.step and progress.loss in progress.lowest
        if not (due or ending or (among_best and config.keep_best)) or not self.step:
            return progress
        self.meter.flush()
        progress = evolve(progress, metrics=self.meter.last)
        self._checkpoints.save(self.step, state, progress)
        self.meter.restart()
        return progress

    def final_metrics(self, progress: Progress) -> dict[str, float]:
        """The newest values, and where the held-out loss was lowest."""
        found = dict(progress.metrics)
        if progress.best_step is not None:
            best = {f"best_eval_{self._figure}": progress.lowest[0]}
            found |= best | {"best_step": progress.best_step}
        return found

    def _batch(self, step: int) -> dict[str, Any]:
        return place_rows(self._rows, self._shuffle.rows(step), self._program.abstract_batch())

    def _exhausted(self, progress: Progress) -> bool:
        patience = self._program.config.early_stopping_patience
        return bool(patience) and progress.evaluated == self.step and progress.stale >= patience

    def _held_out_means(
        self, rows: PackedRows, trained: Params, frozen: Params
    ) -> dict[str, float]:
        """The objective's figures over all held-out rows."""
        whole = self._program.abstract_batch()
        size = self._program.config.rows // self._program.config.accumulation
        abstract = {
            name: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype, sharding=leaf.sharding)
            for name, leaf in whole.items()
        }
        parts = []
        for begin in range(0, len(rows), size):
            wanted = np.arange(begin, begin + size)
            # The last batch is filled up with rows that do not count.
            batch = place_rows(rows, wanted % len(rows), abstract, counted=wanted < len(rows))
            parts.append(self._evaluate(trained, frozen, batch).named(self._figure))
        return {name: _mean([part[name] for part in parts]) for name in parts[0]}

    def _check(self, step: int, values: Mapping[str, float]) -> None:
        """Refuse a step whose loss is not a number or has left all bounds."""
        loss, bound = values[self._figure], self._program.objective.bound(self._program.shape)
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


def _mean(parts: Sequence[tuple[Any, Any]]) -> float:
    """The mean from sums and weights."""
    total = math.fsum(float(part) for part, _ in parts)
    weight = math.fsum(float(part) for _, part in parts)
    return total / (weight or 1.0)
