"""References that judge themselves: what could never be answered right is found before it is built.

A reference is faulty when its own answer is refused once it was rendered and read back, when the
generator that made it says so, or when another one answers the same question otherwise: then none
of these can be trusted.
"""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, groupby, islice

from attrs import field, frozen

from tunix_core.codec import trace_from_canonical
from tunix_core.evaluators.answer_spec import answer_spec
from tunix_core.evaluators.answers import match_spec
from tunix_core.evaluators.extraction import extract_answer
from tunix_core.evaluators.generator_checks import GeneratorChecks
from tunix_core.protocols import Tools
from tunix_core.records import Item, Trace
from tunix_core.rendering import extract_work, render

SHOWN = 100
PROGRESS_EVERY = 500
_SHOWN_CHARS = 60

Lines = Callable[[Sequence[int]], Iterator[tuple[str, str]]]
Progress = Callable[[int, int], None]


def normal_question(prompt: str) -> str:
    """What questions share which differ in white space, case or Unicode form alone."""
    return " ".join(unicodedata.normalize("NFC", prompt).casefold().split())


@frozen
class Faults:
    """Which references are faulty.

    Args:
        flags: 1 at the place of each that is.
        reasons: What is wrong with the first of them, by place.
    """

    flags: bytearray
    reasons: dict[int, str] = field(factory=dict)

    @property
    def count(self) -> int:
        return self.flags.count(1)

    def sound(self, sequences: Sequence[int]) -> list[int]:
        """Those of ``sequences`` that are not faulty."""
        return list(compress(sequences, (not flag for flag in self.flags)))

    def add(self, place: int, reason: str) -> None:
        self.flags[place] = 1
        # Contradictions are found last, and may come first in the order of the dataset.
        if len(self.reasons) < 2 * SHOWN:
            self.reasons[place] = reason

    def first(self) -> list[tuple[int, str]]:
        """Place and reason of at most :data:`SHOWN`, in order."""
        return sorted(self.reasons.items())[:SHOWN]


def find_faults(
    sequences: Sequence[int], lines: Lines, tools: Tools, on_progress: Progress | None = None
) -> Faults:
    """Judge references; of each are kept nine bytes, and only questions asked twice read again.

    Args:
        sequences: Their places in the store.
        lines: Reads (id, canonical JSON) of traces by their places in the store.
        tools: Where the generators are.
        on_progress: Called with (judged, total).
    """
    faults = Faults(bytearray(len(sequences)))
    checks = GeneratorChecks(tools)
    keys = array("Q")
    for place, item in enumerate(_items(lines(sequences))):
        reason = fault_of(item, checks)
        if reason is not None:
            faults.add(place, reason)
        keys.append(_question_key(item.prompt))
        if on_progress is not None and len(keys) % PROGRESS_EVERY == 0:
            on_progress(len(keys), len(sequences))
    own = compress(range(len(keys)), (not flag for flag in faults.flags))
    groups = groupby(sorted(own, key=keys.__getitem__), keys.__getitem__)
    repeated = [places for _, group in groups if len(places := array("Q", group)) > 1]
    items = _items(lines([sequences[place] for places in repeated for place in places]))
    for places in repeated:
        for place, reason in _contradictions(places, items):
            faults.add(place, reason)
    return faults


def fault_of(item: Item, checks: GeneratorChecks) -> str | None:
    """Why an answer like the reference's would not be taken for right, or None."""
    trace = item.trace
    if not trace.prompt.strip():
        return "its question is blank"
    completion = render(trace).completion
    work = extract_work(completion)
    answer = extract_answer(completion)
    if answer is None or not answer.strip():
        return "its answer is blank"
    if work is None or not work.well_formed:
        return "a tag in its steps or its answer, or blank steps, break its form"
    if not _is_right(answer, trace):
        return f"its own answer {_short(trace.final_answer)} is refused{_as_type(trace)}"
    if checks.answer(item, answer) is False:
        return f"its answer {_short(answer)} is wrong, says its generator"
    steps = checks.steps(item, work.reasoning) or ()
    wrong = next((verdict for verdict in steps if not verdict.ok), None)
    return None if wrong is None else f"step {wrong.line}: {wrong.reason}, says its generator"


def _contradictions(places: Sequence[int], items: Iterator[Item]) -> Iterator[tuple[int, str]]:
    """The places of one question's references with a reason, if these are not all the same."""
    first = next(items)
    contrary: Item | None = None
    agreeing = [True]
    for item in islice(items, len(places) - 1):
        agrees = _agree(first.trace, item.trace)
        agreeing.append(agrees)
        contrary = contrary or (None if agrees else item)
    if contrary is not None:
        for place, agrees in zip(places, agreeing, strict=True):
            other = contrary if agrees else first
            said = f"answers the same question with {_short(other.answer)}"
            yield place, f"trace {other.id} {said}"


def _items(found: Iterator[tuple[str, str]]) -> Iterator[Item]:
    return (Item(trace_id, trace_from_canonical(text)) for trace_id, text in found)


def _question_key(prompt: str) -> int:
    text = normal_question(prompt).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def _agree(first: Trace, other: Trace) -> bool:
    """Whether either answer would be right for the other, or the questions are not the same."""
    if first.final_answer == other.final_answer:
        return True
    if normal_question(first.prompt) != normal_question(other.prompt):
        return True
    return _is_right(first.final_answer, other) or _is_right(other.final_answer, first)


def _is_right(answer: str, reference: Trace) -> bool:
    return match_spec(answer, reference.final_answer, answer_spec(reference.meta))


def _as_type(trace: Trace) -> str:
    declared = answer_spec(trace.meta).type
    return "" if declared is None else f" as {declared}"


def _short(answer: str) -> str:
    shown = answer if len(answer) <= _SHOWN_CHARS else f"{answer[:_SHOWN_CHARS]}…"
    return repr(shown)
