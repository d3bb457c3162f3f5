"""Learning rate schedule and optimizers."""

from __future__ import annotations

from typing import Any

import jax
import optax

from tunix_jax.config import TrainerConfig


def schedule(peak: float, config: TrainerConfig, total_steps: int) -> optax.Schedule:
    """Linear warm-up, then a cosine to a share of the peak (Loshchilov and Hutter, 2017)."""
    warmup = min(config.warmup_steps, max(total_steps - 1, 0))
    return optax.warmup_cosine_decay_schedule(
        init_value=peak / (warmup + 1),
        peak_value=peak,
        warmup_steps=warmup,
        decay_steps=max(total_steps, warmup + 1),
        end_value=peak * config.final_fraction,
    )


def make_optimizer(config: TrainerConfig, total_steps: int) -> optax.GradientTransformation:
    """Clipping, then Muon for the blocks' matrices with AdamW for the rest, or AdamW alone."""
    rate = schedule(config.learning_rate, config, total_steps)
    if config.optimizer == "adamw":
        update = optax.adamw(
            rate,
            b1=config.beta1,
            b2=config.beta2,
            weight_decay=config.weight_decay,
            mask=_matrices,
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


def _is_matrix(path: Any, leaf: Any) -> bool:
    """Whether a parameter is a matrix of a block; the embedding is a table, not a map."""
    return leaf.ndim == 2 and "embedding" not in jax.tree_util.keystr(path)


def _matrices(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(_is_matrix, params)


def _muon_dimensions(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: optax.contrib.MuonDimensionNumbers() if _is_matrix(path, leaf) else None,
        params,
    )
