"""Whether a run's checkpoints and its model find room on the disk, asked before it begins."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from tunix_core.errors import UsageError
from tunix_jax.fit.memory import gib
from tunix_jax.training.train_step import TrainProgram


def check_disk(directory: Path, program: TrainProgram, export_dtype: str) -> None:
    """Refuse a run whose files will not fit.

    Args:
        directory: The run's directory; checkpoints that lie in it already count as room.
        program: What is trained.
        export_dtype: Type of the saved weights.

    Raises:
        UsageError: The disk has less room than the kept checkpoints, the one that is being
            written, and the model take together.
    """
    config = program.config
    checkpoint, model = checkpoint_bytes(program), model_bytes(program, export_dtype)
    every = config.checkpoint_every or program.total_steps
    written = math.ceil(program.total_steps / every) if every else 0
    copies = min(written, config.keep_checkpoints + config.keep_best + 1)
    earlier = (directory / "checkpoints").rglob("*")
    held = sum(path.stat().st_size for path in earlier if path.is_file())
    free = shutil.disk_usage(directory).free
    if copies * checkpoint + model - held > free:
        raise UsageError(
            f"the disk has {gib(free)} GiB left: {copies} checkpoints of {gib(checkpoint)} and "
            f"a model of {gib(model)} GiB do not fit",
            "put the workspace elsewhere, lower keep_checkpoints and keep_best, raise "
            "checkpoint_every, set optimizer to adafactor, or train adapters: lora_rank",
        )


def checkpoint_bytes(program: TrainProgram) -> int:
    """Size of one checkpoint: what is trained, and its moments."""
    return _bytes(program.abstract_state())


def model_bytes(program: TrainProgram, export_dtype: str) -> int:
    """Size of the saved model."""
    trained, frozen = program.abstract_params()
    count = sum(leaf.size for leaf in jax.tree.leaves((trained, frozen)))
    return int(count) * jnp.dtype(export_dtype).itemsize


def _bytes(tree: Any) -> int:
    return sum(leaf.size * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))
