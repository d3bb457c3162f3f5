"""The answer that a completion gives, apart from the form in which it gives it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import frozen

from tunix_core.evaluators.answers import answers_match

Form = Literal["answer_block", "answer_line", "hash_mark", "prose", "open_block", "bare"]

# What cannot be told from the beginning of something longer when a completion was cut off.
_OPEN_ENDED = frozenset(("answer_line", "hash_mark", "prose", "open_block", "bare"))
_MAX_DIFFERENT = 50
_NEAR = 1_000

_TAG = re.compile(r"<(/?)(answer|reasoning|think(?:ing)?)\s{0,8}>", re.IGNORECASE)
_END = re.compile(r"<end_of_turn>|<\|[a-z_]{1,30}\|>|<eos>|</s>")
_LINE = re.compile(
    r"(?:^|(?<=[.!?] ))[ \t>*_#`~-]{0,20}(?:(?:so|thus|hence|therefore),? )?(?:(?:the|my|our) )?"
    r"(?:(?:final|correct|right) )?answer(?:[ \t*_`]{0,8}[:=]"
    r"|[ \t*_`]{1,8}is\b:?(?: therefore| thus)?|[*_`]{0,4}$)",
    re.IGNORECASE | re.MULTILINE,
)
_EXACT_LINE = re.compile(r"^Answer:", re.MULTILINE)
_HASH = re.compile(r"^[ \t]{0,8}####(?!#)(.*)$", re.MULTILINE)
_BRACE = re.compile(r"(\\(?:boxed|fbox) ?\{)|\\.|[{}]", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z])")


@frozen
class Extracted:
    """An answer as it was found.

    Args:
        text: The answer.
        form: Where it stood.
        strict: It stood where the templates put it: in one ``<answer>`` block or more that agree,
            or behind ``Answer:`` at the beginning of a line.
    """

    text: str
    form: Form
    strict: bool = False


def extract_answer(text: str) -> str | None:
    """The answer that a text gives, or None; see :func:`extract`."""
    found = extract(text)
    return None if found is None else found.text


def extract(
    text: str, *, cut: bool = False, agree: Callable[[str, str], bool] = answers_match
) -> Extracted | None:
    """The answer that a completion gives, or None when it gives none, or several that differ.

    Closed ``<answer>`` blocks go first; then what stands in ``\\boxed`` and behind ``Answer:``;
    then behind ``####`` at the end, behind "The answer is", behind ``####`` elsewhere, in a block
    that was never closed, and last a completion of one line. What was thought before does not
    count. Time is linear in the length of the text.

    Args:
        text: The completion.
        cut: It was cut off, so that what has no end is no answer.
        agree: Tells whether two answers are the same.
    """
    shown = _shown(text)
    blocks, open_block = _blocks(shown)
    marked, prose = _marked(shown)
    hashes = [found[1] for found in _HASH.finditer(shown) if found[1].strip()]
    ends_in_hash = bool(hashes) and shown.rstrip().endswith(hashes[-1].rstrip())
    strict_line = _EXACT_LINE.search(shown) is not None
    candidates: tuple[tuple[Form, list[str]], ...] = (
        ("answer_block", blocks),
        ("answer_line", marked),
        ("hash_mark", hashes if ends_in_hash else []),
        ("prose", prose),
        ("hash_mark", hashes),
        ("open_block", open_block),
        ("bare", [shown] if shown.strip() and "\n" not in shown.strip() else []),
    )
    for form, found in candidates:
        answers = [_END.sub("", answer).strip() for answer in found]
        if not answers:
            continue
        if (cut and form in _OPEN_ENDED) or not _all_agree(answers, agree):
            return None
        strict = "<answer>" in shown if form == "answer_block" else strict_line
        return Extracted(answers[-1], form, strict and form in ("answer_block", "answer_line"))
    return None


def _all_agree(answers: list[str], agree: Callable[[str, str], bool]) -> bool:
    different = set(answers) - {answers[-1]}
    return len(different) <= _MAX_DIFFERENT and all(agree(one, answers[-1]) for one in different)


def _shown(text: str) -> str:
    """A completion without what was thought: closed blocks of thoughts and reasoning."""
    if "<" not in text:
        return text
    depth = start = 0
    parts: list[str] = []
    for tag in _TAG.finditer(text):
        closes, name = tag[1], tag[2].lower()
        if name == "answer":
            continue
        if closes and depth:
            depth -= 1
            start = tag.end()
        elif closes:
            # Templates may open the thoughts in the prompt.
            parts, start = ([] if name.startswith("think") else parts), tag.end()
        else:
            if depth == 0:
                parts.append(text[start : tag.start()])
            depth += 1
    if depth:  # never closed: nobody can say where thinking ended
        return text
    return "\n".join([*parts, text[start:]])


def _blocks(text: str) -> tuple[list[str], list[str]]:
    """What stands in closed answer blocks, and behind a tag that opens one and is never closed."""
    closed: list[str] = []
    begun: int | None = None
    for tag in _TAG.finditer(text) if "<" in text else ():
        if tag[2].lower() != "answer":
            continue
        if not tag[1]:
            begun = tag.end()
        elif begun is not None:
            closed.append(text[begun : tag.start()])
            begun = None
    return closed, [] if begun is None else [text[begun:]]


def _marked(text: str) -> tuple[list[str], list[str]]:
    """What is boxed or stands behind ``Answer:``, in the order of the text; what prose calls so."""
    found = [*_boxed(text)]
    prose: list[str] = []
    for lead in _LINE.finditer(text):
        is_prose = lead[0].rstrip("*_` :").lower().endswith(("is", "therefore", "thus"))
        begins = lead.start() == 0 or text[lead.start() - 1] == "\n"
        # Of many sentences in one line each takes a bounded part, so that time stays linear.
        line = _behind(text, lead.end(), len(text) if begins else lead.end() + _NEAR)
        if is_prose:
            sentence = _SENTENCE_END.search(line)
            line = line[: sentence.start()] if sentence else line
        if line and is_prose:
            prose.append(line)
        elif line:
            found.append((lead.end(), line))
    return [answer for _, answer in sorted(found, key=lambda pair: pair[0])], prose


def _behind(text: str, start: int, limit: int) -> str:
    """The rest of a line, or the next line where that is empty, without half of an emphasis."""
    end = text.find("\n", start, limit)
    line = text[start : limit if end < 0 else end].strip()
    if not line.strip("*_` \t") and end >= 0:
        line = text[end : end + _NEAR].lstrip().split("\n", 1)[0].strip()
    if line[:2] in ("**", "__") and line[2:3] in ("", " ", "\t"):
        line = line[2:]
    if line.endswith("**") and line.count("**") % 2:
        line = line[:-2]
    return line.strip()


def _boxed(text: str) -> Iterator[tuple[int, str]]:
    if "\\boxed" not in text and "\\fbox" not in text:
        return
    opened: list[int] = []  # where each open brace begins what it holds, below 0 if not of a box
    boxes = 0
    for brace in _BRACE.finditer(text):
        if brace[1]:
            opened.append(brace.end())
            boxes += 1
        elif brace[0] == "{":
            opened.append(-1)
        elif brace[0] == "}" and opened:
            start = opened.pop()
            if start >= 0:
                boxes -= 1
                if not boxes:
                    yield start, text[start : brace.start()]
