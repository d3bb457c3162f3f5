"""golden-v1: a small set written by hand, for smoke tests."""

from __future__ import annotations

import json
from collections import deque
from functools import lru_cache
from importlib.resources import files

from tunix_core.codec import trace_from_data
from tunix_core.errors import CapacityError, UsageError
from tunix_core.evaluators.answer_spec import answer_spec
from tunix_core.evaluators.answers import match_spec
from tunix_core.records import Item, StepVerdict, Trace
from tunix_generators.placement import SPLITS
from tunix_generators.wording import plain

NAME = "golden-v1"


@lru_cache(maxsize=1)
def _traces() -> tuple[Trace, ...]:
    text = (files("tunix_generators") / "golden_v1.jsonl").read_text(encoding="utf-8")
    return tuple(trace_from_data(json.loads(line)) for line in text.splitlines())


class Golden:
    """The generator ``golden-v1``; four of five items are for training, the fifth for testing,
    none for validation."""

    def item(self, split: str, seed: int, index: int) -> Item:
        """Item ``index`` of a split; the seed makes no difference to a fixed set."""
        chosen = self._split(split)
        if not 0 <= index < len(chosen):
            raise CapacityError(f"{NAME} has {len(chosen)} items in split {split!r}")
        place, trace = chosen[index]
        meta = {**(trace.meta or {}), "source": NAME, "split": split, "index": index}
        return Item(f"{NAME}/{place}", Trace(trace.prompt, trace.final_answer, trace.steps, meta))

    def verify(self, item: Item, answer: str) -> bool:
        """Whether ``answer`` means the written one."""
        return match_spec(answer, item.answer, answer_spec(item.trace.meta))

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        """Compare with the written steps, line by line, whatever the spacing and the signs.

        A plan may be left out; blank lines say nothing; a missing line is judged as an empty one.
        """
        lines = text.split("\n")
        said = [plain(line, {}) for line in lines]
        due = deque(
            step.content
            for step in item.trace.steps
            if step.type != "decompose" or plain(step.content, {}) in said
        )
        verdicts = []
        for number, (line, stated) in enumerate(zip(lines, said, strict=True), start=1):
            expected = due.popleft() if stated and due else None
            ok = not stated or (expected is not None and stated == plain(expected, {}))
            reason = None if ok else f"expected {expected or 'no more'!r}"
            verdicts.append(StepVerdict(number, line, ok, reason))
        for number, expected in enumerate(due, start=len(lines) + 1):
            verdicts.append(StepVerdict(number, "", False, f"expected {expected!r}"))
        return verdicts

    def capacity(self, split: str) -> int:
        """Number of items in a split."""
        return len(self._split(split))

    @staticmethod
    def _split(split: str) -> list[tuple[int, Trace]]:
        if split not in SPLITS:
            raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")
        held = enumerate(_traces())
        return [(n, t) for n, t in held if ("test" if n % 5 == 4 else "train") == split]
