"""From a trace to the texts a model reads and writes; the one place where that is decided."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from tunix_core.errors import UsageError
from tunix_core.records import MAX_PROMPT_CHARS, Trace

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
    return Rendered(prompt=trace.prompt + "\n", completion=_tagged(trace))


def _tagged(trace: Trace) -> str:
    reasoning = "\n".join(step.content for step in trace.steps)
    return f"<reasoning>{reasoning}</reasoning>\n<answer>{trace.final_answer}</answer>"


def gemma_turns(prompt: str, completion: str) -> Rendered:
    """Gemma's turn markers around a prompt and a completion, without BOS or final newline."""
    return Rendered(
        prompt=f"<start_of_turn>user\n{prompt}<end_of_turn>\n<start_of_turn>model\n",
        completion=f"{completion}<end_of_turn>",
    )


def render_gemma_chat(trace: Trace) -> Rendered:
    """The wire contract's chat form: numbered steps under ``Reasoning:``, then ``Answer:``."""
    return gemma_turns(trace.prompt, _numbered(trace))


def _numbered(trace: Trace) -> str:
    lines = [f"{number}. {step.content}" for number, step in enumerate(trace.steps, start=1)]
    work = "Reasoning:\n" + "\n".join(lines) + "\n" if lines else ""
    return f"{work}Answer: {trace.final_answer}"


TEMPLATES: dict[str, Callable[[Trace], Rendered]] = {
    "show_your_work": render_show_your_work,
    "gemma_chat": render_gemma_chat,
}
# What a template writes for a model to learn, without markup.
_WRITTEN: dict[str, Callable[[Trace], str]] = {
    "show_your_work": _tagged,
    "gemma_chat": _numbered,
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


def render_prompt(
    trace: Trace,
    template: str = "show_your_work",
    system_prompt: str = "",
    examples: Sequence[Trace] = (),
) -> str:
    """What a model is asked: what it shall heed, worked examples, and a question.

    All stand in the one turn of the user, a blank line between them, as lm-evaluation-harness puts
    them unless it is told otherwise; some models have no turn for a system prompt.

    Args:
        trace: The question.
        template: Name of the rendering template, which says how examples are written too.
        system_prompt: Stands before everything else.
        examples: Questions with their answers.

    Raises:
        UsageError: There is no such template, or all that is longer than a prompt may be.
    """
    if not system_prompt and not examples:
        return render(trace, template).prompt
    if template not in TEMPLATES:
        return render(trace, template).prompt
    write = _WRITTEN[template]
    shown = [f"{example.prompt}\n{write(example)}" for example in examples]
    parts = [system_prompt, *shown, trace.prompt] if system_prompt else [*shown, trace.prompt]
    text = "\n\n".join(parts)
    if len(text) > MAX_PROMPT_CHARS:
        raise UsageError(
            f"system prompt, examples and question have {len(text):,} characters, more than "
            f"{MAX_PROMPT_CHARS:,}",
            "give a shorter system prompt or fewer examples",
        )
    return render(evolve(trace, prompt=text), template).prompt


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
