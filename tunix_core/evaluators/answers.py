"""Comparing answers by what they mean: exactly, by type, and never by a part of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tunix_core.evaluators.answer_forms.choices import choice_letter, same_choice
from tunix_core.evaluators.answer_forms.dates import full_name, parse_date, parse_time
from tunix_core.evaluators.answer_forms.expressions import parse_expression, same_expression
from tunix_core.evaluators.answer_forms.numbers import Quantity, parse_quantity, same_quantity
from tunix_core.evaluators.answer_forms.plain_text import enclosing, plain, split_top, text_key
from tunix_core.evaluators.answer_forms.truth import same_truth_word, truth
from tunix_core.evaluators.answer_spec import EXACT, TYPES, AnswerSpec, Tolerance

__all__ = ["TYPES", "answers_match", "match_spec", "normal_form"]

_MAX_ITEMS = 1_000
_MAX_PAIRED = 20

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_IDENTIFIER = re.compile(r"0\d+")
_GLOSS = re.compile(r"([^()]+) \(([^()]+)\)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_RELATION = re.compile(r"<=|>=|!=|==|(?<!-)[<>]|=")
_VARIABLE = re.compile(r"[A-Za-z](?:\w{0,20}|\([a-z]\))")
_RATIO = re.compile(r"\d[\d.,]*(?: ?: ?\d[\d.,]*)+")
_RATIO_SIGN = re.compile(r"(?<=\d)(?: ?: ?| to )(?=\d)")
_RANGE = re.compile(r"(?:from )?(-?\d[\d.,]*)(?: ?- ?| to )(\d[\d.,]*)(?: .+)?")
_RANGE_SIGN = re.compile(r"(?<=\d)(?: ?- ?| to )(?=\d)")
_HALF_OPEN = frozenset((("(", "]"), ("[", ")")))
_MIRROR = {">": "<", ">=": "<="}


def answers_match(
    answer: str,
    reference: str,
    answer_type: str | None = None,
    *,
    options: Mapping[str, str] | None = None,
    alternatives: Iterable[str] = (),
    tolerance: Tolerance = EXACT,
) -> bool:
    """Whether an answer means what a reference means.

    Args:
        answer: What was answered.
        reference: What is right.
        answer_type: One of :data:`TYPES`; by default the reference says by its own form what it
            is: a quantity, a time, a choice, an expression, a list, or text.
        options: The texts of a choice by their letters.
        alternatives: Further references, any of which is right too.
        tolerance: By how much a number may differ, or by which share of the reference (``"1%"``).
    """
    are_plain = _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(reference)
    if are_plain and answer_type is None and not alternatives and not tolerance:
        return answer == reference or answer + reference in ("-00", "0-0")
    given = plain(answer)
    return bool(given) and any(
        _matches(given, plain(right), answer_type, options or {}, tolerance)
        for right in (reference, *alternatives)
    )


def match_spec(answer: str, reference: str, spec: AnswerSpec) -> bool:
    """Whether an answer means what a reference means, compared as a trace wants it."""
    return answers_match(
        answer,
        reference,
        spec.type,
        options=spec.options,
        alternatives=spec.alternatives,
        tolerance=spec.tolerance,
    )


def normal_form(text: str) -> str:
    """The plain form in which answers are compared; see :func:`plain_text.plain`."""
    return plain(text)


def _matches(
    given: str,
    reference: str,
    answer_type: str | None,
    options: Mapping[str, str],
    tolerance: Tolerance,
) -> bool:
    if answer_type == "boolean":
        expected = truth(reference)
        return expected is not None and truth(given) == expected
    if answer_type == "string":
        return _same_text(given, reference)
    if answer_type == "choice":
        return same_choice(given, reference, options, _same)
    if answer_type in ("list", "set"):
        parts, expected_parts = _items(given, blanks=True), _items(reference, blanks=True)
        return (_same_set if answer_type == "set" else _same_list)(parts, expected_parts)
    if answer_type in ("integer", "decimal", "fraction"):
        quantity = parse_quantity(reference)
        if quantity is not None:
            return _is_quantity(given, quantity, tolerance)
        expression = parse_expression(reference)
        return expression is not None and not expression.variables and _same(given, reference)
    return _same(given, reference, tolerance)


def _same(given: str, reference: str, tolerance: Tolerance = EXACT) -> bool:
    """Whether two plain texts mean the same, by what the reference is."""
    if not given or not reference:
        return False
    if given == reference:
        return True
    if len(reference) == 1 and reference.isalpha():
        letter = choice_letter(given)
        return letter is not None and letter == reference.upper()
    if same := same_truth_word(given, reference):
        return same
    if _IDENTIFIER.fullmatch(reference):
        return False  # leading zeros are written where every digit counts
    for parse in (parse_time, parse_date):
        if (expected := parse(reference)) is not None:
            return parse(given) == expected or _same_sign(_RATIO_SIGN, ":", given, reference)
    quantity = parse_quantity(reference)
    if quantity is not None:
        is_other = parse_quantity(given) is None
        return _is_quantity(given, quantity, tolerance) or (
            is_other and given.casefold() == reference.casefold()
        )
    if _RELATION.search(reference):
        return _same_relation(given, reference) or _same_text(given, reference)
    if _RATIO.fullmatch(reference) and _same_sign(_RATIO_SIGN, ":", given, reference):
        return True
    if _RANGE.fullmatch(reference) and _same_sign(_RANGE_SIGN, "-", given, reference):
        return True
    return (
        _same_bracketed(given, reference)
        or _is_expression(given, reference)
        or _same_text(given, reference)
        or _is_equal_to(given, reference)
    )


def _is_quantity(given: str, reference: Quantity, tolerance: Tolerance) -> bool:
    quantity = parse_quantity(given)
    if quantity is not None:
        return same_quantity(quantity, reference, tolerance)
    if gloss := _GLOSS.fullmatch(given):
        return all(_is_quantity(part, reference, tolerance) for part in gloss.groups())
    if "=" in given:
        return _last_equal(given, reference, tolerance)
    return _value_is(given, reference, only_algebraic=True)


def _value_is(given: str, reference: Quantity, *, only_algebraic: bool) -> bool:
    """Whether an expression has the reference's value; sums and products are not worked out."""
    expression = parse_expression(given)
    if expression is None or expression.number is None or reference.unit.named:
        return False
    if only_algebraic and not expression.algebraic:
        return False
    return expression.number == reference.number.value


