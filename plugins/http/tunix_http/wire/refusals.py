"""Requests whose data is refused, with the contract's validation items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MAX_ITEMS = 100
MAX_INPUT_CHARS = 2_000


class RequestRefused(Exception):  # noqa: N818 - it ends a request, it is no mistake of ours
    """A request whose data is not what the operation takes.

    Args:
        items: The contract's validation items: type, loc, msg, input, and ctx where there is one.
    """

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items)
        self.items = items


def item(kind: str, loc: Iterable[str | int], message: str, value: Any = None) -> dict[str, Any]:
    """One validation item."""
    return {"type": kind, "loc": list(loc), "msg": message, "input": value}


def items_of(where: str, errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """pydantic's errors as validation items.

    Args:
        where: ``body``, ``query`` or ``path``.
        errors: What ``ValidationError.errors()`` returns.
    """
    found = []
    for error in errors:
        shown = item(
            error["type"], (where, *error["loc"]), error["msg"], _shortened(error.get("input"))
        )
        if "ctx" in error:
            shown["ctx"] = {
                key: value if isinstance(value, str | int | float | bool | None) else str(value)
                for key, value in error["ctx"].items()
            }
        found.append(shown)
        if len(found) == MAX_ITEMS:
            break
    return found


def _shortened(value: Any) -> Any:
    """The offending input, unless it is so large that it would swell the answer."""
    if isinstance(value, bool | int | float | None):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) <= MAX_INPUT_CHARS:
        return text if isinstance(value, str) else json.loads(text)
    return text[:MAX_INPUT_CHARS] + "…"
