"""One plain form of a text, whatever markup, script or punctuation it is dressed in."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# A longer text is compared as it stands: nobody dresses an essay in LaTeX.
MAX_CHARS = 2_000

_LETTERS = "alpha beta gamma delta epsilon theta lambda mu phi sigma omega rho tau"
GREEK = frozenset(_LETTERS.split())

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—‐‑‒﹣－", "-"),
        **dict.fromkeys("×⋅·∙∗✕✖", "*"),
        **dict.fromkeys("‘’‚‛′＇", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        # Zero width, and marks of direction that turn nothing round.
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u00ad\u061c", ""),
        **{"÷": "/", "∕": "/", "⁄": "/", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "≃": "~"},
        **{"π": "pi", "∞": "infinity", "µ": "μ", "º": "°", "％": "%", "…": "..."},
        **{"，": ",", "．": ".", "：": ":", "；": ";", "（": "(", "）": ")", "＋": "+", "／": "/"},
        **{"＄": "$", "＝": "=", "＜": "<", "＞": ">"},
    }
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_VULGAR = re.compile("(?<=[0-9])?([¼-¾⅐-⅞])")
_SQUARE_ROOT = re.compile(r"√ ?(\w+(?:\.\d+)?)?")
_TAG = re.compile(r"</?(?:b|i|u|em|strong|code|p|span|div|br|tt|mark) ?/?>", re.IGNORECASE)
_NOTE = re.compile(r"<<[^<>]*>>")
_SUP = re.compile(r"<sup>([^<>]*)</sup>", re.IGNORECASE)
_FENCE = re.compile(r"```(?:[a-z]+\n|\s)?([^`]*)```")
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*|__)(?=[^\s*_])([^*_]*[^\s*_])\1(?![\w*])")
_HEADING = re.compile(r"(?:#{1,6}|\*|>) +(?=\S)")
_MATH = re.compile(r"(?<!\\)\$(?=\S)((?:[^$\\]|\\.)+)(?<!\s)\$(?!\d)", re.DOTALL)
_LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore)\b,? *)?"
    r"(?:"
    r"(?:(?:the|my|our) )?(?:(?:final|correct|right) )?answer *(?:is:?|:|=) *"
    r"|(?:it|this|that)(?:'s| is| was| equals) "
    r"|(?:they|these|those|there)(?:'s| are| is| were| was) "
    r"|the year (?=\d)"
    r"|[=:] *"
    r")",
    re.IGNORECASE,
)
_WRAPS = ('"', "'", "```", "`", "**", "__", "~~", "*", "_")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
# The blank of "1, 200" says that these are two numbers.
_SYMBOL = re.compile(r" ?([\\^=<>+*/{}\[\]()|_&;:~-]) ?| ?(?<!\d)(,) ?| ?(,)(?! ?\d) ?")

_WORDS = {
    **dict.fromkeys(("cdot", "times", "ast"), "*"),
    **dict.fromkeys(("leq", "le", "leqslant"), "<="),
    **dict.fromkeys(("geq", "ge", "geqslant"), ">="),
    **dict.fromkeys(("neq", "ne"), "!="),
    **dict.fromkeys(("left", "right", "big", "Big", "bigl", "bigr", "displaystyle", "!"), ""),
    **dict.fromkeys((",", ";", ":", " ", "quad", "qquad"), " "),
    **dict.fromkeys(("ldots", "dots", "cdots"), "..."),
    **dict.fromkeys(("(", ")", "[", "]"), "$"),
    **{mark: mark for mark in "%$#&_{}"},
    **{"div": "/", "lt": "<", "gt": ">", "pm": "±", "approx": "~", "degree": "°", "circ": "°"},
    **{"cup": "∪", "cap": "∩", "in": "∈", "emptyset": "∅", "varnothing": "∅", "to": "->"},
    **{"infty": "infinity", "pounds": "£", "euro": "€"},
    **{
        name: f" {name}" for name in (*GREEK, "pi", "sqrt", "sin", "cos", "tan", "log", "ln", "exp")
    },
}
_COMMAND = re.compile(r"\\([A-Za-z]+|[^A-Za-z])")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname) ?\{")
_TEXT_GROUP = re.compile(_TEXT.pattern + r"([^{}]*)\}")
_FRACTION = re.compile(
    r"\\[dtc]?frac *(?:\{([^{}]*)\}|(\d|[a-z]\b|[a-z](?=\d))) *(?:\{([^{}]*)\}|(\d|[a-z]))"
)
_ROOT = re.compile(r"\\sqrt *(?:\[([^\[\]{}]*)\])? *(?:\{([^{}]*)\}|(\w))")
_BOXED = re.compile(r"\\(?:boxed|fbox) *\{([^{}]*)\}")
_DEGREE = re.compile(r"\^ *(?:\{ *\\(?:circ|degree) *\}|\\(?:circ|degree)(?![A-Za-z]))")
_SCRIPT = re.compile(r"([\^_]) *\{([^{}]*)\}")
_SIMPLE = re.compile(r"-?\d+")


@lru_cache(maxsize=8192)
def plain(text: str) -> str:
    """The text without its dress; what is plain already stays as it is.

    Unicode forms, digits, signs and quotes become the usual ones; white space is collapsed;
    Markdown, HTML and LaTeX markup, enclosing brackets and quotes, final punctuation and
    openings such as "The answer is" go. Case stays, since ``MW`` is not ``mW``.
    """
    text = " ".join(_one_script(text).split())
    before = None
    while text != before and len(text) <= MAX_CHARS:
        before = text
        text = _bare(_without_markup(text))
    return text


def text_key(text: str) -> str:
    """What two plain texts share that say the same: case, articles and spacing of signs aside."""
    folded = text.casefold().rstrip("!")
    if folded.startswith("the "):
        folded = folded[4:]
    return _SYMBOL.sub(lambda found: found[0].strip(), folded).strip()


def split_top(text: str, marks: str) -> list[str]:
    """The parts of a text between ``marks``, brackets kept whole; every mark is a character."""
    parts: list[str] = []
    depth = start = 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and character in marks:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def enclosing(text: str) -> tuple[str, str]:
    """The brackets around the whole of a text, or two empty texts; ``(1, 2]`` has some."""
    if len(text) < 2 or text[0] not in "([{" or text[-1] not in ")]}":
        return "", ""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return (text[0], text[-1]) if place == len(text) - 1 else ("", "")
    return "", ""


def _one_script(text: str) -> str:
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    text = _SUPERSCRIPT.sub(lambda found: "^" + found[0].translate(_SUPERSCRIPTS), text)
    text = _VULGAR.sub(lambda found: " " + unicodedata.normalize("NFKD", found[1]), text)
    text = text.translate(_CHARACTERS)
    text = _SQUARE_ROOT.sub(lambda found: f"sqrt({found[1]})" if found[1] else "sqrt", text)
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(c)) if unicodedata.category(c) == "Nd" else c for c in text
    )


def _without_markup(text: str) -> str:
    if "<" in text:
        text = _TAG.sub("", _SUP.sub(r"^(\1)", _NOTE.sub("", text)))
    if "`" in text:
        text = _FENCE.sub(r"\1", text)
    if "**" in text or "__" in text:
        text = _EMPHASIS.sub(r"\2", text)
    if "$" in text:
        text = _MATH.sub(r"\1", text.replace("$$", "$"))
    if "\\" in text or "{" in text:
        text = _without_latex(text)
    return " ".join(text.split())


def _without_latex(text: str) -> str:
    before = None
    while text != before and len(text) <= MAX_CHARS:  # from the innermost braces outwards
        before = text
        text = _DEGREE.sub("°", text.replace("{,}", ","))
        text = _TEXT_GROUP.sub(r" \1", text)
        text = _SCRIPT.sub(_script, text)
        text = _FRACTION.sub(_fraction, text)
        text = _ROOT.sub(_root, text)
        if len(_BOXED.findall(text)) == 1:
            text = _BOXED.sub(r"\1", text)
    return _COMMAND.sub(lambda found: _WORDS.get(found[1], found[0]), text)


def _script(found: re.Match[str]) -> str:
    mark, inner = found.groups()
    return f"{mark}{inner}" if _SIMPLE.fullmatch(inner) or len(inner) == 1 else f"{mark}({inner})"


def _fraction(found: re.Match[str]) -> str:
    over, under = found[1] or found[2] or "", found[3] or found[4] or ""
    if _SIMPLE.fullmatch(over.strip()) and _SIMPLE.fullmatch(under.strip()):
        return f" {over.strip()}/{under.strip()}"
    return f"(({over})/({under}))"


def _root(found: re.Match[str]) -> str:
    inner = found[2] or found[3] or ""
    return f"(({inner})^(1/({found[1]})))" if found[1] else f" sqrt({inner})"


def _bare(text: str) -> str:
    """Without openings, final punctuation and what encloses the whole."""
    text = text.rstrip(" .,;:")
    if lead := _LEAD.match(text) or _HEADING.match(text):
        text = text[lead.end() :]
    for mark in _WRAPS:
        size = len(mark)
        if len(text) > 2 * size and text.startswith(mark) and text.endswith(mark):
            inner = text[size:-size]
            if mark not in inner:
                return inner.strip()
    first, last = enclosing(text)
    if _BRACKETS.get(first) == last and len(split_top(text[1:-1], ",;")) == 1:
        return text[1:-1].strip()
    return text.strip()
