"""Where the generator of an item is known, it judges the item's steps and its answer."""

from __future__ import annotations

import re

from tunix_core.errors import TunixError
from tunix_core.protocols import Generator, Tools
from tunix_core.records import Item, StepVerdict
from tunix_core.rendering import TAGS

_HEADING = re.compile(r"\W*reasoning\W*", re.IGNORECASE)
_ANSWER = re.compile(
    r"\W*(?:(?:so|thus|hence),? )?(?:the )?(?:final )?answer\b\W*(?::|is\b)|\s*####", re.IGNORECASE
)


class GeneratorChecks:
    """Asks the generator that an item says it is from.

    Args:
        tools: Where the generators are, each is created once; without tools none is known.
    """

    def __init__(self, tools: Tools | None) -> None:
        self._tools = tools
        self._created: dict[str, Generator | None] = {}

    def steps(self, item: Item, reasoning: str) -> list[StepVerdict] | None:
        """A verdict for each line that says something and for each that is missing.

        None where no generator knows the item: it names none, or none that is installed, or it
        was edited so that its generator does not know it again.
        """
        generator = self._generator(item)
        if generator is None:
            return None
        try:
            verdicts = generator.check(item, reasoning)
        except TunixError:
            return None
        return [verdict for verdict in verdicts if verdict.text.strip() or not verdict.ok]

    def answer(self, item: Item, answer: str) -> bool | None:
        """Whether an answer is right, or None where no generator knows the item."""
        generator = self._generator(item)
        try:
            return None if generator is None else generator.verify(item, answer)
        except TunixError:
            return None

    def _generator(self, item: Item) -> Generator | None:
        source = item.label("source")
        if self._tools is None or source is None:
            return None
        if source not in self._created:
            try:
                self._created[source] = self._tools.generator(source)
            except TunixError:
                self._created[source] = None
        return self._created[source]


def shown_reasoning(text: str) -> str:
    """The reasoning in what a model wrote: its first block, also one that was cut off.

    Where no block is marked, it is what stands before the answer.
    """
    _, marked, rest = text.partition(TAGS[0])
    if marked:
        return rest.partition(TAGS[1])[0].strip("\r\n")
    lines = text.partition(TAGS[2])[0].split("\n")
    ends = (place for place, line in enumerate(lines) if _ANSWER.match(line))
    shown = lines[: next(ends, len(lines))]
    begin = next((place for place, line in enumerate(shown) if line.strip()), 0)
    if shown and _HEADING.fullmatch(shown[begin]):
        begin += 1
    return "\n".join(shown[begin:]).strip("\r\n")