def _last_equal(given: str, reference: Quantity, tolerance: Tolerance) -> bool:
    """Whether all members of ``x = 6 * 7 = 42`` are the reference; the last as a number."""
    if any(sign not in ("=", "==") for sign in _RELATION.findall(given)):
        return False
    first, *middle, last = [part.strip() for part in re.split("==?", given)]
    members = middle if _VARIABLE.fullmatch(first) else [first, *middle]
    return _is_quantity(last, reference, tolerance) and all(
        _is_quantity(member, reference, tolerance)
        or _value_is(member, reference, only_algebraic=False)
        for member in members
    )


def _is_equal_to(given: str, reference: str) -> bool:
    """Whether ``x = ...`` gives a variable the reference."""
    relation = _relation(given)
    if relation is None or relation[1] != "=" or not _VARIABLE.fullmatch(relation[0]):
        return False
    return _same(relation[2], reference)


def _relation(text: str) -> tuple[str, str, str] | None:
    """The two sides of a relation and its sign, with > turned into <."""
    signs = list(_RELATION.finditer(text))
    if len(signs) != 1:
        return None
    sign = signs[0][0].replace("==", "=")
    left, right = text[: signs[0].start()].strip(), text[signs[0].end() :].strip()
    if not left or not right:
        return None
    return (right, _MIRROR[sign], left) if sign in _MIRROR else (left, sign, right)


def _same_relation(given: str, reference: str) -> bool:
    expected = _relation(reference)
    if expected is None:
        return False
    left, sign, right = expected
    found = _relation(given)
    if found is None:
        is_value = sign == "=" and _VARIABLE.fullmatch(left) and not _RELATION.search(given)
        return bool(is_value) and _same(given, right)
    if found[1] != sign:
        return False
    if _same_side(found[0], left) and _same_side(found[2], right):
        return True
    return sign in ("=", "!=") and _same_side(found[0], right) and _same_side(found[2], left)


def _same_side(given: str, reference: str) -> bool:
    # A variable is no choice: x) 5 is not x.
    if len(reference) == 1 and reference.isalpha():
        return given == reference
    return _same(given, reference)


def _same_sign(sign: re.Pattern[str], usual: str, given: str, reference: str) -> bool:
    """Whether two texts are the same once all their signs of a kind are the usual one."""
    return text_key(sign.sub(usual, given)) == text_key(sign.sub(usual, reference))


def _is_expression(given: str, reference: str) -> bool:
    expected = parse_expression(reference)
    if expected is None or not expected.algebraic:
        return False
    expression = parse_expression(given)
    return expression is not None and same_expression(expression, expected)


def _same_text(given: str, reference: str) -> bool:
    return text_key(given) == text_key(reference) or full_name(given, reference) == text_key(
        reference
    )


def _same_bracketed(given: str, reference: str) -> bool:
    """Whether two lists, tuples, intervals or sets are the same; brackets may be left out."""
    expected_parts = _items(reference, blanks=False)
    if len(expected_parts) < 2:
        return False
    brackets, expected = enclosing(given), enclosing(reference)
    if "" not in (brackets[0], expected[0]) and brackets != expected:
        return False
    if _HALF_OPEN.intersection((brackets, expected)) and brackets != expected:
        return False
    parts = _items(given, blanks=not brackets[0])
    return (_same_set if expected[0] == "{" else _same_list)(parts, expected_parts)


def _items(text: str, *, blanks: bool) -> list[str]:
    """The parts of a list, however they are separated; blanks separate where nothing else does."""
    brackets = enclosing(text)[0]
    if brackets:
        text = text[1:-1].strip()
    if ", " in text or ";" in text or (not brackets and _GROUPED.fullmatch(text)):
        text = _THOUSANDS.sub("", text)
    parts = split_top(text, ";" if ";" in text else ",")
    *before, last = parts
    if last.startswith("and "):
        parts = [*before, last[4:]]
    elif " and " in last and (before or blanks):
        parts = [*before, *last.split(" and ")]
    if len(parts) == 1 and blanks:
        parts = text.split()
    return [plain(part) for part in parts]


def _same_list(parts: Sequence[str], expected: Sequence[str]) -> bool:
    return len(parts) == len(expected) <= _MAX_ITEMS and all(map(_same, parts, expected))


def _same_set(parts: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether each part is among the expected ones and the other way round."""
    given, wanted = {_key(part) for part in parts}, {_key(part) for part in expected}
    if given == wanted or max(len(given), len(wanted)) > _MAX_PAIRED:
        return given == wanted
    return all(any(_same(part, one) for one in expected) for part in parts) and all(
        any(_same(part, one) for part in parts) for one in expected
    )


def _key(part: str) -> str:
    quantity = None if _IDENTIFIER.fullmatch(part) else parse_quantity(part)
    return text_key(part) if quantity is None or quantity.unit.named else str(quantity.number.value)
