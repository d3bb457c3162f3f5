"""What a page's address says: the path's names and the query's values, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from attrs import frozen
from starlette.requests import Request

from tunix_core.errors import UsageError


@frozen
class Query:
    """The address of a page.

    Args:
        path: Names in the path.
        pairs: Names and values of the query, in order.
    """

    path: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, request: Request) -> Query:
        """The query of a request."""
        return cls(request.path_params, tuple(request.query_params.multi_items()))

    def text(self, name: str) -> str | None:
        """The last value of ``name``, or None where it is absent or blank."""
        values = self.all(name)
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of ``name`` that is not blank."""
        return [value.strip() for key, value in self.pairs if key == name and value.strip()]

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``.

        Raises:
            UsageError: It is none.
        """
        text = self.text(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
            raise UsageError(f"{name} must be a whole number from {low} to {high}, got {text[:40]}")
        return int(text)

    def choice(self, name: str, known: Mapping[str, Any] | tuple[str, ...], default: str) -> str:
        """One of ``known``.

        Raises:
            UsageError: It is none of them.
        """
        value = self.text(name) or default
        if value not in known:
            raise UsageError(f"no {name} is called {value[:80]!r}", f"known: {', '.join(known)}")
        return value

    def address(self, **changes: Any) -> str:
        """The query part of this page's address with other values; None leaves a name out."""
        kept = [(key, value) for key, value in self.pairs if key not in changes and value]
        new = [(key, str(value)) for key, value in changes.items() if value is not None]
        return "?" + urlencode(kept + new)


@frozen
class Window:
    """A part of a list, and where the parts beside it are.

    Args:
        limit: How many rows.
        offset: How many rows before it.
        previous: Query part of the address of the rows before, or None.
        following: Query part of the address of the rows after, or None.
    """

    limit: int
    offset: int
    previous: str | None
    following: str | None

    @classmethod
    def of(cls, query: Query, limit: int, offset: int, *, more: bool) -> Window:
        """The window of a page whose address holds ``offset``."""
        back = max(0, offset - limit) or None
        return cls(
            limit,
            offset,
            query.address(offset=back) if offset else None,
            query.address(offset=offset + limit) if more else None,
        )
