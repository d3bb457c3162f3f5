"""Maximal expressions between the words of a line."""

from __future__ import annotations

from collections.abc import Sequence

from tunix_core.evaluators.arithmetic.tokens import Token
from tunix_core.evaluators.arithmetic.values import DIVISIONS, Literal
from tunix_core.evaluators.arithmetic.words import (
    CLAUSES,
    FACTORS,
    LETTERS,
    NAMES,
    SHORT,
    TWISTS,
    UNIT_LETTERS,
    unit_of,
)

# More words than this between a number and its operator are a sentence.
MAX_UNIT_WORDS = 10
MAX_LEAD_WORDS = 5


class Expression:
    """Numbers and operators that stand together.

    Args:
        lead: The words right before it, in this part of the line.

    Attributes:
        items: Numbers, operators and parentheses, in infix order.
        known: Whether all of it is understood.
        doubtful: Whether what stands before may change what it means.
        start: Where it begins in the line.
        end: Where it ends.
        dash: Where it may begin instead, since a dash between words may be no minus.
        signed: Whether it begins with what may be a bullet and no minus.
        open: Whether an operator is left without its right side.
    """

    __slots__ = (
        "dash",
        "doubtful",
        "end",
        "items",
        "known",
        "lead",
        "open",
        "signed",
        "start",
        "tail",
    )

    def __init__(self, lead: Sequence[str], start: int) -> None:
        self.items: list[Literal | str] = []
        self.lead = lead
        self.tail: list[str] = []
        self.known = True
        self.doubtful = False
        self.start = start
        self.end = start
        self.dash = 0
        self.signed = False
        self.open = False

    @property
    def literal(self) -> Literal | None:
        """The number, where the expression is nothing else; with its sign it is one too."""
        last = self.items[-1] if self.items else None
        bare = len(self.items) == 1 or (len(self.items) == 2 and self.items[0] == "neg")
        return last if bare and isinstance(last, Literal) else None

    def literals(self) -> list[Literal]:
        """Its numbers."""
        return [item for item in self.items if isinstance(item, Literal)]


