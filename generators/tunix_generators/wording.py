"""One spelling of a line of work, whatever the spacing, the signs and the dress it came in."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SIGNS = str.maketrans(
    {**dict.fromkeys("×⋅·∙∗✕", "*"), **dict.fromkeys("÷∕⁄", "/"), **dict.fromkeys("−–‒", "-")}
)  # fmt: skip
_LISTED = re.compile(r"\s*(?:[-*•]|(?:step )?\(?\d{1,3}[.):])\s+", re.IGNORECASE)
_TOKEN = re.compile(r"(?P<number>\d{1,3}(?:,\d{3})+(?!\d)|\d+:\d\d(?!\d)|\d+)|[^\W\d_]+|\*\*|==|\S")
# Marks of emphasis, and what separates the members of a list.
_DRESS = frozenset({"**", "`", "$", ",", ";"})
_MEANT = {"==": "=", "x": "*", "X": "*", "mod": "%", "day": "days"}


def plain(line: str, words: Mapping[str, str]) -> str:
    """The line in the signs and the case that work is made in, one blank between its parts.

    List marks, emphasis, commas and a final full stop are left out. The time is linear.

    Args:
        line: What was written.
        words: Words whose case makes no difference, folded, with the spelling that is meant.
    """
    text = line.translate(_SIGNS)
    listed = _LISTED.match(text)
    parts: list[str] = []
    ended = -1
    for match in _TOKEN.finditer(text, 0 if listed is None else listed.end()):
        token = match.group()
        if token in _DRESS:
            continue
        if match["number"]:
            token = token.replace(",", "")
            if _is_sign(parts) and match.start() == ended:
                token = f"-{token}"
                parts.pop()
        else:
            token = words.get(token.casefold(), token)
        parts.append(token)
        ended = match.end()
    if parts and parts[-1] == ".":
        parts.pop()
    return " ".join(_meant(parts))


def _is_sign(parts: list[str]) -> bool:
    """Whether a minus that was read last belongs to the number behind it."""
    return parts[-1:] == ["-"] and not (len(parts) > 1 and _is_number(parts[-2]))


def _meant(parts: list[str]) -> list[str]:
    """Words and signs that stand for others: an x is a sign between two numbers alone."""
    said = list(parts)
    for place, part in enumerate(parts):
        if part in ("x", "X") and not (
            0 < place < len(parts) - 1
            and _is_number(parts[place - 1])
            and _is_number(parts[place + 1])
        ):
            continue
        said[place] = _MEANT.get(part, part)
    return said


def _is_number(part: str) -> bool:
    return part[-1].isdigit()
