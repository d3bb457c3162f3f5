"""Parts of lists that are too long to be shown whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from attrs import frozen

from tunix_core.errors import UsageError

T = TypeVar("T")


@frozen
class Page(Generic[T]):
    """A part of a list, newest first.

    Args:
        items: What it shows.
        limit: How many were asked for.
        offset: How many newer ones were passed over.
        next_offset: Where the next page begins, or None on the last.
    """

    items: tuple[T, ...]
    limit: int
    offset: int
    next_offset: int | None

    @classmethod
    def of(cls, found: Sequence[T], limit: int, offset: int) -> Page[T]:
        """The page of what was found when one more than it shows was looked for."""
        more = offset + limit if len(found) > limit else None
        return cls(tuple(found[:limit]), limit, offset, more)


@frozen
class PageJson:
    """A part of a list, newest first, as JSON.

    Args:
        entries: Objects with id, created_at and trace_version, commas between them.
        limit: How many were asked for.
        offset: How many newer ones were passed over.
        next_offset: Where the next page begins, or None on the last.
    """

    entries: str
    limit: int
    offset: int
    next_offset: int | None


def check_page(limit: int, offset: int) -> None:
    """Refuse what is no page.

    Raises:
        UsageError: ``limit`` is below 1 or ``offset`` below 0.
    """
    if limit < 1 or offset < 0:
        raise UsageError("limit must be 1 or more and offset 0 or more")
