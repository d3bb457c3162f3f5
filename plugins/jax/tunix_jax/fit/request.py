"""What is asked of ``tunix-rt fit``: a model by any of its names, settings, and data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tunix_core.errors import NotFoundError, UsageError, did_you_mean
from tunix_core.workspace import Workspace
from tunix_jax.config import TrainerConfig
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.huggingface import decoder_config
from tunix_jax.models.shapes import SHAPES

# What one token of English stands for, roughly, where there is no tokenizer to ask.
_CHARACTERS_PER_TOKEN = 4


@frozen
class Places:
    """How many places of rows a dataset fills, all epochs together.

    Args:
        count: Tokens, and padding where rows are packed.
        exact: Whether they were counted; else they are estimated from characters.
    """

    count: int
    exact: bool


def resolve_model(name: str, workspace: Workspace) -> str:
    """What the trainer calls a model: the name of a shape, a directory, or a Hub id.

    Args:
        name: One of these, or a run of the workspace.

    Raises:
        UsageError: It is none of them.
    """
    if name in SHAPES or Path(name).is_dir():
        return name
    for short, shape in SHAPES.items():
        # The base model has the same shape as the one that was taught to follow instructions.
        repository = shape.repository or ""
        if name in (repository, repository.rpartition("-")[0]) and name:
            return short
    if "/" in name:
        return name
    try:
        run = workspace.runs.get(name)
    except NotFoundError:
        hint = did_you_mean(name, SHAPES, f"shapes are {', '.join(SHAPES)}")
        raise UsageError(f"{name!r} is no shape, directory, Hub id or run", hint) from None
    return str(Path(run.output_dir) / "model")


def shape_of(config: TrainerConfig) -> DecoderConfig:
    """The shape of a run's model; of a tokenizer that is yet to be trained, the largest.

    Raises:
        UsageError: There is no such model, or it is of an unknown architecture.
    """
    if config.from_scratch:
        return config.scratch_shape(config.vocab_size)
    if config.model_id in SHAPES:
        return SHAPES[config.model_id].decoder
    from tunix_jax.model_directory import read_config
    from tunix_jax.models.location import locate

    return decoder_config(read_config(locate(config.model_id)))


def dataset_places(data: Path, config: TrainerConfig, template: str = "show_your_work") -> Places:
    """How many places of rows a run on a data file goes through.

    Args:
        data: One trace per line.
        config: Settings of the run. Exact if its model is a directory, from which the tokenizer
            comes.
        template: Rendering.
    """
    if Path(config.model_id).is_dir():
        from tunix_jax.data.training_rows import packed
        from tunix_jax.model_directory import pretrained

        rows = packed(data, template, pretrained(config, template).encoder, config)
        return Places(len(rows) * config.max_length * config.epochs, exact=True)
    from tunix_jax.data.token_cache import read_examples

    characters = sum(len(e.prompt) + len(e.completion) for e in read_examples(data, template))
    return Places(characters // _CHARACTERS_PER_TOKEN * config.epochs, exact=False)


def mesh_settings(text: str) -> dict[str, int]:
    """``"fsdp=4,tensor=2"`` as settings.

    Raises:
        UsageError: It is not written like that.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        axis, equals, size = part.strip().partition("=")
        try:
            sizes[axis] = int(size)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"--mesh {text}: {part!r} is not AXIS=SIZE", "such as fsdp=4,tensor=2")
    return sizes


def merged(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by ``--set`` and those that have an option of their own.

    Raises:
        UsageError: One is given both ways.
    """
    given = {name: value for name, value in options.items() if value is not None}
    twice = sorted(set(settings) & set(given))
    if twice:
        raise UsageError(f"{', '.join(twice)}: given by an option and by --set")
    return {**settings, **given}
