"""Models on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, WithJsonSchema

from tunix_http.wire.common import MAX_PAGE, DateTime, Id, PageLimit, PageOffset


class ModelRequest(BaseModel):
    """A new family of versions."""

    name: str = Field(min_length=1, max_length=256, pattern="^[a-zA-Z0-9._-]+$")
    description: str | None = None
    task_type: str | None = Field(None, max_length=64)


class PromoteRequest(BaseModel):
    """A completed run to make a version of; its label is ``v1``, ``v2``, ... by default."""

    source_run_id: UUID
    version_label: str | None = Field(None, pattern="^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")
    description: str | None = None


class ModelsQuery(BaseModel):
    """Which part of the list is wanted; all of it by default."""

    limit: Annotated[
        PageLimit | None, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_PAGE})
    ] = None
    offset: PageOffset = 0


class ArtifactParameters(BaseModel):
    """A family in a path."""

    artifact_id: UUID


class VersionParameters(BaseModel):
    """A version in a path."""

    version_id: UUID


class ModelVersionRead(BaseModel):
    """An immutable version; off loopback ``storage_uri`` names the registry, not the directory."""

    id: Id
    artifact_id: Id
    version: str
    source_run_id: Id | None
    status: Literal["ready"]
    metrics_json: dict[str, Any]
    config_json: dict[str, Any]
    provenance_json: dict[str, Any]
    storage_uri: str
    sha256: str
    size_bytes: int
    description: str | None
    created_at: DateTime


class ModelArtifactRead(BaseModel):
    """A family of versions with its newest."""

    id: Id
    name: str
    description: str | None
    task_type: str | None
    created_at: DateTime
    updated_at: DateTime
    latest_version: ModelVersionRead | None
