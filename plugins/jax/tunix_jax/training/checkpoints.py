"""Checkpoints of the training state: written in the background, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from attrs import asdict, evolve, field, frozen
from orbax.checkpoint import checkpoint_managers as policies

from tunix_core.errors import ConflictError
from tunix_jax.config import FREE_SETTINGS, TrainerConfig
from tunix_jax.training.train_step import TrainState

# Settings that older checkpoints do not name, and what they were then.
_ADDED = {"objective": "sft"}


@frozen
class Progress:
    """What a run remembers besides its state; part of every checkpoint.

    Args:
        lowest: The lowest held-out means of the objective so far, the lowest first.
        best_step: Step of the lowest, or None.
        stale: Evaluations since then.
        evaluated: Step of the newest evaluation.
        loss: What that evaluation found.
        metrics: The newest value of everything that was reported.
    """

    lowest: tuple[float, ...] = field(default=(), converter=tuple)
    best_step: int | None = None
    stale: int = 0
    evaluated: int = 0
    loss: float = math.inf
    metrics: Mapping[str, float] = field(factory=dict)

    def after(self, step: int, loss: float, kept: int) -> Progress:
        """The progress once ``step`` was found to have ``loss``; ``kept`` lowest are remembered."""
        better = not self.lowest or loss < self.lowest[0]
        lowest: Any = sorted([*self.lowest, loss])[: max(1, kept)]
        return evolve(
            self,
            lowest=lowest,
            best_step=step if better else self.best_step,
            stale=0 if better else self.stale + 1,
            evaluated=step,
            loss=loss,
        )


class Checkpoints:
    """The newest and the best states of a run.

    Args:
        directory: Where they lie.
        config: Stored with them; a resume with another one is refused.
        origin: What else decides the result, by name: data, weights, shape, seed.
    """

    def __init__(self, directory: Path, config: TrainerConfig, origin: Mapping[str, Any]) -> None:
        settings = {k: v for k, v in asdict(config).items() if k not in FREE_SETTINGS}
        self._identity = json.loads(json.dumps({**settings, **origin}))
        kept: list[Any] = [policies.LatestN(config.keep_checkpoints)]
        if config.keep_best:
            kept.append(policies.BestN(get_metric_fn=_loss, reverse=True, n=config.keep_best))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(kept),
            best_fn=_loss,
            best_mode="min",
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def check(self, resume: bool) -> None:
        """Refuse checkpoints that this run cannot go on from.

        Args:
            resume: Whether it is to go on from them at all.

        Raises:
            ConflictError: They were written under another config or for other data, or they are
                there and this run begins at the beginning.
        """
        step = self._manager.latest_step()
        if step is None:
            return
        if not resume:
            raise ConflictError(
                f"{self._manager.directory} holds checkpoints of an earlier run",
                "resume it, or choose another directory",
            )
        items = ocp.args.Composite(identity=ocp.args.JsonRestore())
        stored = {**_ADDED, **self._manager.restore(step, args=items)["identity"]}
        names = {*self._identity, *stored}
        differing = sorted(n for n in names if stored.get(n) != self._identity.get(n))
        if differing:
            raise ConflictError(
                f"the checkpoint was made with another {', '.join(differing)}",
                "resume with the same settings, or start a new run",
            )

    def progress(self) -> Progress | None:
        """What the newest checkpoint remembers; None without any."""
        step = self._manager.latest_step()
        if step is None:
            return None
        items = ocp.args.Composite(progress=ocp.args.JsonRestore())
        return Progress(**self._manager.restore(step, args=items)["progress"])

    def restore(self, abstract: TrainState, step: int | None = None) -> TrainState:
        """The state of a kept step, the newest by default.

        Args:
            abstract: Shapes, types and shardings of the state.
            step: Which one.
        """
        self._manager.wait_until_finished()
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        wanted = self._manager.latest_step() if step is None else step
        state: TrainState = self._manager.restore(wanted, args=items)["state"]
        return state

    def save(self, step: int, state: TrainState, progress: Progress) -> None:
        """Begin to write a state; does nothing when this step is written already."""
        if self._manager.latest_step() == step:
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                progress=ocp.args.JsonSave(asdict(progress)),
                identity=ocp.args.JsonSave(self._identity),
            ),
            metrics={"eval_loss": progress.loss if progress.evaluated == step else math.inf},
        )

    def close(self) -> None:
        """Wait until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()


def _loss(metrics: Any) -> float:
    return float(metrics["eval_loss"])
