"""Yes and no, true and false, also where a short remark follows."""

from __future__ import annotations

import re

from tunix_core.evaluators.answer_forms.plain_text import text_key

_TRUTH = {
    **dict.fromkeys(("true", "yes", "correct", "y", "t", "1"), True),
    **dict.fromkeys(("false", "no", "incorrect", "n", "f", "0"), False),
}
_REMARK = re.compile(r"(yes|no|true|false|correct|incorrect)[,.;:!] ?(.+)")
_WORDS = re.compile(r"[a-z']+")
_DOUBT = frozenset(
    [
        "or",
        "but",
        "maybe",
        "perhaps",
        "unless",
        "except",
        "if",
        "although",
        "though",
        "however",
        "unsure",
    ]
)
_NOT_TRUE = frozenset(
    ["no", "not", "false", "wrong", "incorrect", "never", "neither", "nor", "none", "cannot"]
)
_NOT_FALSE = frozenset(["yes", "true", "correct", "right", "indeed"])
_MAX_REMARK_WORDS = 8


def truth(text: str) -> bool | None:
    """What a plain text says: ``yes``, ``False``, ``Yes, it does``; None when it says neither."""
    return _TRUTH.get(_leading_word(text_key(text)) or "")


def same_truth_word(given: str, reference: str) -> bool:
    """Whether the reference is one of these words, and the answer says it too."""
    word = text_key(reference)
    return word in ("yes", "no", "true", "false") and _leading_word(text_key(given)) == word


def _leading_word(key: str) -> str | None:
    if key in _TRUTH:
        return key
    found = _REMARK.fullmatch(key)
    if found is None:
        return None
    words = _WORDS.findall(found[2])
    contrary = _DOUBT | (_NOT_TRUE if _TRUTH[found[1]] else _NOT_FALSE)
    if len(words) > _MAX_REMARK_WORDS or contrary.intersection(words):
        return None
    if _TRUTH[found[1]] and any(word.endswith("n't") for word in words):
        return None
    return found[1]
