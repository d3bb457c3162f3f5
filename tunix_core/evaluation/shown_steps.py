"""Shown work, line by line: which steps hold, which do not, and why."""

from __future__ import annotations

from itertools import zip_longest
from typing import Literal

from attrs import evolve, frozen

from tunix_core.evaluators.generator_checks import GeneratorChecks, shown_reasoning
from tunix_core.evaluators.step_validity import equations
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.records import Item


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
        plugins: Where the generators are.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._checks = GeneratorChecks(PluginTools(plugins))

    def of_trace(self, item: Item) -> list[ShownStep]:
        """The steps of a stored trace, and those that it should have and has not."""
        steps = item.trace.steps
        contents = [step.content for step in steps]
        if any("\n" in content or not content.strip() for content in contents):
            checked = None
        else:
            checked = self._checked(item, "\n".join(contents))
        kinds = [step.type for step in steps]
        if checked is None or len(checked) < len(steps):
            checked = [_by_equations(content) for content in contents]
        return [evolve(shown, kind=kind) for shown, kind in zip_longest(checked, kinds)]

    def of_completion(self, item: Item, text: str) -> list[ShownStep]:
        """The lines of reasoning in what a model wrote, and those that are missing there."""
        reasoning = shown_reasoning(text)
        checked = self._checked(item, reasoning)
        if checked is not None:
            return checked
        return [_by_equations(line) for line in reasoning.splitlines() if line.strip()]

    def _checked(self, item: Item, reasoning: str) -> list[ShownStep] | None:
        """The verdicts of the generator that made the item, or None where it cannot say."""
        verdicts = self._checks.steps(item, reasoning)
        if verdicts is None:
            return None
        return [
            ShownStep(v.text, None, "holds", "executed again by its generator")
            if v.ok
            else ShownStep(v.text, None, "fails", v.reason)
            for v in verdicts
        ]


def _by_equations(text: str) -> ShownStep:
    shown = list(equations(text))
    wrong = [equation.text for equation in shown if not equation.holds]
    if wrong:
        return ShownStep(text, None, "fails", f"does not hold: {'; '.join(wrong)}")
    if shown:
        return ShownStep(text, None, "holds", "its equations were computed again")
    return ShownStep(text, None, "unchecked", "holds nothing that can be computed again")