class Scanner:
    """Reads the tokens between two relations, and cuts them into expressions."""

    def __init__(self) -> None:
        self.found: list[Expression] = []
        self._now = Expression((), 0)
        self._wants = True
        self._depth = 0
        self._currency: Token | None = None
        self._before: Token | None = None
        self._after: Token | None = None
        self._lead: list[str] = []
        # Words that stand between an operator and its right side.
        self._gap: list[str] = []

    def scan(self, part: Sequence[Token]) -> list[Expression]:
        """The expressions of a part, in order; words alone are an expression without items."""
        for place, token in enumerate(part):
            self._after = part[place + 1] if place + 1 < len(part) else None
            _READ[token.kind](self, token)
            self._before = token
        self._close()
        return self.found

    def _close(self) -> None:
        """End the expression that is being read."""
        now = self._now
        if self._wants and now.items:
            now.open = True
            # `= 9 - fewer than`: the number stands, the operator was none.
            while now.items and now.items[-1] in _BINARY:
                now.items.pop()
        if self._depth:
            now.known = False
        if now.items or not now.known or self._lead:
            now.lead = now.lead or self._lead
            self.found.append(now)
        self._wants, self._depth, self._gap = True, 0, []

    def _next(self, lead: list[str], start: int) -> Expression:
        self._close()
        self._lead = lead
        self._now = Expression(lead, start)
        return self._now

    def _operand(self, token: Token) -> Expression:
        """The expression that an operand belongs to: a new one where no operator is."""
        if not self._wants:
            if self._depth:
                self._now.known = False
            else:
                apart = bool(self._now.tail)
                self._next(list(self._now.tail), token.start)
                # `(1/2) 18`, `2 500`: numbers side by side are not understood.
                self._now.known = apart
        if not self._now.items:
            self._now.start = token.start
            self._now.lead = self._lead
            self._now.doubtful |= bool(TWISTS.intersection(self._lead[-2:]))
            named = (
                bool(self._lead)
                and self._lead[-1].removesuffix("s") in NAMES
                and token.kind == "num"
            )
            self._now.doubtful |= named and self._currency is None
        return self._now

    def number(self, token: Token) -> None:
        compound = self._compound()
        if compound:
            self._now.items.append("&")
            self._wants = True
        now = self._operand(token)
        if self._currency is not None and not now.items:
            now.start = self._currency.start
        if self._gap and self._gap[-1] in NAMES and self._currency is None:
            now.known = False
        now.items.append(Literal(token.text, self._currency is not None))
        now.end = token.end
        now.tail = []
        self._wants, self._currency, self._gap = False, None, []

    def _compound(self) -> bool:
        """Whether a number after a number with a unit goes on, as in ``2 hours 30 minutes``."""
        if self._wants or not self._now.items or self._depth:
            return False
        last, after = self._now.items[-1], self._after
        if not isinstance(last, Literal) or len(last.words) != 1 or after is None:
            return False
        large = unit_of(last.words[0])
        small = unit_of(after.text.partition(" ")[0]) if after.kind == "words" else None
        return (
            large is not None
            and small is not None
            and large[0] == small[0]
            and large[0] in _COMPOUND
            and large[1] > small[1]
        )

    def words(self, token: Token) -> None:
        words = token.text.split(" ")
        if self._wants:
            self._leading(token, words)
            return
        glued = self._before is not None and self._before.end == token.start
        if glued and not _is_unit(words[0]):
            self._now.known = False
        self._unit(words, glued)

    def _unit(self, words: list[str], glued: bool = False) -> None:
        """Words after an operand."""
        now = self._now
        if len(words[0]) == 1 and not glued and words[0] not in LETTERS:
            now.known = False
        last = now.items[-1]
        if isinstance(last, Literal):
            last.words.extend(words)
            if words[0] == "percent" and len(last.words) == len(words):
                last.percent = True
        now.tail.extend(words)

    def _leading(self, token: Token, words: list[str]) -> None:
        """Words before an operand."""
        now = self._now
        if not now.items:
            if any(len(word) == 1 and word not in LETTERS for word in words[-1:]):
                now.doubtful = True
            self._lead.extend(words)
            # `length * width, which is 3 * 4`
            now.known = now.known or not CLAUSES.isdisjoint(words)
            return
        before = self._before
        per = (
            len(now.items) > 1
            and now.items[-1] in DIVISIONS
            and before is not None
            and before.text == "/"
        )
        glued = per and before is not None and before.end == token.start
        if glued or (per and unit_of(words[0]) and not self._depth):
            # `$5/hour`, `60 miles / hour`.
            now.items.pop()
            now.known = now.known and not is_variable(words[0])
            self._wants = False
            self._unit(["per", *words])
            return
        now.doubtful |= now.items[-1] == "of"
        if CLAUSES.intersection(words) and not self._depth:
            self._next(words, token.start)
            return
        self._gap.extend(words)
        if (
            len(self._gap) > MAX_LEAD_WORDS
            or TWISTS.intersection(words)
            or FACTORS.keys() & set(words)
            or any(len(word) == 1 and word != "a" for word in words)
        ):
            now.known = False

    def operator(self, token: Token) -> None:
        operator, now = token.text, self._now
        if operator == "rem" and (self._wants or now.literal is None):
            if not now.items:
                self._lead.append("remainder")
            elif self._wants:
                now.known = False
            else:
                self._unit(["remainder"])
            return
        if operator == "sqrt":
            self._open(token, "sqrt")
            return
        if self._wants:
            self._prefix(token)
            return
        if operator == "of" and not self._is_share():
            self._unit(["of"])
            return
        if operator in ("squared", "cubed"):
            now.items.append(operator)
            now.end = token.end
            return
        tail = now.tail
        if tail and _ends(tail):
            # `3 less than twice + 5`: what stands before the operator is not known.
            now = self._next(list(now.tail), token.start)
            now.known = False
        elif operator == "-" and tail and not self._depth:
            now.dash = len(now.items) + 1
        now.items.append("⁄" if operator == "/" and self._is_tight(token) else operator)
        self._wants = True

    def _is_tight(self, token: Token) -> bool:
        """Whether no space is around an operator between numbers."""
        before, after = self._before, self._after
        return (
            before is not None
            and after is not None
            and before.end == token.start
            and after.start == token.end
        )

    def _is_share(self) -> bool:
        """Whether ``of`` means times: after a percentage or a fraction."""
        items = self._now.items
        last = items[-1]
        if not isinstance(last, Literal):
            return last == ")"
        fraction = len(items) > 1 and items[-2] in DIVISIONS
        return not last.words and (last.percent or fraction or "/" in last.text)

    def _prefix(self, token: Token) -> None:
        """An operator without a left side."""
        now, operator = self._now, token.text
        if self._gap:
            now.known = False
        elif operator == "-":
            if not now.items:
                now.start = token.start
                now.signed = True
                now.doubtful |= bool(self._lead)
            now.items.append("neg")
        elif now.items:
            now.known = now.known and operator in ("+", "*") and now.items[-1] == "("
        elif operator not in ("+", "*") or self._lead:
            now.known = False

    def opening(self, token: Token) -> None:
        self._open(token, "(")

    def _open(self, token: Token, item: str) -> None:
        now = self._now
        before = self._before
        if item == "(" and before and before.kind == "words" and before.end == token.start:
            # `f(2)`
            now.known = False
        if not self._wants:
            if now.tail and not self._depth:
                now = self._operand(token)
            elif now.tail:
                now.known = False
            else:
                now.items.append("*")
        else:
            now = self._operand(token)
        now.items.append(item)
        self._depth += item == "("
        self._wants, self._gap = True, []

    def closing(self, token: Token) -> None:
        now = self._now
        if self._wants or not self._depth:
            now.known = False
        self._depth = max(self._depth - 1, 0)
        now.items.append(")")
        now.end = token.end
        now.tail = []
        self._wants = False

    def currency(self, token: Token) -> None:
        last = self._now.items[-1] if self._now.items else None
        if token.text == "¢" and not self._wants and isinstance(last, Literal):
            last.words.append("¢")
        elif self._before is None or not (
            self._before.kind == "num" and self._before.end == token.start
        ):
            self._currency = token

    def percent(self, token: Token) -> None:
        now = self._now
        last = now.items[-1] if now.items else None
        if self._wants or last is None:
            return
        if isinstance(last, Literal) and not last.words:
            last.percent = True
        elif last == ")" and not now.tail:
            now.items.append("%")
        now.end = token.end

    def postfix(self, token: Token) -> None:
        if not self._wants:
            self._now.items.append(token.text)
            self._now.end = token.end

    def other(self, token: Token) -> None:
        self._now.known = False
        self._wants = True


def _ends(words: Sequence[str]) -> bool:
    """Whether an operator after words does not belong to the number before them."""
    last = words[-1]
    return (
        len(words) > MAX_UNIT_WORDS
        or not (TWISTS | CLAUSES).isdisjoint(words)
        or last[-1].isdecimal()
        or is_variable(last)
    )


def is_variable(word: str) -> bool:
    """Whether a word right before an operator or a relation stands for a number."""
    return len(word) == 1 and word not in UNIT_LETTERS


_BINARY = frozenset(("+", "-", "*", "/", "⁄", "//", "mod", "of", "^", "neg", "&"))
_COMPOUND = frozenset(("time", "years", "metres", "feet", "pounds"))
_READ = {
    "num": Scanner.number,
    "time": Scanner.number,
    "words": Scanner.words,
    "op": Scanner.operator,
    "open": Scanner.opening,
    "close": Scanner.closing,
    "cur": Scanner.currency,
    "pct": Scanner.percent,
    "post": Scanner.postfix,
    "other": Scanner.other,
}


def _is_unit(word: str) -> bool:
    """Whether letters that are glued to a number are a unit and no variable."""
    return len(word) > 2 or (len(word) == 2 and (word in SHORT or unit_of(word) is not None))
