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
from tunix_jax.data.token_cache import Reader, read_examples, tokenized
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


def training_rows(
    job: TrainJob,
    encoder: PromptEncoder,
    config: TrainerConfig,
    read: Reader = read_examples,
    together: int = 1,
) -> TrainingRows:
    """The data of a run, packed.

    Args:
        job: The run.
        encoder: Makes token ids.
        config: Settings of the run.
        read: The examples of a data file.
        together: So many of them in a row belong together.

    Raises:
        UsageError: The data cannot be read, or nothing of it fits.
        TunixError: A line is not what ``read`` reads.
    """

    def rows(use: str) -> PackedRows:
        return packed(job.data[use].path, job.template, encoder, config, read, together)

    learned = rows("train")
    digest = learned.examples.key
    if together > 1:
        digest = hashlib.sha256(f"{digest}{together}".encode()).hexdigest()
    if "eval" not in job.data:
        return TrainingRows(learned, None, digest)
    held_out = rows("eval")
    both = hashlib.sha256(f"{digest}{held_out.examples.key}".encode()).hexdigest()
    return TrainingRows(learned, held_out, both)


def packed(
    path: Path,
    template: str,
    encoder: PromptEncoder,
    config: TrainerConfig,
    read: Reader = read_examples,
    together: int = 1,
) -> PackedRows:
    """A data file, packed; see :func:`training_rows`."""
    examples = tokenized(path, template, encoder, read)
    return pack(examples, config.max_length, encoder.tokenizer.pad, config.overlong, together)


def read_texts(job: TrainJob, read: Reader = read_examples) -> Iterator[str]:
    """Prompts and completions of the training data.

    Raises:
        UsageError: The data cannot be read or is empty.
        TunixError: A line is not what ``read`` reads.
    """
    path, empty = job.data["train"].path, True
    for example in read(path, job.template):
        empty = False
        yield example.prompt
        yield example.completion
    if empty:
        raise UsageError(f"{path} holds no trace")
