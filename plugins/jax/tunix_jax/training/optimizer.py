"""Learning rate schedules and optimizers."""

from __future__ import annotations

from typing import Any

import jax
import optax

from tunix_jax.config import TrainerConfig
from tunix_jax.models.matrices import MATRICES

_MATRICES = {matrix.name for matrix in MATRICES}


def schedule(peak: float, config: TrainerConfig, total_steps: int) -> optax.Schedule:
    """Linear warm-up, then what ``config.schedule`` says, over ``total_steps`` in all.

    Args:
        peak: Learning rate after the warm-up.
        config: Settings of the run.
        total_steps: Optimizer steps of the whole run.
    """
    warmup = min(config.warmup_steps, max(total_steps - 1, 0))
    rest = max(total_steps - warmup, 1)
    end = peak * config.final_fraction
    after: optax.Schedule
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, rest, config.final_fraction)
    elif config.schedule == "linear":
        after = optax.linear_schedule(peak, end, rest)
    elif config.schedule == "constant":
        after = optax.constant_schedule(peak)
    else:
        falling = min(rest, max(1, round(config.decay_fraction * total_steps)))
        after = optax.linear_schedule(peak, end, falling, rest - falling)
    rising = optax.linear_schedule(peak / (warmup + 1), peak, max(warmup, 1))
    joined: optax.Schedule = optax.join_schedules([rising, after], [warmup])
    return joined


def make_optimizer(config: TrainerConfig, total_steps: int) -> optax.GradientTransformation:
    """Clipping by the global norm, then the optimizer of the settings."""
    rate = schedule(config.learning_rate, config, total_steps)
    if config.optimizer == "adamw":
        update = optax.adamw(
            rate,
            b1=config.beta1,
            b2=config.beta2,
            weight_decay=config.weight_decay,
            mask=_matrices,
        )
    elif config.optimizer == "adafactor":
        # optax.adafactor does not scale its weight decay by the learning rate.
        update = optax.chain(
            optax.scale_by_factored_rms(),
            optax.clip_by_block_rms(1.0),
            optax.add_decayed_weights(config.weight_decay, _matrices),
            optax.scale_by_learning_rate(rate),
        )
    else:
        update = optax.contrib.muon(
            rate,
            weight_decay=config.weight_decay,
            adam_b1=config.beta1,
            adam_b2=config.beta2,
            adam_learning_rate=schedule(config.adam_learning_rate, config, total_steps),
            muon_weight_dimension_numbers=_muon_dimensions,
        )
    if not config.clip_norm:
        return update
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), update)


def _is_matrix(path: Any) -> bool:
    """Whether a parameter holds the blocks' matrices; the embedding is a table, not a map."""
    keys = [key.key for key in path]
    return keys[0] == "blocks" and keys[1] in _MATRICES and keys[-1] != "bias"


def _matrices(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: _is_matrix(path), params)


def _muon_dimensions(params: Any) -> Any:
    """Each layer's matrix is orthogonalised by itself."""

    def dimensions(path: Any, leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        if not _is_matrix(path):
            return None
        return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(dimensions, params)
