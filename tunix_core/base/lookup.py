"""One way to find a thing by what people type of its id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tunix_core.errors import NotFoundError

T = TypeVar("T")


def by_beginning(what: str, wanted: str, find: Callable[[str], Sequence[T]], hint: str) -> T:
    """The one thing whose id is, or begins with, what was asked for.

    Args:
        what: What kind of thing it is, for the error message.
        wanted: An id or a beginning of one.
        find: The things whose ids begin with a text that is not empty; two are enough.
        hint: Where to look.

    Raises:
        NotFoundError: None or several match.
    """
    found = find(wanted) if wanted else ()
    if len(found) != 1:
        problem = "is ambiguous" if found else "not found"
        raise NotFoundError(f"{what} {wanted!r} {problem}", hint)
    return found[0]
