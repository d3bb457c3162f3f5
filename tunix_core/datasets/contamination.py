"""Whether what is tested was trained on: the same question, the same words, the same work."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from attrs import frozen

from tunix_core.datasets.references import PROGRESS_EVERY, normal_question
from tunix_core.evaluators.arithmetic import equations
from tunix_core.records import Item, Match, Shared, Trace

# The length that GPT-3's authors used, and most people since.
NGRAM = 13

_LABEL_BEFORE = re.compile(r"(question|problem|q) ?: ?")
_LABEL_BEHIND = "answer:"
_ENDS = " .?"
_WORD = re.compile(r"[^\W_]+")

Keys = Callable[[Trace], Iterable[str]]


def question_key(trace: Trace) -> str:
    """What questions share that are the same but for form, labels and last marks."""
    text = normal_question(trace.prompt)
    label = _LABEL_BEFORE.match(text)
    text = text[label.end() :] if label else text
    return text.rstrip(_ENDS).removesuffix(_LABEL_BEHIND).rstrip(_ENDS)


def work_key(trace: Trace) -> str | None:
    """What traces share that compute the same to the same end; None of one that shows nothing.

    Equations count once, in one form for all orders of operands. Where there are none, the lines of
    the work count, but for case and white space.
    """
    lines = [step.content for step in trace.steps]
    found = {equation.canonical for equation in equations("\n".join(lines))}
    found = found or {_plain(line) for line in lines if line.strip()}
    return "\n".join([*sorted(found), _plain(trace.final_answer)]) if found else None


def shared_items(
    train: Iterable[Item],
    test: Callable[[], Iterable[Item]],
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Shared, ...]:
    """Find the items of a test that training data holds.

    Memory grows with the words of the test, not with the training data.

    Args:
        train: The training data, read once.
        test: Gives the test's items in order; called twice.
        on_progress: Called with the number of training items so far, now and then.

    Returns:
        What each measure found.
    """
    searches = [_Search(measure) for measure in _MEASURES]
    for item in test():
        for search in searches:
            search.want(item)
    for done, item in enumerate(train, start=1):
        for search in searches:
            search.look(item)
        if on_progress is not None and done % PROGRESS_EVERY == 0:
            on_progress(done)
    for item in test():
        for search in searches:
            search.conclude(item)
    return tuple(search.shared() for search in searches)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


@frozen
class _Measure:
    """What two items share that are not apart.

    Args:
        name: What it is called.
        of_test: What an item of the test is known by.
        of_train: The same of an item of the training data.
    """

    name: str
    of_test: Keys
    of_train: Keys


def _question(trace: Trace) -> Iterator[str]:
    key = question_key(trace)
    if key:
        yield key


def _work(trace: Trace) -> Iterator[str]:
    key = work_key(trace)
    if key is not None:
        yield key


def _question_ngrams(trace: Trace) -> Iterator[str]:
    return _ngrams(trace.prompt)


def _all_ngrams(trace: Trace) -> Iterator[str]:
    work = " ".join(step.content for step in trace.steps)
    return chain(_ngrams(trace.prompt), _ngrams(f"{work} {trace.final_answer}"))


def _ngrams(text: str) -> Iterator[str]:
    words = _WORD.findall(unicodedata.normalize("NFC", text).casefold())
    return (" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1))


_MEASURES = (
    _Measure("exact", _question, _question),
    _Measure("ngram", _question_ngrams, _all_ngrams),
    _Measure("same_work", _work, _work),
)


class _Search:
    """Looks for the items of a test in training data, by one measure."""

    def __init__(self, measure: _Measure) -> None:
        self._measure = measure
        # The first training item that each key of the test was seen in.
        self._seen: dict[str, str | None] = {}
        self._compared = 0
        self._matches: list[Match] = []

    def want(self, item: Item) -> None:
        self._seen.update(dict.fromkeys(self._measure.of_test(item.trace)))

    def look(self, item: Item) -> None:
        seen = self._seen
        for key in self._measure.of_train(item.trace):
            if key in seen and seen[key] is None:
                seen[key] = item.id

    def conclude(self, item: Item) -> None:
        keys = list(self._measure.of_test(item.trace))
        self._compared += bool(keys)
        first = next(filter(None, map(self._seen.get, keys)), None)
        if first is not None:
            self._matches.append(Match(item.id, first))

    def shared(self) -> Shared:
        return Shared(self._measure.name, self._compared, tuple(self._matches))
