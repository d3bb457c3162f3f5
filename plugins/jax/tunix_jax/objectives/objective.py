"""An objective: the rows that a run needs, and the loss of some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from tunix_core.protocols import TrainJob
from tunix_jax.config import TrainerConfig
from tunix_jax.data.training_rows import TrainingRows
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.text.prompt_encoder import PromptEncoder

# Arrays [rows, length] of some packed rows, by name.
Batch = dict[str, Any]

# What packed rows consist of, see PackedRows.take.
PACKED: Mapping[str, Any] = dict.fromkeys(("tokens", "segments", "positions", "targets"), jnp.int32)


class Weighted(NamedTuple):
    """Sums and what they are sums over: added up, however rows are cut, and divided at the end.

    Args:
        total: float32; the loss.
        weight: float32; what it is a sum over: how many tokens, sequences or pairs.
        figures: Further figures by name, each as its float32 total and weight.
    """

    total: jax.Array
    weight: jax.Array
    figures: Mapping[str, tuple[jax.Array, jax.Array]]

    def named(self, figure: str) -> dict[str, tuple[jax.Array, jax.Array]]:
        """Total and weight of the loss, called ``figure``, and of every further figure."""
        return {figure: (self.total, self.weight), **self.figures}


class Objective(Protocol):
    """What a step minimises, and the rows that it needs; without a state of its own.

    Attributes:
        figure: What its loss is called in a run's figures.
        columns: Type of each array [rows, length] that its rows consist of.
        reference: Whether ``frozen`` holds the model as it was before the first step, also
            where all weights are trained.
    """

    figure: str
    columns: Mapping[str, Any]
    reference: bool

    def texts(self, job: TrainJob) -> Iterator[str]:
        """What a tokenizer from scratch is trained on.

        Raises:
            UsageError: The data cannot be read or is empty.
        """
        ...

    def rows(self, job: TrainJob, encoder: PromptEncoder, config: TrainerConfig) -> TrainingRows:
        """The rows to learn from and those held out.

        Raises:
            UsageError: The data cannot be read, or nothing of it fits.
            TunixError: A line is not what it should be.
        """
        ...

    def loss(
        self, decoder: Decoder, params: Params, frozen: Params, batch: Batch, config: TrainerConfig
    ) -> Weighted:
        """The summed loss of some rows, and what it is a sum over.

        Args:
            decoder: The model.
            params: Trained parameters.
            frozen: The others, see :func:`~tunix_jax.models.parts.join_params`.
            batch: ``columns`` of some rows.
            config: Settings of the run.
        """
        ...

    def bound(self, shape: DecoderConfig) -> float:
        """A mean loss above which training of a model has diverged."""
        ...
