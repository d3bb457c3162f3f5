"""Models in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen


@frozen
class ModelArtifact:
    """A family of model versions.

    Args:
        id: Random UUID.
        name: Unique name.
        description: What it is for.
        task_type: What kind of task it does.
        created_at: UTC ISO-8601.
        updated_at: When it last got a version.
    """

    id: str
    name: str
    description: str | None
    task_type: str | None
    created_at: str
    updated_at: str


@frozen
class ModelVersion:
    """An immutable model in the registry.

    Args:
        id: Random UUID.
        artifact: Name of the model family.
        version: Label, unique within the family.
        sha256: Digest of the file tree; the address of the content.
        size_bytes: Sum of the file sizes.
        source_run_id: The run that made it.
        registry: Full name of the registry that holds it.
        metrics: The run's evaluations when it was promoted.
        config: The run's resolved configuration.
        provenance: Dataset digest, evaluation ids, plugin versions.
        created_at: UTC ISO-8601.
    """

    id: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int
    source_run_id: str | None
    registry: str
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    created_at: str
    description: str | None = None
