"""JSON request bodies: read with limits, refused with the contract's validation items."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DEPTH = 100
# More than a thousand traces of a thousand steps have; two characters of text become 60 bytes.
MAX_CONTAINERS = 1_100_000
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


def parse(body: bytes) -> Any:
    """The value of a JSON text; NaN, infinities and numbers beyond a double become None.

    Args:
        body: UTF-8, UTF-16 or UTF-32, as RFC 4627 tells them apart.

    Raises:
        RequestRefused: Not JSON, nested deeper than ``MAX_DEPTH``, or with more than
            ``MAX_CONTAINERS`` lists and objects.
    """
    # Brackets within strings do not count, but leaving them out is needed for few bodies.
    brackets = body.count(b"[") + body.count(b"{")
    try:
        text = body.decode(json.detect_encoding(body))
        if brackets > MAX_CONTAINERS and _containers(text) > MAX_CONTAINERS:
            raise _invalid(f"more than {MAX_CONTAINERS} lists and objects", 0)
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(error.msg, error.pos) from None
    except RecursionError:
        raise _invalid(f"nested deeper than {MAX_DEPTH} levels", 0) from None
    except UnicodeDecodeError as error:
        raise _invalid(f"not {error.encoding} at byte {error.start}", 0) from None
    except ValueError as error:
        raise _invalid(str(error), 0) from None
    if brackets > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise _invalid(f"nested deeper than {MAX_DEPTH} levels", 0)
    return value


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


def _finite(text: str) -> float | None:
    value = float(text)
    return value if abs(value) != float("inf") else None


_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite)


def _invalid(reason: str, position: int) -> RequestRefused:
    refused = item("json_invalid", ("body", position), "JSON decode error", {})
    return RequestRefused([{**refused, "ctx": {"error": reason}}])


# One that does not end goes to the end of the text, or each of its parts would be tried.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def _containers(text: str) -> int:
    """How many lists and objects a JSON text begins."""
    structure = _STRING.sub("", text)
    return structure.count("[") + structure.count("{")


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return [child for child in node.values() if isinstance(child, dict | list)]
    if isinstance(node, list):
        return [child for child in node if isinstance(child, dict | list)]
    return ()
