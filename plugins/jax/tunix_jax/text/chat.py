"""Chat templates: the markup that a model was tuned with, around a prompt and its completion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jinja2
from attrs import frozen
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunix_core.errors import UsageError
from tunix_core.rendering import gemma_turns
from tunix_jax.text.tokenizer_files import CHAT, SETTINGS, json_object, named_tokens

# Stand for the two texts; templates may trim, quote or look for markup, but not find any here.
_USER, _ANSWER = "QUESTIONTEXT", "ANSWERTEXT"


@frozen
class Turns:
    """The markup around a prompt and its completion.

    Args:
        before: What comes before the prompt.
        between: What comes between them, up to where the model begins to write.
        after: What comes after the completion.
    """

    before: str
    between: str
    after: str


def _gemma_turns() -> Turns:
    before, between = gemma_turns(_USER, "").prompt.split(_USER)
    return Turns(before, between, gemma_turns("", "").completion)


# What the core's template gemma_chat writes around its texts.
GEMMA_TURNS = _gemma_turns()


def chat_source(files: Mapping[str, bytes]) -> str | None:
    """The chat template among a tokenizer's files, or None.

    Raises:
        UsageError: A file cannot be read, or none of several templates is the default one.
    """
    if CHAT in files:
        return files[CHAT].decode("utf-8", "replace")
    source = json_object(files, SETTINGS).get("chat_template")
    if not isinstance(source, list):
        return source if isinstance(source, str) else None
    named = {entry.get("name"): entry.get("template") for entry in source}
    if not isinstance(named.get("default"), str):
        raise UsageError(f"{SETTINGS} names no default chat template")
    return str(named["default"])


def chat_turns(files: Mapping[str, bytes]) -> Turns | None:
    """The turns of a tokenizer's chat template, or None when it has none.

    The template is rendered once, without the clock and without access to anything but a
    conversation of one question and one answer.

    Raises:
        UsageError: The template is broken, or does not show the two texts in their order.
    """
    source = chat_source(files)
    if source is None:
        return None
    messages = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}]
    try:
        text = (
            _environment()
            .from_string(source)
            .render(
                **named_tokens(files),
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=False,
            )
        )
    # Templates are programs: they may fail in any way that Python knows.
    except Exception as error:
        raise UsageError(
            f"the chat template cannot be used: {' '.join(str(error).split())}",
            "set chat_template to never",
        ) from None
    if [text.count(_USER), text.count(_ANSWER)] != [1, 1] or text.index(_USER) > text.index(
        _ANSWER
    ):
        raise UsageError(
            "the chat template does not show question and answer once each, in this order",
            "set chat_template to never",
        )
    before, rest = text.split(_USER)
    between, after = rest.split(_ANSWER)
    return Turns(before, between, after)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )
    environment.globals["raise_exception"] = _raise
    environment.filters["tojson"] = _to_json
    return environment


class _Generation(Extension):
    """``{% generation %}`` marks what the model wrote; here it is only what stands in it."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    # Unlike jinja's own filter it escapes nothing for HTML.
    return json.dumps(value, ensure_ascii=False, indent=indent)
