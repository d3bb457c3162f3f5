"""Training: what is available, exports for it, and runs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import Response

from tunix_core import Workspace
from tunix_core.codec import check_json
from tunix_core.contributions import DEFAULT, TRAINER
from tunix_core.errors import UsageError
from tunix_core.records import Run, RunMode, TrainingRequest
from tunix_core.runs.requests import manifest_yaml, training_manifest
from tunix_http.operations import Call, Operations
from tunix_http.streams.lines import NDJSON, lines_response
from tunix_http.wire.refusals import RequestRefused, item
from tunix_http.wire.run_views import run_response
from tunix_http.wire.tunix import (
    RunQuery,
    RunRequest,
    SftExportRequest,
    SftManifest,
    SftManifestRequest,
    TunixStatus,
)
from tunix_http.wire.tunix_runs import RunResponse

operations = Operations("tunix")

SFT = "tunix_sft"
NO_RUNTIME = "Tunix runtime not available"


@operations.get("/api/tunix/status", "getTunixStatus", returns=TunixStatus)
def status(workspace: Workspace, call: Call) -> TunixStatus:
    """Say whether models can be trained here."""
    name = call.services.settings.default_trainer
    wanted = "a trainer" if name == DEFAULT else f"the trainer {name!r}"
    try:
        provided = workspace.plugins.find(TRAINER, name)
        provided.config_class()
    except UsageError as error:
        return TunixStatus(
            available=False,
            version=None,
            runtime_required=True,
            message=f"{NO_RUNTIME}: {error.message}; dry-run mode works without it. "
            f"Training needs a plugin with {wanted}: install one, see tunix-rt doctor",
        )
    return TunixStatus(
        available=True,
        version=provided.distribution_version,
        runtime_required=False,
        message=f"The trainer {provided.full_name} is available",
    )


@operations.post(
    "/api/tunix/sft/export",
    "exportSft",
    body=SftExportRequest,
    media_type=NDJSON,
    errors={400: "Nothing is named, or an id is malformed", 404: "There is no such dataset"},
)
async def export(call: Call) -> Response:
    """Traces as lines to train on, in chat form.

    Those of a dataset in its order, or those named in theirs; unknown ones are left out.
    """
    body: SftExportRequest = call.body
    if body.dataset_key is None and not body.trace_ids:
        raise HTTPException(400, "give dataset_key or trace_ids")
    return await lines_response(
        call.services.open_workspace, lambda workspace: _sft_lines(workspace, body)
    )


@operations.post(
    "/api/tunix/sft/manifest",
    "createSftManifest",
    body=SftManifestRequest,
    returns=SftManifest,
    status=201,
    errors={404: "There is no such dataset"},
)
def create_manifest(workspace: Workspace, call: Call) -> SftManifest:
    """Write a training down as YAML.

    Nothing is stored, and nothing is trained.
    """
    body: SftManifestRequest = call.body
    dataset = workspace.datasets.manifest(body.dataset_key)
    manifest = training_manifest(TrainingRequest(**body.model_dump()))
    return SftManifest(
        manifest_yaml=manifest_yaml(manifest),
        dataset_key=body.dataset_key,
        model_id=body.model_id,
        message=f"Training manifest for {dataset.trace_count} traces of {body.dataset_key}",
    )


@operations.post(
    "/api/tunix/run",
    "startRun",
    query=RunQuery,
    body=RunRequest,
    returns=RunResponse,
    errors={400: "There is no such trainer", 501: "The server's trainer is not installed"},
)
async def run(call: Call) -> RunResponse:
    """Train, or only validate: ``dry_run`` is the default.

    The answer comes when the run has ended, whatever came of it; with ``mode=async`` at once,
    and a worker executes the run.
    """
    services = call.services
    if call.query.mode == "async":
        return await services.quick.run(_submit, call)
    return await services.long.run(_execute, call)


def _sft_lines(workspace: Workspace, body: SftExportRequest) -> Iterator[str]:
    if body.dataset_key is not None:
        return islice(workspace.datasets.export(body.dataset_key, SFT), body.limit)
    trace_ids = [_trace_id(text) for text in body.trace_ids or ()]
    return workspace.traces.export_lines(SFT, trace_ids=trace_ids, limit=body.limit)


def _trace_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise HTTPException(400, f"trace id {text[:64]!r} is no UUID") from None


def _submit(workspace: Workspace, call: Call) -> RunResponse:
    # As it was enqueued, even if a worker has taken it already.
    return _response(workspace, call, _enqueue(workspace, call))


def _execute(workspace: Workspace, call: Call) -> RunResponse:
    body: RunRequest = call.body
    if not body.dry_run:
        _need_runtime(workspace, call)
    submitted = _enqueue(workspace, call)
    return _response(workspace, call, call.services.execute(workspace, submitted.id))


def _enqueue(workspace: Workspace, call: Call) -> Run:
    body: RunRequest = call.body
    check_json(body.settings, "$.settings", "settings")
    asked = body.model_dump(exclude={"dry_run", "trainer"})
    mode: RunMode = "dry-run" if body.dry_run else "local"
    try:
        return workspace.runs.submit(TrainingRequest(**asked, trainer=_trainer(call), mode=mode))
    except UsageError as error:
        # Whatever else is wrong with a request shows when it is executed.
        refused = item("value_error", ("body", "output_dir"), str(error), body.output_dir)
        raise RequestRefused([refused]) from error


def _response(workspace: Workspace, call: Call, run: Run) -> RunResponse:
    return run_response(workspace, run, call.services.settings.tunix_output_max_bytes)


def _trainer(call: Call) -> str:
    named: str | None = call.body.trainer
    return named or call.services.settings.default_trainer


def _need_runtime(workspace: Workspace, call: Call) -> None:
    """Refuse to wait for a run that cannot begin.

    Raises:
        HTTPException: 501 when the server's own trainer is missing.
        UsageError: The request names one that is.
    """
    try:
        workspace.plugins.find(TRAINER, _trainer(call)).config_class()
    except UsageError as error:
        if call.body.trainer is not None:
            raise
        raise HTTPException(501, f"{NO_RUNTIME}: {error.message}; try dry_run") from error
