"""What requests and answers of several groups share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema
from starlette.exceptions import HTTPException

MAX_PAGE = 100
MAX_INTEGER = 2**63 - 1

# Timestamps and ids are text already, exactly as they shall be sent.
DateTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
# What a database column can hold.
Integer = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]


# pydantic lets an HTTPException through, so that the answer's detail is a text and no list.
def _limit(value: int) -> int:
    if not 1 <= value <= MAX_PAGE:
        raise HTTPException(422, f"limit must be 1 to {MAX_PAGE}")
    return value


def _offset(value: int) -> int:
    if not 0 <= value <= MAX_INTEGER:
        raise HTTPException(422, f"offset must be 0 to {MAX_INTEGER}")
    return value


PageLimit = Annotated[
    int,
    AfterValidator(_limit),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
]
PageOffset = Annotated[
    int,
    AfterValidator(_offset),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}),
]


class PageQuery(BaseModel):
    """Which part of a list is wanted; subclasses may set other defaults."""

    limit: PageLimit = 20
    offset: PageOffset = 0


class Pagination(BaseModel):
    """Which part of a list an answer holds; ``next_offset`` is null on the last."""

    limit: int
    offset: int
    next_offset: int | None

    @classmethod
    def of(cls, query: PageQuery, found: int) -> Self:
        """The page that was asked for.

        Args:
            query: The request.
            found: How many entries there were when one more than ``limit`` was asked for.
        """
        more = query.offset + query.limit if found > query.limit else None
        return cls(limit=query.limit, offset=query.offset, next_offset=more)


def finite(value: Any) -> Any:
    """``value`` with NaN and infinities, which JSON does not have, as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [finite(child) for child in value]
    return value
