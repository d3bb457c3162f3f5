"""The lines of a dataset export: the same bytes every time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tunix_core.errors import UsageError
from tunix_core.records import StoredTrace
from tunix_core.rendering import render, render_gemma_chat

_EXAMPLES = uuid.UUID("5b8c3d52-4f5e-4f0e-9a39-0d6f2a3c7e11")
_INSTRUCTION = "Please show your reasoning steps before you give the answer."


def trace_line(stored: StoredTrace) -> dict[str, Any]:
    """The contract's ``trace`` format."""
    trace = stored.trace
    return {
        "id": stored.id,
        "prompts": trace.prompt,
        "trace_steps": [step.content for step in trace.steps],
        "final_answer": trace.final_answer,
        "metadata": _metadata(stored),
    }


def tunix_sft_line(stored: StoredTrace) -> dict[str, Any]:
    """The contract's ``tunix_sft`` format: the chat text in Gemma's turns."""
    rendered = render_gemma_chat(stored.trace)
    return {
        "id": stored.id,
        "prompts": rendered.prompt + rendered.completion,
        "final_answer": stored.trace.final_answer,
        "metadata": _metadata(stored, after={"format": "tunix_sft"}),
    }


def training_example_line(stored: StoredTrace) -> dict[str, Any]:
    """The contract's ``training_example`` format; its id follows from the trace's."""
    trace = stored.trace
    steps = "".join(f"{n}. {step.content}\n" for n, step in enumerate(trace.steps, start=1))
    return {
        "id": str(uuid.uuid5(_EXAMPLES, stored.id)),
        "prompt": f"{trace.prompt}\n\n{_INSTRUCTION}",
        "response": f"Reasoning:\n{steps}Answer: {trace.final_answer}",
        "metadata": _metadata(stored, {"source_trace_id": stored.id}),
    }


def show_your_work_line(stored: StoredTrace) -> dict[str, Any]:
    """Prompt and completion in the show-your-work form."""
    rendered = render(stored.trace, "show_your_work")
    return {"id": stored.id, "prompt": rendered.prompt, "completion": rendered.completion}


FORMATS: dict[str, Callable[[StoredTrace], dict[str, Any]]] = {
    "trace": trace_line,
    "tunix_sft": tunix_sft_line,
    "training_example": training_example_line,
    "show_your_work": show_your_work_line,
}


def check_format(export_format: str) -> None:
    """Refuse a format that there is not.

    Raises:
        UsageError: There is no such format.
    """
    if export_format not in FORMATS:
        raise UsageError(f"unknown format {export_format!r}", f"known: {', '.join(FORMATS)}")


def export_line(stored: StoredTrace, export_format: str) -> str:
    """One line of an export, with its line break: ASCII, as ``json.dumps`` writes it.

    Raises:
        UsageError: There is no such format.
    """
    check_format(export_format)
    return json.dumps(FORMATS[export_format](stored)) + "\n"


def _metadata(
    stored: StoredTrace,
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The trace's meta behind the fields that it may not overwrite."""
    own = {
        **(before or {}),
        "created_at": stored.created_at,
        "trace_version": stored.trace.trace_version,
        **(after or {}),
    }
    extra = {key: value for key, value in (stored.trace.meta or {}).items() if key not in own}
    return {**own, **extra}
