"""The files of a Hugging Face tokenizer, and which of its tokens control a sequence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from tokenizers import Tokenizer

from tunix_core.errors import UsageError

PAD, BEGIN, END = "<pad>", "<bos>", "<eos>"
VOCABULARY = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
CHAT = "chat_template.jinja"
# What a saved model carries along, unchanged.
_CARRIED = (VOCABULARY, SETTINGS, "special_tokens_map.json", CHAT, "generation_config.json")
_READ = (*_CARRIED, "config.json")


@frozen
class ControlTokens:
    """Ids that steer a sequence and are no text.

    Args:
        begin: Starts every sequence, or None where a model knows no such token.
        ends: What ends a sequence or a turn; the first is the one to write.
        pad: Fills rows up.
    """

    begin: int | None
    ends: tuple[int, ...]
    pad: int


def read_files(directory: Path) -> dict[str, bytes]:
    """The tokenizer's files that a directory has, ``config.json`` included, by name.

    Raises:
        UsageError: There is no ``tokenizer.json``, or a file cannot be read.
    """
    try:
        files = {
            name: (directory / name).read_bytes() for name in _READ if (directory / name).is_file()
        }
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None
    if VOCABULARY not in files:
        raise UsageError(f"{directory} has no {VOCABULARY}", "download it with the model")
    return files


def carried(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those files that belong beside a saved model."""
    return {name: files[name] for name in _CARRIED if name in files}


def json_object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """The object in a JSON file; empty when the file is not there.

    Raises:
        UsageError: The file is no JSON object.
    """
    try:
        data = json.loads(files.get(name, b"{}"))
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{name} holds no JSON object")
    return data


def named_tokens(files: Mapping[str, bytes]) -> dict[str, str]:
    """Text of ``bos_token``, ``eos_token`` and the like, as the tokenizer's settings give them."""
    named = {**json_object(files, "special_tokens_map.json"), **json_object(files, SETTINGS)}
    texts = {
        key: value.get("content") if isinstance(value, dict) else value
        for key, value in named.items()
        if key.endswith("_token")
    }
    return {key: text for key, text in texts.items() if isinstance(text, str)}


def control_tokens(tokenizer: Tokenizer, files: Mapping[str, bytes], rows: int) -> ControlTokens:
    """Find them: first in the tokenizer's settings, then in the model's, then by usual names.

    Args:
        tokenizer: To look texts up in.
        files: Its files, as :func:`read_files` gives them.
        rows: Ids from here on have no embedding and do not count.

    Raises:
        UsageError: Nothing ends a sequence.
    """
    named = named_tokens(files)

    def found(key: str, usual: str) -> list[int]:
        settings = json_object(files, SETTINGS)
        ids = [tokenizer.token_to_id(named[key])] if key in named else []
        # A setting of null says that there is none, whatever the model's config thinks.
        if key not in settings or settings[key] is not None:
            ids += _model_ids(files, f"{key}_id")
        ids = ids or [tokenizer.token_to_id(usual)]
        return [number for number in ids if number is not None and 0 <= number < rows]

    begins, ends, pads = found("bos_token", BEGIN), found("eos_token", END), found("pad_token", PAD)
    if json_object(files, SETTINGS).get("add_bos_token") is False:
        begins = []
    if not ends:
        raise UsageError(
            f"the tokenizer has no token {END}", "name its eos_token in tokenizer_config.json"
        )
    begin = begins[0] if begins else None
    return ControlTokens(begin, tuple(dict.fromkeys(ends)), pads[0] if pads else ends[0])


def _model_ids(files: Mapping[str, bytes], key: str) -> Iterator[int]:
    """Ids that the model's own files give, in their order; one number or several."""
    config = json_object(files, "config.json")
    text_config = config.get("text_config")
    for source in (json_object(files, "generation_config.json"), config, text_config):
        value = source.get(key) if isinstance(source, dict) else None
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int):
                yield number
