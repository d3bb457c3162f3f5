"""golden-v1: a small set written by hand, for smoke tests."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files

from tunix_core.codec import trace_from_data
from tunix_core.errors import CapacityError, UsageError
from tunix_core.records import Item, StepVerdict, Trace
from tunix_generators.placement import SPLITS

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
        """Whether ``answer`` is the written one."""
        return answer == item.answer

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        """Compare with the written steps, line by line."""
        written = [step.content for step in item.trace.steps]
        lines = text.split("\n")
        length = max(len(lines), len(written))
        pairs = zip(
            lines + [""] * (length - len(lines)),
            written + [""] * (length - len(written)),
            strict=True,
        )
        return [
            StepVerdict(number, line, line == step, None if line == step else f"expected {step!r}")
            for number, (line, step) in enumerate(pairs, start=1)
        ]

    def capacity(self, split: str) -> int:
        """Number of items in a split."""
        return len(self._split(split))

    @staticmethod
    def _split(split: str) -> list[tuple[int, Trace]]:
        if split not in SPLITS:
            raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")
        held = enumerate(_traces())
        return [(n, t) for n, t in held if ("test" if n % 5 == 4 else "train") == split]
