"""Models: families of versions, made from runs and downloaded as zip files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tunix_core import Workspace
from tunix_core.errors import ConflictError, NotFoundError, UsageError
from tunix_core.records import ModelArtifact, ModelVersion
from tunix_http.operations import Call, Operations
from tunix_http.streams.downloads import RANGE_STATUSES, Download
from tunix_http.wire.models import (
    ArtifactParameters,
    ModelArtifactRead,
    ModelRequest,
    ModelsQuery,
    ModelVersionRead,
    PromoteRequest,
    VersionParameters,
)

ZIP = "application/zip"

operations = Operations("models")


@operations.post(
    "/api/models",
    "createModel",
    body=ModelRequest,
    returns=ModelArtifactRead,
    status=201,
    errors={409: "The name is taken"},
)
def create_model(workspace: Workspace, call: Call) -> ModelArtifactRead:
    """Make a family of versions."""
    wanted: ModelRequest = call.body
    artifact = workspace.models.create(wanted.name, wanted.description, wanted.task_type)
    return _artifact(artifact, None)


@operations.get("/api/models", "listModels", query=ModelsQuery, returns=list[ModelArtifactRead])
def list_models(workspace: Workspace, call: Call) -> list[ModelArtifactRead]:
    """List families, the last changed first."""
    return _artifacts(workspace, call, workspace.models.list(call.query.limit, call.query.offset))


@operations.get(
    "/api/models/{artifact_id}",
    "getModel",
    parameters=ArtifactParameters,
    returns=ModelArtifactRead,
    errors={404: "There is no such family"},
)
def get_model(workspace: Workspace, call: Call) -> ModelArtifactRead:
    """Read a family with its newest version."""
    return _artifacts(workspace, call, [_family(workspace, call)])[0]


@operations.post(
    "/api/models/{artifact_id}/versions/promote",
    "promoteModelVersion",
    parameters=ArtifactParameters,
    body=PromoteRequest,
    returns=ModelVersionRead,
    errors={400: "The family or the run is unknown, the run has no model, or the label is taken"},
    refusals={UsageError: 400},
    pool="slow",
)
def promote(workspace: Workspace, call: Call) -> ModelVersionRead:
    """Make the model of a completed run a version.

    Without a label, the version that has the same content is answered when there is one.
    """
    wanted: PromoteRequest = call.body
    artifact = _family(workspace, call)
    label = wanted.version_label
    if label in [version.version for version in workspace.models.versions(artifact.name)]:
        raise ConflictError(f"{artifact.name}@{label} exists already", "choose another label")
    version = workspace.models.promote(
        artifact.id, str(wanted.source_run_id), label, wanted.description
    )
    return _version(workspace, call, artifact.id, version)


@operations.get(
    "/api/models/versions/{version_id}",
    "getModelVersion",
    parameters=VersionParameters,
    returns=ModelVersionRead,
    errors={404: "There is no such version"},
)
def get_version(workspace: Workspace, call: Call) -> ModelVersionRead:
    """Read a version."""
    version = workspace.models.version_of_id(str(call.path.version_id))
    return _version(workspace, call, workspace.models.get(version.artifact).id, version)


@operations.get(
    "/api/models/versions/{version_id}/download",
    "downloadModelVersion",
    parameters=VersionParameters,
    media_type=ZIP,
    errors={**RANGE_STATUSES, 404: "There is no such version, or its files are gone"},
    pool="slow",
)
def download(workspace: Workspace, call: Call) -> Response:
    """The files of a version, checked just now, as a zip file; the same bytes every time."""
    version = workspace.models.version_of_id(str(call.path.version_id))
    artifact = workspace.models.get(version.artifact)
    folder = Path(tempfile.mkdtemp(prefix="tunix-download-"))
    try:
        workspace.models.download(version.id, folder / "model.zip")
    except BaseException:
        shutil.rmtree(folder)
        raise
    return _ZipResponse(
        folder / "model.zip", f"{artifact.id}_{version.version}.zip", version.sha256
    )


class _ZipResponse(Download):
    """A file that is removed with its folder after it was sent."""

    def __init__(self, path: Path, name: str, sha256: str) -> None:
        # The file is made anew for every request, so its time would not do for resuming.
        super().__init__(path, media_type=ZIP, filename=name, headers={"ETag": f'"{sha256}"'})
        self._folder = path.parent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(self._folder)


def _family(workspace: Workspace, call: Call) -> ModelArtifact:
    """The family of the path, by its id alone.

    Raises:
        NotFoundError: There is none.
    """
    artifact_id = str(call.path.artifact_id)
    artifact = workspace.models.get(artifact_id)
    if artifact.id != artifact_id:
        raise NotFoundError(f"model {artifact_id!r} not found")
    return artifact


def _artifacts(
    workspace: Workspace, call: Call, artifacts: Sequence[ModelArtifact]
) -> list[ModelArtifactRead]:
    newest = workspace.models.newest([artifact.name for artifact in artifacts])
    return [
        _artifact(
            artifact,
            _version(workspace, call, artifact.id, newest[artifact.name])
            if artifact.name in newest
            else None,
        )
        for artifact in artifacts
    ]


def _artifact(artifact: ModelArtifact, latest: ModelVersionRead | None) -> ModelArtifactRead:
    return ModelArtifactRead(
        id=artifact.id,
        name=artifact.name,
        description=artifact.description,
        task_type=artifact.task_type,
        created_at=artifact.created_at,
        updated_at=artifact.updated_at,
        latest_version=latest,
    )


def _version(
    workspace: Workspace, call: Call, artifact_id: str, version: ModelVersion
) -> ModelVersionRead:
    place = workspace.models.location(version) if call.services.settings.is_loopback else None
    return ModelVersionRead(
        id=version.id,
        artifact_id=artifact_id,
        version=version.version,
        source_run_id=version.source_run_id,
        status="ready",
        metrics_json=dict(version.metrics),
        config_json=dict(version.config),
        provenance_json=dict(version.provenance),
        storage_uri=place.as_uri() if place else f"registry://{version.registry}/{version.sha256}",
        sha256=version.sha256,
        size_bytes=version.size_bytes,
        description=version.description,
        created_at=version.created_at,
    )
