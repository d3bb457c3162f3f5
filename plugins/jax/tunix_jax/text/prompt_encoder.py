"""From prompts and completions to token ids: one way for training and generation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from tunix_core.errors import UsageError
from tunix_jax.text.chat import GEMMA_TURNS, Turns, chat_source, chat_turns
from tunix_jax.text.tokenizer import TextTokenizer

Markup = Literal["plain", "chat", "turns"]


def choose_markup(
    template: str, tokenizer: TextTokenizer, chat: Literal["auto", "never"] = "auto"
) -> Markup:
    """How texts of a rendering template are marked up for a tokenizer.

    Args:
        template: Name of the rendering template of the data, see :mod:`tunix_core.rendering`.
        tokenizer: The model's tokenizer.
        chat: ``auto`` uses the tokenizer's chat template when it has one.

    Returns:
        ``turns`` when the texts come with Gemma's turn markers and the tokenizer knows them,
        ``chat`` to wrap them in the chat template, ``plain`` to take them as they are.
    """
    if template == "gemma_chat":
        marker = tokenizer.single(GEMMA_TURNS.after)
        return "plain" if marker is None or not tokenizer.is_control(marker) else "turns"
    has_one = chat == "auto" and chat_source(tokenizer.source_files()) is not None
    return "chat" if has_one else "plain"


class PromptEncoder:
    """Encodes prompts and completions; only markup becomes control tokens, never their text.

    Args:
        tokenizer: The model's tokenizer.
        markup: ``plain``: begin token, prompt, completion, end token. ``chat``: the pieces of the
            chat template around the two. ``turns``: the texts carry Gemma's turn markers
            already, which become control tokens where they stand at the ends of a text.

    Attributes:
        ends: Ids that end a completion.

    Raises:
        UsageError: The tokenizer has no chat template, or one that cannot be used.
    """

    def __init__(self, tokenizer: TextTokenizer, markup: Markup = "plain") -> None:
        self.tokenizer, self.markup = tokenizer, markup
        begin = [] if tokenizer.begin is None else [tokenizer.begin]
        self._before, self._between, self._after = begin, list[int](), [tokenizer.end]
        if markup != "plain":
            turns = GEMMA_TURNS if markup == "turns" else _chat(tokenizer)
            # Chat templates write the begin token themselves, where there is one.
            self._before = (begin if markup == "turns" else []) + tokenizer.markup(turns.before)
            self._between = tokenizer.markup(turns.between)
            self._after = self._until_end(tokenizer.markup(turns.after))
        self.ends = tuple(dict.fromkeys([*tokenizer.ends, self._after[-1]]))

    def prompt_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of prompts, up to where the model begins to write.

        Raises:
            TunixError: A token has no row in the model.
        """
        encoded = self.tokenizer.encode([self._prompt_text(text) for text in texts])
        return [[*self._before, *ids, *self._between] for ids in encoded]

    def completion_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of completions; the last one ends them.

        Raises:
            TunixError: A token has no row in the model.
        """
        encoded = self.tokenizer.encode([self._completion_text(text) for text in texts])
        return [[*ids, *self._after] for ids in encoded]

    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of all that decides how texts become ids."""
        pieces = (self.markup, self._before, self._between, self._after)
        return hashlib.sha256(f"{self.tokenizer.fingerprint()}{pieces}".encode()).hexdigest()

    def _prompt_text(self, text: str) -> str:
        if self.markup == "chat":
            # A turn has no outer white space; templates trim it.
            return text.strip()
        if self.markup == "turns":
            return text.removeprefix(GEMMA_TURNS.before).removesuffix(GEMMA_TURNS.between)
        return text

    def _completion_text(self, text: str) -> str:
        return text.removesuffix(GEMMA_TURNS.after) if self.markup == "turns" else text

    def _until_end(self, ids: list[int]) -> list[int]:
        """Up to the first end token: what comes later, such as a line break, is not learned."""
        for place, number in enumerate(ids):
            if number in self.tokenizer.ends or self.tokenizer.is_control(number):
                return ids[: place + 1]
        return [*ids, self.tokenizer.end]


def _chat(tokenizer: TextTokenizer) -> Turns:
    turns = chat_turns(tokenizer.source_files())
    if turns is None:
        raise UsageError("the tokenizer has no chat template", "set chat_template to never")
    return turns
