"""Where a completion ends: end tokens, and texts that may span several tokens."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunix_core.records import Completion, Prompt
from tunix_jax.text.prompt_encoder import PromptEncoder

# Ids are padded to a multiple of this, so that few numbers of them are compiled.
_IDS = 8


class StopTexts:
    """What ends a completion.

    Args:
        encoder: Its tokenizer reads and writes tokens; its end tokens always end a completion.
        texts: Texts that end a completion.

    Attributes:
        ids: int32[any]; tokens that end a completion by themselves; -1 fills up.
    """

    def __init__(self, encoder: PromptEncoder, texts: Sequence[str]) -> None:
        self._decode = encoder.tokenizer.decode
        self._texts = [text for text in texts if text]
        single = [encoder.tokenizer.single(text) for text in self._texts]
        known = {*encoder.ends, *(number for number in single if number is not None)}
        self.ids: NDArray[np.int32] = np.full(-(-len(known) // _IDS) * _IDS, -1, np.int32)
        self.ids[: len(known)] = sorted(known)
        # A token is at least one byte of text, so a text spans no more tokens than it has bytes.
        self._most_tokens = max((len(text.encode()) for text in self._texts), default=0)

    def seen(self, ids: Sequence[int], since: int) -> bool:
        """Whether tokens have come to a stop text since there were ``since`` of them."""
        tail = ids[max(0, since - self._most_tokens) :]
        return self._within(tail) and self._within(ids)

    def completion(
        self, prompt: Prompt, ids: Sequence[int], logprobs: Sequence[float] | None = None
    ) -> Completion:
        """What was said, up to and with the first stop; tokens made after it do not count.

        Args:
            prompt: What was completed.
            ids: Tokens that were made.
            logprobs: Their log-probabilities, where the completion is to carry both.
        """
        text, stopped = self._decode(ids), bool(ids) and ids[-1] in self.ids
        if self._end(text):
            # Decoding more tokens only adds text.
            counts = range(1, len(ids) + 1)
            shortest = bisect_left(counts, True, key=lambda count: self._within(ids[:count]))
            ids = ids[: counts[shortest]]
            text = self._decode(ids)
            text, stopped = text[: self._end(text)], True
        return Completion(
            item_id=prompt.item_id,
            text=text,
            stop="stop" if stopped else "length",
            tokens=len(ids),
            sample=prompt.sample,
            token_ids=() if logprobs is None else tuple(ids),
            logprobs=() if logprobs is None else tuple(logprobs[: len(ids)]),
        )

    def _within(self, ids: Sequence[int]) -> bool:
        return bool(self._texts) and self._end(self._decode(ids)) > 0

    def _end(self, text: str) -> int:
        """Where the first stop text ends, 0 when there is none."""
        return min((text.find(s) + len(s) for s in self._texts if s in text), default=0)
