"""What a model is asked, and what it says."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from tunix_core.records.trace import Trace


@frozen
class Item:
    """A question with what is needed to judge an answer to it.

    Args:
        id: Stable identifier; evaluations are paired by it.
        trace: The reference: prompt, shown work, answer and meta.
    """

    id: str
    trace: Trace

    @property
    def prompt(self) -> str:
        return self.trace.prompt

    @property
    def answer(self) -> str:
        return self.trace.final_answer

    def label(self, key: str) -> str | None:
        """The meta value under ``key`` as text, or None: the groups of a scorecard."""
        value = (self.trace.meta or {}).get(key)
        return None if value is None else str(value)


@frozen
class Prompt:
    """A text to be completed.

    Args:
        item_id: The item it belongs to.
        text: The rendered prompt.
        sample: Which of several samples of the same item this is, from 0.
    """

    item_id: str
    text: str
    sample: int = 0


@frozen
class Completion:
    """What a model wrote.

    Args:
        item_id: The item that was answered.
        text: The completion without its prompt and without the end token.
        stop: ``stop`` when the model ended by itself, ``length`` when it was cut.
        tokens: Number of tokens generated.
        sample: Which of several samples of the same item this is, from 0.
        token_ids: The tokens generated, the end token included; empty unless asked for.
        logprobs: The natural logarithm of the probability with which each was drawn, after
            temperature and before any cut of the distribution; empty unless asked for.
    """

    item_id: str
    text: str
    stop: Literal["stop", "length"] = "stop"
    tokens: int = 0
    sample: int = 0
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)
