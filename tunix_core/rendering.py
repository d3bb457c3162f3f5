"""From a trace to the texts a model reads and writes; the one place where that is decided."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_core.records import Trace

TAGS = ("<reasoning>", "</reasoning>", "<answer>", "</answer>")

_SIDE_BY_SIDE = re.compile(r"</reasoning>\s*<answer>")


@frozen
class Rendered:
    """A training example.

    Args:
        prompt: What the model is given.
        completion: What it should write.
    """

    prompt: str
    completion: str


@frozen
class ShownWork:
    """A completion taken apart.

    Args:
        reasoning: Text of the reasoning block.
        answer: Text of the answer block, without surrounding white space.
        well_formed: Exactly one reasoning block, then one answer block, nothing outside, and
            the reasoning not blank.
    """

    reasoning: str
    answer: str
    well_formed: bool


def render_show_your_work(trace: Trace) -> Rendered:
    """``<reasoning>`` with one step per line, a newline, ``<answer>``."""
    reasoning = "\n".join(step.content for step in trace.steps)
    return Rendered(
        prompt=trace.prompt + "\n",
        completion=f"<reasoning>{reasoning}</reasoning>\n<answer>{trace.final_answer}</answer>",
    )


def gemma_turns(prompt: str, completion: str) -> Rendered:
    """Gemma's turn markers around a prompt and a completion, without BOS or final newline."""
    return Rendered(
        prompt=f"<start_of_turn>user\n{prompt}<end_of_turn>\n<start_of_turn>model\n",
        completion=f"{completion}<end_of_turn>",
    )


def render_gemma_chat(trace: Trace) -> Rendered:
    """The wire contract's chat form: numbered steps under ``Reasoning:``, then ``Answer:``."""
    lines = [f"{number}. {step.content}" for number, step in enumerate(trace.steps, start=1)]
    work = "Reasoning:\n" + "\n".join(lines) + "\n" if lines else ""
    return gemma_turns(trace.prompt, f"{work}Answer: {trace.final_answer}")


TEMPLATES: dict[str, Callable[[Trace], Rendered]] = {
    "show_your_work": render_show_your_work,
    "gemma_chat": render_gemma_chat,
}


def render(trace: Trace, template: str = "show_your_work") -> Rendered:
    """Render ``trace`` with a named template.

    Raises:
        UsageError: There is no such template.
    """
    try:
        return TEMPLATES[template](trace)
    except KeyError:
        known = ", ".join(sorted(TEMPLATES))
        raise UsageError(f"unknown template {template!r}", f"known: {known}") from None


def extract_work(completion: str) -> ShownWork | None:
    """Take a completion apart, or None when it holds no reasoning block followed by an answer.

    The first pair of blocks counts; anything more makes it not well formed. Time is linear in
    the length of the completion.
    """
    opening, closing, begin, end = TAGS
    start = completion.find(opening)
    if start < 0:
        return None
    inside = start + len(opening)
    join = _SIDE_BY_SIDE.search(completion, inside)
    closed = join.start() if join else completion.find(closing, inside)
    begun = join.end() - len(begin) if join else completion.find(begin, max(closed, 0))
    ended = completion.find(end, begun)
    if min(closed, begun, ended) < 0:
        return None
    reasoning = completion[inside:closed]
    answer = completion[begun + len(begin) : ended].strip()
    between = completion[closed + len(closing) : begun]
    outside = completion[:start] + between + completion[ended + len(end) :]
    inner_tags = any(tag in part for tag in TAGS for part in (reasoning, answer))
    well_formed = (
        not outside.strip() and not inner_tags and bool(reasoning.strip()) and bool(answer)
    )
    return ShownWork(reasoning=reasoning, answer=answer, well_formed=well_formed)
