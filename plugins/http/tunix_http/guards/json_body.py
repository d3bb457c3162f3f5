"""JSON request bodies, read within limits on depth and on the number of lists and objects."""

from __future__ import annotations

import json
import re
from typing import Any

from tunix_core.base.json_depth import is_deeper_than
from tunix_core.codec import MAX_DEPTH
from tunix_http.wire.refusals import RequestRefused, item

# More than a thousand traces of a thousand steps have; two characters of text become 60 bytes.
MAX_CONTAINERS = 1_100_000


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
    if brackets > MAX_DEPTH and is_deeper_than(value, MAX_DEPTH):
        raise _invalid(f"nested deeper than {MAX_DEPTH} levels", 0)
    return value


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
