"""Shown work, line by line: which steps hold, which do not, and why."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tunix_core.contributions import GENERATOR
from tunix_core.errors import TunixError
from tunix_core.evaluators.step_validity import equations
from tunix_core.plugins import Plugins
from tunix_core.protocols import Generator
from tunix_core.records import Item
from tunix_core.rendering import TAGS, extract_work


@frozen
class ShownStep:
    """A step and what is known of it.

    Args:
        text: The step.
        kind: Its type, where it has one.
        state: ``holds``, ``fails``, or ``unchecked`` where nothing in it can be executed.
        reason: Why.
    """

    text: str
    kind: str | None
    state: Literal["holds", "fails", "unchecked"]
    reason: str | None


class ShownSteps:
    """Says which steps hold, by the generator that made the item or by computing them again.

    Args:
        plugins: Where the generators are; each is created once.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._created: dict[str, Generator] = {}

    def of_trace(self, item: Item) -> list[ShownStep]:
        """The steps of a stored trace."""
        steps = item.trace.steps
        generator = None if any("\n" in step.content for step in steps) else self._maker(item)
        judged = _executed(generator, item, "\n".join(step.content for step in steps))
        if judged is None or len(judged) != len(steps):
            judged = [_by_equations(step.content) for step in steps]
        return [
            ShownStep(step.content, step.type, shown.state, shown.reason)
            for step, shown in zip(steps, judged, strict=True)
        ]

    def of_completion(self, item: Item, text: str) -> list[ShownStep]:
        """The lines of reasoning in what a model wrote; of all it wrote, where none is marked."""
        reasoning, marked = _reasoning(text)
        judged = _executed(self._maker(item), item, reasoning) if marked else None
        if judged is not None:
            return judged
        return [_by_equations(line) for line in reasoning.splitlines() if line.strip()]

    def _maker(self, item: Item) -> Generator | None:
        """The generator that the item says it is from, where there is such a one."""
        source = item.label("source")
        for provided in self._plugins.all(GENERATOR):
            if source in (provided.full_name, provided.bare_name):
                if provided.full_name not in self._created:
                    self._created[provided.full_name] = provided.create()
                return self._created[provided.full_name]
        return None


def _reasoning(text: str) -> tuple[str, bool]:
    """The reasoning, and whether it was marked as such; a block that was cut off counts too."""
    work = extract_work(text)
    if work is not None:
        return work.reasoning.strip("\n"), True
    begin, end = TAGS[:2]
    _, marked, rest = text.partition(begin)
    return (rest.partition(end)[0] if marked else text).strip("\n"), bool(marked)


def _executed(generator: Generator | None, item: Item, text: str) -> list[ShownStep] | None:
    """The verdicts of the generator that made the item, or None where it cannot say."""
    if generator is None:
        return None
    try:
        verdicts = generator.check(item, text)
    except TunixError:
        # The trace was edited, or is of another version: what it says is checked by itself.
        return None
    return [
        ShownStep(
            verdict.text,
            None,
            "holds" if verdict.ok else "fails",
            "executed again by its generator" if verdict.ok else verdict.reason,
        )
        for verdict in verdicts
    ]


def _by_equations(text: str) -> ShownStep:
    shown = list(equations(text))
    wrong = [equation.text for equation in shown if not equation.holds]
    if wrong:
        return ShownStep(text, None, "fails", f"does not hold: {'; '.join(wrong)}")
    if shown:
        return ShownStep(text, None, "holds", "its equations were computed again")
    return ShownStep(text, None, "unchecked", "holds nothing that can be computed again")
