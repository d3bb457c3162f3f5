"""A question with the work shown, as it comes and as it is stored.

Limits are those of the wire contract, so that whatever is stored can be served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Attribute, field, frozen

MAX_VERSION_CHARS = 64
MAX_PROMPT_CHARS = 50_000
MAX_ANSWER_CHARS = 50_000
MAX_STEPS = 1_000
MAX_STEP_TYPE_CHARS = 64
MAX_STEP_CHARS = 20_000


def _length(low: int, high: int) -> Any:
    def check(_: object, attribute: Attribute[str], value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"{attribute.name}: expected text, got {type(value).__name__}")
        if not low <= len(value) <= high:
            raise ValueError(
                f"{attribute.name}: length must be {low} to {high} characters, got {len(value)}"
            )

    return check


def _step_index(_: object, attribute: Attribute[int], value: int) -> None:
    if type(value) is not int:
        raise TypeError(f"{attribute.name}: expected an integer, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{attribute.name}: must be 0 or more, got {value}")


@frozen
class Step:
    """One step of shown work.

    Args:
        i: Index, 0 or more, unique within its trace.
        type: What kind of step it is: ``decompose``, ``compute``, ``verify``, ...
        content: The text of the step.
    """

    i: int = field(validator=_step_index)
    type: str = field(validator=_length(1, MAX_STEP_TYPE_CHARS))
    content: str = field(validator=_length(1, MAX_STEP_CHARS))


def _steps(_: object, attribute: Attribute[tuple[Step, ...]], value: tuple[Step, ...]) -> None:
    if not 1 <= len(value) <= MAX_STEPS:
        raise ValueError(f"{attribute.name}: must hold 1 to {MAX_STEPS} steps, got {len(value)}")
    if len({step.i for step in value}) != len(value):
        raise ValueError(f"{attribute.name}: step indices must be unique")


def _as_tuple(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(steps)


@frozen
class Trace:
    """A question, the work shown, and the answer.

    Args:
        prompt: The question, 1 to 50,000 characters.
        final_answer: The answer, 1 to 50,000 characters.
        steps: The shown work, 1 to 1,000 steps with unique indices.
        meta: Free JSON data (``source``, ``family``, ``difficulty``, ...) or None.
        trace_version: Version of this format.

    Raises:
        ValueError: A limit is exceeded or step indices repeat.
        TypeError: A field has the wrong type.
    """

    prompt: str = field(validator=_length(1, MAX_PROMPT_CHARS))
    final_answer: str = field(validator=_length(1, MAX_ANSWER_CHARS))
    steps: tuple[Step, ...] = field(converter=_as_tuple, validator=_steps)
    meta: Mapping[str, Any] | None = None
    trace_version: str = field(default="1.0", validator=_length(1, MAX_VERSION_CHARS))


@frozen
class StoredTrace:
    """A trace as the store holds it.

    Args:
        id: Random UUID in canonical form.
        sequence: Position in the order of insertion, from 1, without gaps.
        created_at: UTC time of insertion, ISO-8601 with microseconds and ``Z``.
        content_key: Hex digest of the canonical record before import stamped it.
        trace: The record.
    """

    id: str
    sequence: int
    created_at: str
    content_key: str
    trace: Trace


@frozen
class Rejected:
    """A record that a source could not accept.

    Args:
        line: Line number in the input, from 1.
        problems: Every problem, each as ``"$.json.path: reason"``.
        text: The beginning of the offending input.
    """

    line: int
    problems: tuple[str, ...]
    text: str = ""
