"""How deep JSON values nest."""

from __future__ import annotations

from typing import Any


def is_deeper_than(value: Any, limit: int) -> bool:
    """Whether lists and objects nest in more than ``limit`` levels.

    Args:
        value: A decoded JSON value: its containers are exactly ``dict`` and ``list``.
        limit: Number of levels that are not too many; the outermost container is the first.
    """
    level = [value]
    for _ in range(limit):
        children: list[Any] = []
        for node in level:
            if type(node) is dict:
                children.extend(node.values())
            elif type(node) is list:
                children.extend(node)
        level = [node for node in children if type(node) in (dict, list)]
        if not level:
            return False
    return True
