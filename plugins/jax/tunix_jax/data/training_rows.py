"""A run's data as packed rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_core.protocols import TrainJob
from tunix_jax.config import TrainerConfig
from tunix_jax.data.packing import PackedRows, pack
from tunix_jax.data.token_cache import read_examples, tokenized
from tunix_jax.text.prompt_encoder import PromptEncoder


@frozen(eq=False)
class TrainingRows:
    """What a run learns from.

    Args:
        learned: Rows to learn from.
        held_out: Rows for figures during training, or None.
        digest: Of both.
    """

    learned: PackedRows
    held_out: PackedRows | None
    digest: str


def training_rows(job: TrainJob, encoder: PromptEncoder, config: TrainerConfig) -> TrainingRows:
    """The traces of a run, packed.

    Raises:
        UsageError: The data cannot be read, or nothing of it fits.
        TunixError: A line is no trace.
    """
    learned = packed(job.data["train"].path, job.template, encoder, config)
    digest = learned.examples.key
    if "eval" not in job.data:
        return TrainingRows(learned, None, digest)
    held_out = packed(job.data["eval"].path, job.template, encoder, config)
    both = hashlib.sha256(f"{digest}{held_out.examples.key}".encode()).hexdigest()
    return TrainingRows(learned, held_out, both)


def packed(path: Path, template: str, encoder: PromptEncoder, config: TrainerConfig) -> PackedRows:
    """The traces of a data file, packed.

    Raises:
        UsageError: The file cannot be read, or nothing of it fits.
        TunixError: A line is no trace.
    """
    examples = tokenized(path, template, encoder)
    return pack(examples, config.max_length, encoder.tokenizer.pad, config.overlong)


def read_texts(job: TrainJob) -> Iterator[str]:
    """Prompts and completions of the training data.

    Raises:
        UsageError: The data cannot be read or holds no trace.
        TunixError: A line is no trace.
    """
    path, empty = job.data["train"].path, True
    for example in read_examples(path, job.template):
        empty = False
        yield example.prompt
        yield example.completion
    if empty:
        raise UsageError(f"{path} holds no trace")
