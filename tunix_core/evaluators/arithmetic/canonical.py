"""One form for expressions that differ in the order of what is added or multiplied alone."""

from __future__ import annotations

from collections.abc import Sequence

from tunix_core.evaluators.arithmetic.values import (
    DIVISIONS,
    MAX_ITEMS,
    PRECEDENCE,
    Literal,
    NoValueError,
)

_PREFIX = {"neg": "-", "sqrt": "sqrt"}
_POSTFIX = {"squared": "({} ^ 2)", "cubed": "({} ^ 3)", "!": "{}!", "%": "{}%"}

# What is added or multiplied, in any order; an atom is a node of one.
_Node = tuple[str, tuple[str, ...]]


def canonical(items: Sequence[Literal | str]) -> str:
    """The same text for ``3 * 4 + 2``, ``2 + 4 × 3`` and ``$2 + (4 * $3)``.

    Args:
        items: Numbers, operators and parentheses, in infix order.

    Returns:
        The text; of what is no expression, its items as they stand.
    """
    try:
        return _text(_tree(items))
    except NoValueError:
        return " ".join(map(str, items))


def _tree(items: Sequence[Literal | str]) -> _Node:
    """Dijkstra's shunting yard, as in :func:`values.value`."""
    if len(items) > MAX_ITEMS:
        raise NoValueError("too long")
    nodes: list[_Node] = []
    operators: list[str] = []
    for item in items:
        if isinstance(item, Literal):
            nodes.append(_atom(_number(item)))
        elif item in _POSTFIX:
            nodes.append(_atom(_POSTFIX[item].format(_text(_pop(nodes)))))
        elif item == "(" or item in _PREFIX:
            operators.append(item)
        elif item == ")":
            while operators and operators[-1] != "(":
                _apply(nodes, operators.pop())
            if not operators:
                raise NoValueError("unopened")
            operators.pop()
        else:
            rank = PRECEDENCE.get(item)
            if rank is None:
                raise NoValueError(item)
            while operators and operators[-1] != "(":
                above = PRECEDENCE[operators[-1]]
                if above < rank or (above == rank and item == "^"):
                    break
                _apply(nodes, operators.pop())
            operators.append(item)
    while operators:
        _apply(nodes, operators.pop())
    if len(nodes) != 1:
        raise NoValueError("no expression")
    return nodes[0]


def _apply(nodes: list[_Node], operator: str) -> None:
    right = _pop(nodes)
    if operator in _PREFIX:
        nodes.append(_atom(_PREFIX[operator] + _text(right)))
        return
    left = _pop(nodes)
    if operator == "+":
        nodes.append(("+", _parts(left, "+") + _parts(right, "+")))
    elif operator == "-":
        nodes.append(("+", (*_parts(left, "+"), f"-{_text(right)}")))
    elif operator in ("*", "of"):
        nodes.append(("*", _parts(left, "*") + _parts(right, "*")))
    elif operator in DIVISIONS:
        nodes.append(("*", (*_parts(left, "*"), f"/{_text(right)}")))
    else:
        nodes.append(_atom(f"({_text(left)} {operator} {_text(right)})"))


def _pop(nodes: list[_Node]) -> _Node:
    if not nodes:
        raise NoValueError("no expression")
    return nodes.pop()


def _atom(text: str) -> _Node:
    return "", (text,)


def _parts(node: _Node, joined: str) -> tuple[str, ...]:
    return node[1] if node[0] == joined else (_text(node),)


def _text(node: _Node) -> str:
    joined, parts = node
    return f"({joined.join(sorted(parts))})" if joined else parts[0]


def _number(literal: Literal) -> str:
    try:
        text = str(literal.number())
    except NoValueError:
        text = literal.text
    return f"{text}%" if literal.percent else text
