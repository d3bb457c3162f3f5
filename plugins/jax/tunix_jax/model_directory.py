"""What a run begins with and leaves behind: shape, tokenizer and weights of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tunix_core.errors import TunixError, UsageError
from tunix_jax.config import TrainerConfig
from tunix_jax.models.adapters import write_adapter
from tunix_jax.models.decoder import Params
from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.huggingface import decoder_config, hf_config
from tunix_jax.models.location import hub_id, locate
from tunix_jax.models.weights import check_weights, read_params, stored_dtype, write_model
from tunix_jax.text.prompt_encoder import PromptEncoder, choose_markup
from tunix_jax.text.tokenizer import TextTokenizer

# How to run a model: compute type, and how its prompts are marked up.
_RUNNING = "tunix.json"
_GENERATION = "generation_config.json"
_END = 4 * 2**20


@frozen
class Origin:
    """Where a run's model comes from.

    Args:
        shape: Shape of the model.
        encoder: Its tokenizer and markup.
        directory: Pretrained weights, or None from scratch.
        hf_config: ``config.json`` of the pretrained weights, or None.
    """

    shape: DecoderConfig
    encoder: PromptEncoder
    directory: Path | None = None
    hf_config: Mapping[str, Any] | None = None

    def digest(self) -> str:
        """SHA-256 of the weights' names, sizes, and ends; empty from scratch.

        The ends hold every tensor's place and some of its values; whole files would take minutes.
        """
        if self.directory is None:
            return ""
        digest = hashlib.sha256()
        for path in sorted(self.directory.glob("*.safetensors")):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(_END))
                file.seek(max(0, size - _END))
                digest.update(file.read(_END))
        return digest.hexdigest()

    def export_dtype(self, config: TrainerConfig) -> str:
        """The type of saved weights."""
        if config.export_dtype is not None:
            return config.export_dtype
        return "float32" if self.directory is None else stored_dtype(self.directory, self.shape)


def pretrained(config: TrainerConfig, template: str) -> Origin:
    """The model that ``config.model_id`` names.

    Raises:
        UsageError: It is nowhere, incomplete, or of an architecture that is not known.
        TunixError: Its files do not belong to each other.
    """
    directory = locate(config.model_id)
    hf = read_config(directory)
    shape = decoder_config(hf)
    check_weights(directory, shape)
    tokenizer = TextTokenizer.from_directory(directory, shape.vocab_size)
    markup = choose_markup(template, tokenizer, config.chat_template)
    return Origin(shape, PromptEncoder(tokenizer, markup), directory, hf)


def read_config(directory: Path) -> dict[str, Any]:
    """``config.json`` of a model directory.

    Raises:
        UsageError: It is missing or no JSON object.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"{directory} is no model: config.json is missing") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}", "copy it again") from None
    if not isinstance(config, dict):
        raise UsageError(f"{path} holds no JSON object", "copy it again")
    return config


def save_model(
    directory: Path, params: Params, origin: Origin, config: TrainerConfig, adapter: Path
) -> None:
    """Replace a model directory by a trained model, loadable by transformers where it knows it.

    Args:
        directory: What to replace.
        params: Trained and frozen parameters together.
        origin: What the run began with.
        config: Settings of the run.
        adapter: Where adapters go, in PEFT's layout, besides being merged into the model.
    """
    dtype = origin.export_dtype(config)
    running = {"dtype": config.dtype, "markup": origin.encoder.markup}
    files: dict[str, bytes | Path] = {
        **origin.encoder.tokenizer.files(),
        "config.json": _json(hf_config(origin.shape, origin.hf_config, dtype)),
        _RUNNING: _json(running),
    }
    if origin.hf_config is not None:
        files[_GENERATION] = _json(_generation(origin))
    alpha = config.lora_alpha if config.lora_rank else None
    write_model(directory, params, origin.shape, files, dtype=dtype, lora_alpha=alpha)
    if alpha is not None:
        base = None if origin.directory is None else hub_id(config.model_id)
        write_adapter(adapter, params, origin.shape, alpha=alpha, base_model=base)


def load_model(directory: Path) -> tuple[Params, DecoderConfig, PromptEncoder, str]:
    """Parameters, shape, encoder and compute type of a saved or a downloaded model.

    Raises:
        UsageError: A file is missing, or the architecture is not known.
        TunixError: A file is broken or does not belong to the others.
    """
    shape = decoder_config(read_config(directory))
    tokenizer = TextTokenizer.from_directory(directory, shape.vocab_size)
    running = directory / _RUNNING
    if running.is_file():
        try:
            said = json.loads(running.read_text(encoding="utf-8"))
            dtype, markup = str(said["dtype"]), said["markup"]
        except (ValueError, KeyError, TypeError):
            raise TunixError(f"{running} is broken", "copy the model again") from None
    else:
        dtype, markup = "bfloat16", choose_markup("show_your_work", tokenizer)
    params = read_params(directory, shape, dtype)
    return params, shape, PromptEncoder(tokenizer, markup), dtype


def _generation(origin: Origin) -> dict[str, Any]:
    """Where generation ends, for transformers: also after a turn as it was trained."""
    stored = origin.encoder.tokenizer.files().get(_GENERATION, b"{}")
    return {**json.loads(stored), "eos_token_id": list(origin.encoder.ends)}


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=2) + "\n").encode()
