"""google-tunix's PeftTrainer with its own loss on prepared batches; prints one JSON line.

    python -m peers.google_tunix_train '{"model": DIR, "batches": FILE, ...}'

Runs in an environment of its own. The batches are those of google-tunix's own pipeline, every
example padded to one length, or packed rows with segments and positions.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from peers.google_tunix_model import load
from tunix.sft import peft_trainer, utils

PAD = 0


def of_padded(batch: dict[str, Any]) -> dict[str, Any]:
    """What the loss takes of padded examples, as in google-tunix's own SFT program."""
    real = batch["tokens"] != PAD
    return {
        "input_tokens": batch["tokens"],
        "input_mask": batch["targets"],
        "positions": utils.build_positions_from_mask(real),
        "attention_mask": utils.make_causal_attn_mask(real),
    }


def of_packed(batch: dict[str, Any]) -> dict[str, Any]:
    """The same of packed rows: no example sees another."""
    segments, length = batch["segments"], batch["tokens"].shape[1]
    causal = jnp.tril(jnp.ones((length, length), jnp.bool_))
    same = segments[:, :, None] == segments[:, None, :]
    return {
        "input_tokens": batch["tokens"],
        "input_mask": batch["targets"],
        "positions": batch["positions"],
        "attention_mask": same & causal,
    }


class Clock:
    """Training hooks that note when the loss of each step has arrived."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.processor: list[float] = []
        self.losses: list[float] = []

    def on_train_step_end(self, _trainer: Any, _step: int, loss: float) -> None:
        self.ends.append(time.perf_counter())
        self.processor.append(time.process_time())
        self.losses.append(float(loss))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *_args: None


def main(job: dict[str, Any]) -> None:
    arrays = np.load(job["batches"])
    packed = "segments" in arrays
    names = ["tokens", "targets", *(["segments", "positions"] if packed else [])]
    columns = {name: arrays[name] for name in names}
    steps = job["steps"]

    def batches() -> Iterator[dict[str, Any]]:
        for step in range(steps):
            yield {name: column[step] for name, column in columns.items()}

    model = load(Path(job["model"]))
    config = peft_trainer.TrainingConfig(eval_every_n_steps=steps + 1, max_steps=steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(job["clip_norm"]),
        optax.adamw(job["learning_rate"], b2=job["beta2"], weight_decay=job["weight_decay"]),
    )
    trainer = peft_trainer.PeftTrainer(model, optimizer, config)
    trainer = trainer.with_gen_model_input_fn(of_packed if packed else of_padded)
    clock = Clock()
    trainer.with_training_hooks(clock)
    began = time.perf_counter()
    trainer.train(batches())
    warm = job["warmup"]
    learned = columns["targets"][warm:steps, :, 1:].sum()
    result = {
        "completion_tokens_per_s": float(learned) / (clock.ends[-1] - clock.ends[warm - 1]),
        "step_s": (clock.ends[-1] - clock.ends[warm - 1]) / (steps - warm),
        "step_cpu_s": (clock.processor[-1] - clock.processor[warm - 1]) / (steps - warm),
        "first_step_s": clock.ends[0] - began,
        "first_loss": clock.losses[0],
        "last_loss": clock.losses[-1],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device": jax.devices()[0].platform,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
