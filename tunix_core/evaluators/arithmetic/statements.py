"""Statements such as ``2 + 3 = 5``: found in a text, and judged where they are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import field, frozen

from tunix_core.evaluators.arithmetic.canonical import canonical
from tunix_core.evaluators.arithmetic.expressions import Expression, Scanner
from tunix_core.evaluators.arithmetic.judging import Verdict, is_whole_part, judge
from tunix_core.evaluators.arithmetic.tokens import Token, plain, tokens
from tunix_core.evaluators.arithmetic.values import DIVISIONS
from tunix_core.evaluators.arithmetic.words import ABOUT, DOUBTS, HEDGES, RELATIVE

_NOTE = re.compile(r"<<([^<>]*+)>>")
_SYMBOL = re.compile(r"[=≈≅≃≠≤≥<>~]|\\(?:[lg](?:eq(?:slant)?|e|t)|neq?|approx)(?![A-Za-z])")
_SPOKEN = re.compile(r"\b(?:is|equals?|makes|gives)\b|->|→|⇒")
_OPERATOR = re.compile(
    r"[-+*/×÷⋅·^%−–²³√]|\b(?:x|plus|minus|times|multiplied|divided|squared|power|percent)\b"
)
_NUMBERED = re.compile(
    r"\s*+(?:[-*+•–>]\s++)?(?:(?:step\s*+)?\(?(?:\d{1,3}|[a-z])[.):](?=\s)(?!\s*+[-+*/=×(]))?",
    re.IGNORECASE,
)
_CONTINUED = re.compile(r"=[ \t]*+\r?\n[ \t]*+(?=[^\s=])|\r?\n(?=[ \t]*+[=≈])")
# A remainder is told within so many characters after the quotient.
NEAR = 80
_REMAINING = re.compile(r"\b(?:remain|left ?over|leftover)", re.IGNORECASE)
_DENIED = re.compile(r"[\s:,(]*+(?:is\s++)?(no|false|not|untrue|incorrect|wrong)\b", re.IGNORECASE)


@frozen
class Equation:
    """A statement that was computed again.

    Args:
        text: As it stands in the text, without markup; a power has its ``^``.
        holds: Whether all that is known of it is true.
        trivial: Whether it takes no work to say, such as ``1 = 1`` or ``5 + 0 = 5``.
        key: The same for what is the same but for spaces and signs.
        sides: What stands between its relations.
        relations: One less than there are sides.
    """

    text: str
    holds: bool
    trivial: bool
    key: str
    sides: tuple[Expression, ...] = field(eq=False, repr=False)
    relations: tuple[str, ...] = field(eq=False, repr=False)

    @property
    def canonical(self) -> str:
        """The same for what is the same but for the order of operands, and of equal sides."""
        sides = [canonical(side.items) for side in self.sides]
        if {"=", "is"}.issuperset(self.relations):
            return "=".join(sorted(sides))
        return " ".join([sides[0], *map(" ".join, zip(self.relations, sides[1:], strict=True))])


@frozen
class Reading:
    """What was found in a text.

    Args:
        judged: The statements that could be computed again.
        unread: How many others there are.
    """

    judged: tuple[Equation, ...]
    unread: int


def equations(text: str) -> Iterator[Equation]:
    """Every statement of a text that can be computed again, exactly, in its order."""
    yield from read(text).judged


def read(text: str) -> Reading:
    """Read a text line by line; a line that ends in ``=`` goes on in the next one.

    Time and memory grow with the length of the text, and not faster.
    """
    judged: list[Equation] = []
    unread = 0
    if "\n" in text:
        text = _CONTINUED.sub(lambda m: "= " if m[0][0] == "=" else " ", text)
    for line in text.splitlines():
        for found in _of_line(line):
            if found is None:
                unread += 1
            else:
                judged.append(found)
    return Reading(tuple(judged), unread)


def _of_line(line: str) -> Iterator[Equation | None]:
    """The statements of a line; None for one that cannot be judged."""
    symbol = _SYMBOL.search(line) is not None
    spoken = not symbol and _SPOKEN.search(line) is not None and _OPERATOR.search(line) is not None
    if not symbol and not spoken:
        return
    if "<<" in line:
        for note in _NOTE.findall(line):
            yield from _of_line(note)
        line = _NOTE.sub("", line)
    line = plain(line)
    numbered = _NUMBERED.match(line)
    offset = numbered.end() if numbered else 0
    line = line[offset:]
    for segment, asked in _segments(_loosened(tokens(line, spoken))):
        yield from _statements(segment, asked, line)


def _loosened(found: list[Token]) -> list[Token]:
    """Parentheses around statements end them; those around words alone are left out."""
    opened: list[list[int]] = []
    dropped: list[tuple[int, int]] = []
    stops: set[int] = set()
    # Of each open parenthesis: place, whether it holds a statement, numbers, operators, words.
    for place, token in enumerate(found):
        kind = token.kind
        if kind == "open":
            opened.append([place, 0, 0, 0, 0])
        elif kind == "close":
            if not opened:
                stops.add(place)
                continue
            begin, stated, numbers, operators, words = opened.pop()
            if stated:
                stops.update((begin, place))
            elif words and _is_aside(found, begin, operators):
                dropped.append((begin, place))
            if opened:
                for index, held in enumerate((stated, numbers, operators, words), start=1):
                    opened[-1][index] += held
        elif opened:
            index = _COUNTED.get(kind, 0)
            if index:
                opened[-1][index] += 1
            elif kind == "other":
                opened[-1][3] += 1
            if kind == "words" and any(
                len(word) == 1 and word != "a" for word in token.text.split()
            ):
                opened[-1][3] += 1
    stops.update(begin for begin, *_ in opened)
    if not stops and not dropped:
        return found
    return list(_without(found, stops, dropped))


def _is_aside(found: list[Token], begin: int, operators: int) -> bool:
    """Whether a parenthesis is a remark: ``3 (from Allen) + 3``."""
    if not begin or found[begin - 1].kind not in _ASIDE:
        return False
    before, first = found[begin - 1], found[begin + 1]
    if before.kind == "num" and before.end == found[begin].start:
        return False
    return not operators or (first.kind == "words" and len(first.text) > 2)


_ASIDE = frozenset(("num", "words", "close", "pct"))
_COUNTED = {"rel": 1, "stop": 1, "num": 2, "op": 3, "words": 4}


def _without(
    found: list[Token], stops: set[int], dropped: list[tuple[int, int]]
) -> Iterator[Token]:
    ends = dict(dropped)
    until = -1
    for place, token in enumerate(found):
        until = max(until, ends.get(place, -1))
        if place > until:
            if place in stops:
                # What an operator is applied to is then not known.
                joined = token.kind == "open" and place and found[place - 1].kind == "op"
                token = token._replace(kind="other" if joined else "stop", text="(")
            yield token


def _segments(found: list[Token]) -> Iterator[tuple[list[Token], bool]]:
    """Tokens between marks that hold a relation, and whether a question mark ends them."""
    segment: list[Token] = []
    stated = False
    for token in found:
        if token.kind == "stop":
            if stated:
                yield segment, token.text == "?"
            segment, stated = [], False
        else:
            stated = stated or token.kind == "rel"
            segment.append(token)
    if stated:
        yield segment, False


def _statements(segment: list[Token], asked: bool, line: str) -> Iterator[Equation | None]:
    """The chains of a segment: ``a = b = c`` is one, ``a = b and c = d`` are two."""
    parts: list[list[Token]] = [[]]
    relations: list[str] = []
    for token in segment:
        if token.kind != "rel":
            parts[-1].append(token)
        elif relations and not parts[-1]:
            # `= ≈ 5` is one relation, and the vaguer one.
            relations[-1] = "~" if "~" in (relations[-1], token.text) else relations[-1]
        else:
            relations.append(token.text)
            parts.append([])
    if asked:
        yield None
        return
    sides = [Scanner().scan(part) for part in parts]
    chain = _Chain(line)
    for place, relation in enumerate(relations):
        left = sides[place][-1] if sides[place] else None
        right = _head(sides[place + 1])
        last = place == len(relations) - 1
        if place and (len(sides[place]) != 1 or relation == "is"):
            yield from chain.end()
        hedged = bool(right and ABOUT.intersection(right.lead))
        verdict = judge(left, "~" if hedged and relation == "=" else relation, right, last)
        if verdict is not None and left is not None and right is not None:
            if relation == "is" and "and" in left.lead and not verdict.holds:
                # `25% of 80 and 50% of 20 is 30`: more than the nearest is meant.
                verdict = None
            elif relation not in ("=", "~", "is"):
                verdict = _compared(verdict, left, line, right)
            elif not verdict.holds and _goes_on(left, sides[place + 1], line):
                verdict = None
        if relation == "is" and (verdict is None or not _is_result(left, right)):
            yield from chain.end()
            chain.forget()
            continue
        chain.add(left, right, relation, verdict)
    yield from chain.end()


def _head(side: Sequence[Expression]) -> Expression | None:
    """The expression right after a relation."""
    if not side or not HEDGES.issuperset(side[0].lead):
        return None
    return side[0]


def _goes_on(left: Expression, side: Sequence[Expression], line: str) -> bool:
    """Whether a result has a second half: ``= 5 and 2/3``, ``= 33 each, with 1 remaining``."""
    first = side[0]
    if is_whole_part(left, first) and _REMAINING.search(line, first.end, first.end + NEAR):
        return True
    if len(side) == 1:
        return False
    if not first.tail:
        return True
    second = side[1].items
    rest = [item for item in second if isinstance(item, str) and item not in "()"]
    return first.tail == ["and"] and len(rest) == 1 and rest[0] in DIVISIONS


def _is_result(left: Expression | None, right: Expression | None) -> bool:
    """Whether ``is`` states a result: an operation before it, a number alone after it."""
    if left is None or right is None or left.literal is not None or right.literal is None:
        return False
    return RELATIVE.isdisjoint(right.tail[:2])


def _compared(verdict: Verdict, left: Expression, line: str, right: Expression) -> Verdict | None:
    """A comparison may be denied, as in ``15 < 7: no``, or only supposed."""
    if _DENIED.match(line, right.end):
        return Verdict(not verdict.holds, verdict.trivial)
    supposed = not DOUBTS.isdisjoint(left.lead)
    return None if supposed and not verdict.holds else verdict


class _Chain:
    """Statements that share their sides, until they end."""

    def __init__(self, line: str) -> None:
        self._line = line
        self.forget()

    def forget(self) -> None:
        self._verdicts: list[Verdict | None] = []
        self._start = self._end = -1
        self._sides: list[Expression] = []
        self._relations: list[str] = []
        self._joined = False

    def add(
        self,
        left: Expression | None,
        right: Expression | None,
        relation: str,
        verdict: Verdict | None,
    ) -> None:
        """One more relation, with what stands on its sides."""
        self._verdicts.append(verdict)
        if verdict is not None and left is not None and right is not None:
            if self._start < 0:
                self._start = left.start
                self._sides.append(left)
            elif not self._joined:
                # What could not be judged stands between.
                self._sides.append(left)
                self._relations.append(";")
            self._end = right.end
            self._sides.append(right)
            self._relations.append(relation)
        self._joined = verdict is not None

    def end(self) -> Iterator[Equation | None]:
        """The statement, or None where nothing in it could be judged; begins anew."""
        known = [verdict for verdict in self._verdicts if verdict is not None]
        if known:
            text = self._line[self._start : self._end].strip()
            holds = all(verdict.holds for verdict in known)
            trivial = holds and all(verdict.trivial for verdict in known)
            sides, relations = tuple(self._sides), tuple(self._relations)
            key = _text(sides[0])
            for relation, side in zip(relations, sides[1:], strict=True):
                key += relation + _text(side)
            yield Equation(text, holds, trivial, key, sides, relations)
        elif self._verdicts:
            yield None
        self.forget()


def _text(side: Expression) -> str:
    if len(side.items) == 1:
        return str(side.items[0]).replace(",", "")
    return "".join([str(item) for item in side.items]).replace(",", "")
