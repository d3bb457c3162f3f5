"""Supervised fine-tuning: cross-entropy of the completions of traces."""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tunix_core.protocols import TrainJob
from tunix_jax.config import TrainerConfig
from tunix_jax.data.training_rows import TrainingRows, read_texts, training_rows
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.parts import join_params
from tunix_jax.objectives.objective import PACKED, Batch, Weighted
from tunix_jax.objectives.token_losses import Head, next_tokens, summed_token_loss
from tunix_jax.text.prompt_encoder import PromptEncoder

# A loss of this many times what a guess among all words costs has diverged.
_DIVERGED = 2.0


class Sft:
    """The mean cross-entropy of the tokens to be learned, in nats."""

    figure = "loss"
    columns = PACKED
    reference = False

    def texts(self, job: TrainJob) -> Iterator[str]:
        """Prompts and completions of the training data."""
        return read_texts(job)

    def rows(self, job: TrainJob, encoder: PromptEncoder, config: TrainerConfig) -> TrainingRows:
        """Traces, packed."""
        return training_rows(job, encoder, config)

    def loss(
        self, decoder: Decoder, params: Params, frozen: Params, batch: Batch, config: TrainerConfig
    ) -> Weighted:
        """Summed over tokens."""
        params, dtype = join_params(params, frozen), jnp.dtype(config.dtype)
        return Weighted(*summed_loss(decoder, params, batch, dtype, config.loss_chunk), {})

    def bound(self, shape: DecoderConfig) -> float:
        """In nats."""
        return _DIVERGED * math.log(shape.vocab_size)


def summed_loss(
    decoder: Decoder, params: Params, batch: Batch, dtype: jnp.dtype, chunk: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the next token, summed over the tokens to be learned, and their number.

    Args:
        decoder: The model.
        params: Its parameters.
        batch: Packed rows.
        dtype: Type of the computation up to the logits.
        chunk: Tokens whose logits are in memory at once; 0 chooses by the vocabulary.

    Returns:
        float32 sum of losses in nats and float32 number of tokens.
    """
    hidden = decoder.hidden(params, batch["tokens"], batch["segments"], batch["positions"], dtype)
    labels, learned = next_tokens(batch)
    total = cross_entropy(
        hidden,
        decoder.table(params),
        labels,
        learned,
        softcap=decoder.config.logit_softcap,
        chunk=chunk,
        mesh=decoder.execution.mesh,
    )
    return total, jnp.sum(learned, dtype=jnp.float32)


def cross_entropy(
    hidden: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    learned: jax.Array,
    *,
    softcap: float | None = None,
    chunk: int = 0,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Cross-entropy of labels, float32, summed over places; see :func:`summed_token_loss`."""
    head = Head(softcap, chunk, mesh)
    return summed_token_loss(hidden, table, labels, learned, head, jnp.negative)
