"""Card games on the wire."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from tunix_http.wire.common import MAX_INTEGER, Id, Integer

_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",")] if value else None


Ids = Annotated[
    list[UUID] | None,
    BeforeValidator(_split),
    WithJsonSchema({"type": "string", "pattern": f"^({_UUID}(,{_UUID})*)?$"}),
]


class UngarStatus(BaseModel):
    """Whether games can be played, and by which version of the engine."""

    available: bool
    version: str | None


class GenerateRequest(BaseModel):
    """How many episodes to play; without ``persist`` nothing is stored."""

    count: int = Field(ge=1, le=100)
    seed: Integer | None = None
    persist: bool = True


class Episode(BaseModel):
    """What came out of an episode."""

    trace_id: Id
    game: str
    result: str
    my_card: str


class Generated(BaseModel):
    """The traces, with a look at the first three."""

    trace_ids: list[Id]
    preview: list[Episode]


class UngarExportQuery(BaseModel):
    """The newest ``limit``, or of ``trace_ids`` (between commas) the first ``limit``."""

    limit: int = Field(100, ge=0, le=MAX_INTEGER)
    trace_ids: Ids = None
