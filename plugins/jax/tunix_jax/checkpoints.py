"""Checkpoints of the training state: written in the background, whole or not at all."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from attrs import asdict, frozen
from orbax.checkpoint import checkpoint_managers as policies

from tunix_core.errors import ConflictError
from tunix_jax.config import FREE_SETTINGS, TrainerConfig
from tunix_jax.train_step import TrainState


@frozen
class Progress:
    """What a run remembers of its evaluations; part of every checkpoint.

    Args:
        best_step: Step of the lowest held-out loss so far, or None.
        best_loss: That loss in nats per token.
        stale: Evaluations since then.
        evaluated: Step of the newest evaluation.
    """

    best_step: int | None = None
    best_loss: float = math.inf
    stale: int = 0
    evaluated: int = 0

    def after(self, step: int, loss: float) -> Progress:
        """The progress once ``step`` was found to have ``loss``."""
        if loss < self.best_loss:
            return Progress(step, loss, 0, step)
        return Progress(self.best_step, self.best_loss, self.stale + 1, step)


class Checkpoints:
    """The newest and the best states of a run.

    Args:
        directory: Where they lie.
        config: Stored with them; a resume with another one is refused.
        origin: Digest of data and pretrained weights; as ``config``.
    """

    def __init__(self, directory: Path, config: TrainerConfig, origin: str) -> None:
        settings = {k: v for k, v in asdict(config).items() if k not in FREE_SETTINGS}
        self._identity = json.loads(json.dumps({**settings, "data": origin}))
        kept: list[Any] = [policies.LatestN(config.keep_checkpoints)]
        if config.keep_best:
            best = policies.BestN(get_metric_fn=_loss, reverse=True, n=config.keep_best)
            kept.append(best)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(kept),
            best_fn=_loss,
            best_mode="min",
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def save(self, step: int, state: TrainState, progress: Progress) -> None:
        """Begin to write a state; does nothing when this step is written already."""
        if self._manager.latest_step() == step:
            return
        best = progress.best_loss if progress.best_step == step else math.inf
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                progress=ocp.args.JsonSave(asdict(progress)),
                identity=ocp.args.JsonSave(self._identity),
            ),
            metrics={"eval_loss": best},
        )

    def restore(self, abstract: TrainState) -> tuple[TrainState, Progress] | None:
        """The newest state and its progress, or None when there is none.

        Args:
            abstract: Shapes, types and shardings of the state.

        Raises:
            ConflictError: It was written under another config or for other data.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        items = ocp.args.Composite(identity=ocp.args.JsonRestore(), progress=ocp.args.JsonRestore())
        stored = self._manager.restore(step, args=items)
        differing = sorted(
            key
            for key in {*self._identity, *stored["identity"]}
            if stored["identity"].get(key) != self._identity.get(key)
        )
        if differing:
            raise ConflictError(
                f"the checkpoint was made with another {', '.join(differing)}",
                "resume with the same settings, or start a new run",
            )
        return self._state(step, abstract), Progress(**stored["progress"])

    def params(self, step: int, abstract: TrainState) -> Any:
        """The trained parameters of a kept step."""
        self._manager.wait_until_finished()
        return self._state(step, abstract)["params"]

    def close(self) -> None:
        """Wait until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _state(self, step: int, abstract: TrainState) -> TrainState:
        restored = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        )
        # What comes from files may not be what the compiled step gives its memory away from.
        state: TrainState = jax.tree.map(
            lambda leaf, like: jax.device_put(leaf, like.sharding), restored["state"], abstract
        )
        return state


def _loss(metrics: Any) -> float:
    return float(metrics["eval_loss"])
