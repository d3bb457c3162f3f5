"""Whether two expressions stand in a relation, read as their writer may mean them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from attrs import evolve, frozen

from tunix_core.evaluators.arithmetic.expressions import Expression, is_variable
from tunix_core.evaluators.arithmetic.values import (
    DIVISIONS,
    ROOT_CUT,
    USUAL,
    Literal,
    Manner,
    NoValueError,
    Number,
    value,
)
from tunix_core.evaluators.arithmetic.words import CLAUSES, LENGTHS, power_of

Items = Sequence[Literal | str]


@frozen
class Verdict:
    """What is known of a relation between two sides.

    Args:
        holds: Whether it is true.
        trivial: Whether it takes no work to say.
    """

    holds: bool
    trivial: bool


def judge(
    left: Expression | None, relation: str, right: Expression | None, last: bool
) -> Verdict | None:
    """Whether a relation holds in any way in which its sides may be meant.

    Args:
        left: What stands right before it.
        relation: ``=``, ``~``, ``!=``, ``<``, ``>``, ``<=``, ``>=`` or ``is``.
        right: What stands right after it.
        last: Whether no other relation follows.

    Returns:
        The verdict, or None where it cannot be told.
    """
    if left is None or right is None or not left.known or not right.known:
        return None
    if left.open or not left.items or not right.items or (right.open and not last):
        return None
    if _is_label(left, right) or (left.tail and _is_clause(left.tail)):
        return None
    if left.literal and right.literal and left.literal.text == right.literal.text:
        same = left.literal.percent == right.literal.percent and left.items[:-1] == right.items[:-1]
        if same:
            return Verdict(relation in ("=", "~", "is", "<=", ">="), True)
    computed = False
    for before, after in _pairs(left, right, last):
        for manners in _manners(before, after):
            held = _holds(before, relation, after, *manners)
            if held:
                return Verdict(True, _is_trivial(before, after))
            computed = computed or held is not None
    return Verdict(False, False) if computed and not _is_doubtful(left, right, relation) else None


def _pairs(left: Expression, right: Expression, last: bool) -> Iterator[tuple[Items, Items]]:
    """Both sides as they stand, then without what may be a bullet, a dash or a new sentence."""
    yield left.items, right.items
    if left.signed:
        yield left.items[1:], right.items
    if left.dash:
        yield left.items[left.dash :], right.items
    if right.dash and last:
        yield left.items, right.items[: right.dash - 1]
    if "of" in right.items and last:
        yield left.items, right.items[: right.items.index("of")]


def _is_label(left: Expression, right: Expression) -> bool:
    """Whether numbers alone on both sides are names, as in ``Room 5 = 5 beds``."""
    before, after = left.literal, right.literal
    if before is None or after is None:
        return False
    if before.percent or after.percent:
        return bool(left.lead)
    units = before.unit(), after.unit()
    if units[0] and units[1] and units[0][0] == units[1][0] and units[0] != units[1]:
        return False
    if units[0] and not after.words and units[0][0] == "count":
        return False
    return bool(left.lead or before.words or after.words or before.currency or after.currency)


def _is_clause(words: Sequence[str]) -> bool:
    """Whether words before a relation are more than a unit: ``4/3 gives the sum = ...``."""
    return is_variable(words[-1]) or not CLAUSES.isdisjoint(words)


def _is_doubtful(left: Expression, right: Expression, relation: str) -> bool:
    """Whether a relation that does not hold may mean something else."""
    if left.doubtful or right.doubtful or _mixes_units(left, right):
        return True
    before, after = left.literal, right.literal
    fraction = len(left.items) == 3 and not DIVISIONS.isdisjoint(_operators(left.items))
    if fraction and not left.lead and after is not None and left.tail and after.words:
        # `1/2 a cup = 4 ounces`.
        return True
    if before is not None and (before.words or left.lead) and after is None:
        # `5 shirts = 5 * $20`: the left side is a name.
        return True
    if relation != "=":
        return False
    named = any(item.words for item in left.literals()) and _adds(left.items)
    money = any(item.currency for item in right.literals())
    paid = any(item.currency for item in left.literals())
    return named and (after is None or (money and not paid))


def _mixes_units(left: Expression, right: Expression) -> bool:
    """Whether units of several sizes meet in a power, or lengths of several in a product."""
    operators = {*_operators(left.items), *_operators(right.items)}
    units = {unit for side in (left, right) for item in side.literals() if (unit := item.unit())}
    if operators.isdisjoint(("^", "squared", "cubed")):
        units = {unit for unit in units if unit[0].rstrip("²³") in LENGTHS}
        if operators.isdisjoint(("*", "/", "⁄")):
            return False
    # A square metre is as large as a metre is long.
    return len({round(size ** (1 / power_of(what))) for what, size in units}) > 1


def _manners(before: Items, after: Items) -> Iterator[tuple[Manner, Manner]]:
    """The manners in which both sides may be read, the usual one first."""
    yield USUAL, USUAL
    numbers = [item for item in (*before, *after) if isinstance(item, Literal)]
    if ("/" in before and "⁄" in before) or ("/" in after and "⁄" in after):
        fractions = evolve(USUAL, fractions=True)
        yield fractions, fractions
    if "of" in before or "of" in after:
        last = evolve(USUAL, of_last=True)
        yield last, last
    if any(item.percent for item in numbers):
        relative, plain = evolve(USUAL, percent="relative"), evolve(USUAL, percent="plain")
        yield relative, relative
        if any(item.percent for item in before if isinstance(item, Literal)):
            if len(before) > 1 and _is_percentage(before) and not _takes_share(before, after):
                yield plain, plain
        elif len(before) > 1 and _is_percentage(before):
            yield USUAL, plain
    units = {unit[0] for item in numbers if (unit := item.unit())}
    if len(units) == 1:
        counted = evolve(USUAL, units=True)
        yield counted, counted


def _takes_share(before: Items, after: Items) -> bool:
    """Whether a percentage is surely one of something: ``15% of 80``, ``200 - 15%``.

    Of 100 something else may be meant, as in ``100 - 60% = 40``.
    """
    if any(item.percent for item in after if isinstance(item, Literal)):
        return False
    numbers = [item for item in before if isinstance(item, Literal)]
    operators = set(_operators(before))
    if not {"*", "of"}.isdisjoint(operators):
        # `3 / 21 * 100% = 14.28` leaves the sign out.
        return not any(item.percent and item.text == "100" for item in numbers)
    whole = numbers[0]
    added = len(numbers) == 2 and not {"+", "-"}.isdisjoint(operators)
    return added and not whole.percent and whole.text != "100"


def _adds(items: Items) -> bool:
    """Whether an expression only adds and subtracts."""
    return DIVISIONS.isdisjoint(_operators(items)) and "*" not in items


def _operators(items: Items) -> Iterator[str]:
    return (item for item in items if isinstance(item, str))


def _is_percentage(items: Items) -> bool:
    """Whether an expression gives percents, as in ``20 / 80 * 100 = 25%``."""
    hundreds = [
        place
        for place, item in enumerate(items)
        if isinstance(item, Literal) and item.text == "100"
    ]
    if hundreds:
        return any(not place or items[place - 1] not in DIVISIONS for place in hundreds)
    return DIVISIONS.isdisjoint(_operators(items))


def _holds(
    before: Items, relation: str, after: Items, manner: Manner, other: Manner
) -> bool | None:
    """Whether a relation holds in one reading; None where a side has no value."""
    try:
        if "rem" in after:
            return _divides(before, after)
        left, right = value(before, manner), value(after, other)
    except NoValueError:
        return None
    rooted = "sqrt" in before or "sqrt" in after
    same = left == right or (rooted and abs(Fraction(left) - Fraction(right)) < ROOT_CUT)
    if relation in ("=", "is"):
        return same or _rounds(left, right, before, after, manner, other)
    if relation == "~":
        return same or _rounds(left, right, before, after, manner, other, whole=True)
    return {
        "!=": not same,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }.get(relation)


def _rounds(
    left: Number,
    right: Number,
    before: Items,
    after: Items,
    manner: Manner,
    other: Manner,
    whole: bool = False,
) -> bool:
    """Whether one side is the other, rounded or cut as far as it is written."""
    return _is_rounded(left, right, after, other, whole) or _is_rounded(
        right, left, before, manner, whole
    )


def _is_rounded(exact: Number, written: Number, items: Items, manner: Manner, whole: bool) -> bool:
    literal = items[-1]
    bare = len(items) == 1 or (len(items) == 2 and items[0] == "neg")
    if not bare or not isinstance(literal, Literal):
        return False
    step = literal.step()
    if step is None:
        if not whole:
            return False
        digits = literal.text.replace(",", "")
        step = Fraction(10 ** (len(digits) - len(digits.rstrip("0")))) if digits.isdigit() else None
        if step is None:
            return False
    if literal.percent and manner.percent != "plain":
        step /= 100
    if manner.units and (unit := literal.unit()):
        step *= unit[1]
    away = abs(Fraction(exact)) - abs(Fraction(written))
    return exact * written >= 0 and (abs(away) * 2 <= step or 0 <= away < step)


def _divides(before: Items, after: Items) -> bool | None:
    """Whether a quotient with its remainder is that of a division."""
    place = after.index("rem")
    quotient, rest = value(after[:place]), value(after[place + 1 :])
    exact = value(before)
    cuts = [place for place, item in enumerate(before) if item in ("/", "⁄", "//")]
    if not cuts:
        return exact == quotient + rest
    cut = cuts[-1]
    divided, divisor = value(before[:cut]), value(before[cut + 1 :])
    return divided == quotient * divisor + rest and 0 <= rest < abs(Fraction(divisor))


def is_whole_part(left: Expression, right: Expression) -> bool:
    """Whether the right side is what a division gives before its remainder."""
    if _adds(left.items) or right.literal is None:
        return False
    try:
        return right.literal.step() is None and value(left.items) // 1 == value(right.items)
    except NoValueError:
        return False


def _is_trivial(before: Items, after: Items) -> bool:
    """Whether a true statement takes no work: no operation, the same twice, or a neutral one."""
    if len(before) == len(after) and str(before) == str(after):
        return True
    numbers = [item for item in (*before, *after) if isinstance(item, Literal)]
    if len(before) <= 2 and len(after) <= 2:
        # A conversion is work.
        return not any(item.percent or item.unit() for item in numbers)
    longer, shorter = (before, after) if len(before) >= len(after) else (after, before)
    return len(longer) == 3 and len(shorter) == 1 and _is_neutral(longer)


def _is_neutral(items: Items) -> bool:
    first, operator, second = items
    if not isinstance(first, Literal) or not isinstance(second, Literal):
        return False
    neutral = {"+": "0", "-": "0", "*": "1", "/": "1", "⁄": "1"}.get(str(operator))
    return second.text == neutral or (operator in ("+", "*") and first.text == neutral)
