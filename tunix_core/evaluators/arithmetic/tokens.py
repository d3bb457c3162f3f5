"""A line of text as tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from tunix_core.evaluators.arithmetic.words import (
    FIRSTS,
    LENGTH_UNITS,
    LONGEST,
    NAMES,
    NUMBERS,
    OPERATORS,
    PHRASES,
    RELATIONS,
    SPECIAL,
    SPOKEN,
    STARTS,
)


class Token(NamedTuple):
    """A piece of a line.

    Args:
        kind: ``num``, ``time``, ``words``, ``op``, ``rel``, ``open``, ``close``, ``cur``, ``pct``,
            ``post``, ``stop`` or ``other``.
        text: The number, the words, or the name of the operator or relation.
        start: Where it begins in the line.
        end: Where it ends.
    """

    kind: str
    text: str
    start: int
    end: int


_NUMBER = (
    r"(?:\d{1,3}(?:[ ]\d{3}){0,3}?(?:[ ]000)++(?!\d)|(?<=\$)\d{1,3}(?:[ ]\d{3})++(?!\d)"
    r"|\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d++)?(?:[eE][+-]?\d{1,3}(?![\w.]))?|\.\d++"
)
_VULGARS = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_WORD = rf"[^\W\d_{_VULGARS}{_SUPERSCRIPTS}][\w'’]*+"
# After digits these make them more than a number.
_LONGER = (
    rf"\d{{1,2}}:\d\d(?!\d)|0\d++(?![.,]?\d)|\d++(?:[ ](?:and[ ])?\d++/|[ ]?[{_VULGARS}]|%?+-"
    r"[^\W\d_]{2}|st\b"
    r"|nd\b|rd\b|th\b)"
)
_TIMES = rf"(?:[xX](?=\s?[\d($£€.√{_VULGARS}])|[tT]imes(?=\s[\d($£€.√{_VULGARS}]))"
_PATTERN = re.compile(
    rf"""[\s"“”`#]*+(?:
    (?P<words>(?!{_TIMES}|[rR][ ]?\d|sqrt\s?\(){_WORD}
        (?:(?:[ ](?!{_TIMES})|[-.](?=[^\W\d_]{{2}})){_WORD})*+)
  | (?P<num>(?!{_LONGER}){_NUMBER})
  | (?P<rel>={{1,3}}>|[-–]>|→|⇒|=/=|!=|<=|>=|:=|={{1,3}}|[≈≅≃≠≤≥<>~])
  | (?P<mod>(?<=\s)%(?=\s*\d)|%(?=\d))
  | (?P<op>\*\*|//|[-+*/^×⋅·∙∗✕✖÷−–—])
  | (?P<open>[(\[{{])
  | (?P<close>[)\]}}])
  | (?P<cur>[$€£¥₹¢])
  | (?P<pct>%)
  | (?P<time>\d{{1,2}}:\d\d(?!\d)|0\d++(?![.,]?\d))
  | (?P<mixed>\d{{1,9}}[ ](?:and[ ])?\d{{1,9}}/\d{{1,9}}(?![\d/.])
        | (?<!/)\d{{1,9}}[ ]?[{_VULGARS}] | [{_VULGARS}])
  | (?P<compound>(?<![-(*/+=\d.])\d++%?+(?:-[^\W\d_]{{2,}}[\w'’]*+)++ | \d++(?:st|nd|rd|th)\b)
  | (?P<times>(?<![^\W\d_]){_TIMES})
  | (?P<rem>(?<![^\W\d_])[rR][ ]?(?=\d))
  | (?P<root>√|\bsqrt(?=\s?\())
  | (?P<post>!(?=\s*[-+*/=×)]))
  | (?P<bad>(?<=\d)[,.](?=\d)|(?<=[\d%]):(?=\d)|(?<=[\d%][ ]):(?=[ ]\d))
  | (?P<stop>[,;:.?!…|•✓✔☑✅])
  | (?P<other>[^\s"“”`#])
  | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_OPERATORS = {"**": "^", "÷": "/"} | dict.fromkeys("×⋅·∙∗✕✖", "*") | dict.fromkeys("−–—", "-")
_SIGNS = {"≈": "~", "≅": "~", "≃": "~", "≠": "!=", "=/=": "!=", "≤": "<=", "≥": ">=", ":=": "="}
_ARROWS = frozenset(("->", "–>", "→", "⇒", "=>", "==>", "===>"))

_BOLD = re.compile(
    r"(?<![\w)\]])(?<![\w)\]] )\*\*|\*\*(?! ?[\w(\[$.-])|(?<=\S)\*\*(?=\s)|(?<=\s)\*\*(?=\S)"
)
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]*+)\}\s?\{([^{}]*+)\}")
_MIXED = re.compile(r"(?<=\d)\s?\\[dt]?frac\s?\{(\d++)\}\s?\{(\d++)\}")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s?(\d)(\d)")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|mbox)\s?\{([^{}]*+)\}")
_THOUSANDS = re.compile(r"(?<=\d)\\[,;!](?=\d{3}(?!\d))")
_ROOT = re.compile(r"\\sqrt\s?\{")
_DRESS = re.compile(
    r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|boxed|mbox|displaystyle|left|right|quad|qquad)\b"
    r"|\\[,;:! ()\[\]]|&"
)
_COMMANDS = {
    r"\times": "×",
    r"\cdot": "·",
    r"\ast": "*",
    r"\div": "÷",
    r"\approx": "≈",
    r"\neq": "≠",
    r"\ne": "≠",
    r"\leq": "≤",
    r"\leqslant": "≤",
    r"\le": "≤",
    r"\geq": "≥",
    r"\geqslant": "≥",
    r"\ge": "≥",
    r"\lt": "<",
    r"\gt": ">",
    r"\rightarrow": "→",
    r"\Rightarrow": "→",
    r"\to": "→",
    r"\implies": "→",
    r"\bmod": "mod",
    r"\$": "$",
    r"\%": "%",
    r"\circ": "°",
    r"\degree": "°",
    r"\\": ";",
}
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|[$%\\])")
# `8.333...` is cut where it is cut.
_CUT = re.compile(r"(?<=\.\d)(\d*+)(?:\.{3}|…)")
_DEGREES = re.compile(r"\s?\^?\{?[°º]\}?(?:\s?([CF])\b)?")
_SCALES = {"C": " celsius ", "F": " fahrenheit ", None: " degrees "}
_SIGNS_AS = str.maketrans({"℃": "°C", "℉": "°F", "⁄": "/"})
_UNIT_POWER = re.compile(
    rf"(\d\s*+|/\s*+)({'|'.join(LENGTH_UNITS)}|seconds?|sec|s|units?)"
    r"(?:\s*+\^\s*+\{?([23])\}?|([23]))(?!\w|\.\d)"
)
# After a letter it belongs to a unit, as in m².
_POWER = re.compile(rf"(?<=[\d)\]}}{_VULGARS}])⁻?[{_SUPERSCRIPTS}]++")
_DIGITS = str.maketrans(f"⁻{_SUPERSCRIPTS}", "-0123456789")
_NESTED = 4


def plain(line: str) -> str:
    """A line without markdown's bold and LaTeX, as far as it is known; powers as ``^``."""
    if "..." in line or "…" in line:
        line = _CUT.sub(r"\1", line)
    if "**" in line:
        line = _BOLD.sub("", line)
    if "{,}" in line:
        line = line.replace("{,}", ",")
    if "\\" in line:
        line = line.replace("~", " ")
        line = _TEXT.sub(r" \1 ", _THOUSANDS.sub(",", line))
        line = _MIXED.sub(r" \1/\2", line)
        line = _SHORT_FRACTION.sub(r"(\1/\2)", line)
        for _ in range(_NESTED):
            line = _FRACTION.sub(r"((\1)/(\2))", line)
        line = _DRESS.sub(" ", _ROOT.sub("√{", line))
        line = _COMMAND.sub(lambda m: _COMMANDS.get(m[0], m[0]), line)
    if "2" in line or "3" in line:
        line = _UNIT_POWER.sub(_with_power, line)
    if not line.isascii():
        line = line.translate(_SIGNS_AS)
        line = _DEGREES.sub(lambda m: _SCALES[m[1]], line)
        line = _POWER.sub(lambda m: f"^{m[0].translate(_DIGITS)}", line)
    return line


def _with_power(match: re.Match[str]) -> str:
    before, unit, braced, bare = match.groups()
    return f"{before}{unit}{'²' if '2' in (braced, bare) else '³'}"


def tokens(line: str, spelt: bool) -> list[Token]:
    """The tokens of a line.

    Args:
        line: It.
        spelt: Whether number words are numbers, and words such as ``is`` relations.
    """
    found: list[Token] = []
    add = found.append
    special = SPOKEN if spelt else SPECIAL
    for match in _PATTERN.finditer(line):
        kind = match.lastgroup or "other"
        if kind == "end":
            break
        start, end = match.span(kind)
        text = line[start:end]
        if kind == "words":
            text = text.lower()
            words = text.split(" ")
            if words[0] not in FIRSTS and special.isdisjoint(words):
                add(Token("words", text, start, end))
            else:
                found.extend(_phrases(words, start, spelt, found))
        elif kind == "op":
            add(Token("op", _OPERATORS.get(text, text), start, end))
        elif kind == "rel":
            add(Token("rel", _relation(text), start, end))
        elif kind == "mixed":
            found.extend(_fraction(text, start, end))
        elif kind == "bad" and text == ":" and _is_label(found):
            add(Token("stop", text, start, end))
        elif kind in _RENAMED:
            kind, text = _RENAMED[kind][0], _RENAMED[kind][1] or text.lower()
            add(Token(kind, text, start, end))
        else:
            add(Token(kind, text, start, end))
    return found


def _is_label(found: list[Token]) -> bool:
    """Whether the number before a colon is a name: ``Step 1 : 5 + 3``, and no ratio."""
    return (
        len(found) > 1
        and found[-2].kind == "words"
        and found[-2].text.rpartition(" ")[2].removesuffix("s") in NAMES
    )


_RENAMED = {
    "times": ("op", "*"),
    "rem": ("op", "rem"),
    "mod": ("op", "mod"),
    "root": ("op", "sqrt"),
    "compound": ("words", ""),
    "bad": ("other", ""),
}


def _relation(text: str) -> str:
    if text in _ARROWS:
        return "is"
    return "=" if text.strip("=") == "" else _SIGNS.get(text, text)


def _fraction(text: str, start: int, end: int) -> Iterator[Token]:
    """A mixed number is one number; two numbers beside each other are two."""
    if text[-1] in _VULGARS:
        part = unicodedata.normalize("NFKC", text[-1]).replace("⁄", "/")
        yield Token("num", f"{text[:-1].strip() or '0'} {part}", start, end)
        return
    whole, _, rest = text.replace("and ", "").partition(" ")
    above, _, below = rest.partition("/")
    if int(above) < int(below):
        yield Token("num", f"{whole} {rest}", start, end)
        return
    slash = end - len(below) - 1
    yield Token("num", whole, start, start + len(whole))
    if "and" in text:
        yield Token("words", "and", start + len(whole) + 1, start + len(whole) + 4)
    yield Token("num", above, slash - len(above), slash)
    yield Token("op", "/", slash, slash + 1)
    yield Token("num", below, slash + 1, end)


def _phrases(words: list[str], start: int, spelt: bool, before: list[Token]) -> Iterator[Token]:
    """A run of words, cut where words mean operators, relations or numbers."""
    held: list[str] = []
    begin = place = start
    index = 0
    while index < len(words):
        word = words[index]
        size, kind, text = 1, "", ""
        if word in STARTS:
            size, kind, text = _phrase(words, index, spelt)
            if text == "of" and (held or not before or before[-1].kind not in ("num", "pct")):
                kind = ""
        elif spelt and word in NUMBERS:
            kind, text = "num", str(NUMBERS[word])
        length = sum(map(len, words[index : index + size])) + size - 1
        if kind:
            if held:
                yield Token("words", " ".join(held), begin, place - 1)
                held = []
            yield Token(kind, text, place, place + length)
            begin = place + length + 1
        else:
            size, length = 1, len(word)
            held.append(word)
        place += length + 1
        index += size
    if held:
        yield Token("words", " ".join(held), begin, place - 1)


def _phrase(words: list[str], index: int, spelt: bool) -> tuple[int, str, str]:
    """How many words the longest phrase has that begins here, its kind and its meaning."""
    for size in range(LONGEST, 0, -1):
        meaning = PHRASES.get(tuple(words[index : index + size]))
        if meaning is None or index + size > len(words):
            continue
        phrase = tuple(words[index : index + size])
        if phrase in RELATIONS:
            return (size, "rel", meaning) if spelt else (1, "", "")
        if phrase == ("x",) and index + 1 == len(words):
            return 1, "", ""
        if phrase == ("times",) and not (spelt and NUMBERS.keys() & set(words[index + 1 :][:1])):
            # As in `three times as many`; before digits it is an operator of its own.
            return 1, "", ""
        return size, "pct" if OPERATORS[phrase] == "%" else "op", meaning
    return 1, "", ""
