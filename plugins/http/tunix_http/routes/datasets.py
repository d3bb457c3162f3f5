"""Datasets: traces taken in, selected, and exported."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.responses import Response

from tunix_core import Workspace
from tunix_core.datasets.files import MANIFEST
from tunix_core.errors import ConflictError, TunixError, UsageError
from tunix_core.traces.service import ImportReport
from tunix_http.guards.ingestion import MAX_IDS, FirstIds, readable_file
from tunix_http.guards.request_body import stream_body_to_file
from tunix_http.operations import Call, Operations
from tunix_http.streams.lines import NDJSON, lines_response
from tunix_http.wire.datasets import (
    BuildRequest,
    DatasetBuilt,
    DatasetParameters,
    ExportQuery,
    Ingested,
    IngestQuery,
    IngestRequest,
    RejectedLine,
)
from tunix_http.wire.refusals import RequestRefused, item

UPLOAD = "upload.jsonl"

operations = Operations("datasets")


@operations.post(
    "/api/datasets/build",
    "buildDataset",
    body=BuildRequest,
    returns=DatasetBuilt,
    status=201,
    errors={409: "The key is taken by other data"},
    refusals={ConflictError: 409, UsageError: 422},
    pool="slow",
)
def build(workspace: Workspace, call: Call) -> DatasetBuilt:
    """Select traces and make them a dataset that never changes.

    Asked again for the same data, the dataset that is there is answered.
    """
    wanted: BuildRequest = call.body
    manifest = workspace.datasets.build(
        wanted.dataset_name,
        wanted.dataset_version,
        filters=wanted.filters,
        strategy=wanted.selection_strategy,
        seed=wanted.seed,
        limit=wanted.limit,
        session_id=wanted.session_id,
        parent_dataset_id=wanted.parent_dataset_id,
        training_run_id=wanted.training_run_id,
        provenance=wanted.provenance,
        keep_faulty=wanted.keep_faulty,
        on_progress=call.services.keep_on,
    )
    path = workspace.paths.dataset(manifest.dataset_key) / MANIFEST
    if not call.services.settings.is_loopback:
        path = path.relative_to(workspace.paths.root)
    return DatasetBuilt(
        dataset_key=manifest.dataset_key,
        build_id=manifest.build_id,
        trace_count=manifest.trace_count,
        manifest_path=str(path),
    )


@operations.post(
    "/api/datasets/ingest",
    "ingestDataset",
    query=IngestQuery,
    body=IngestRequest,
    raw_body=NDJSON,
    returns=Ingested,
    status=201,
    errors={400: "The file may not be read, or holds no valid line"},
)
async def ingest(call: Call) -> Ingested:
    """Store every good line of a file and account for every other.

    The file lies on the server, or is sent as ``application/x-ndjson`` with ``source_name`` in the
    query. Asked again, nothing is stored twice and the answer is the same.
    """
    slow, settings = call.services.slow, call.services.settings
    with TemporaryDirectory(prefix="tunix-ingest-") as folder:
        if isinstance(call.body, IngestRequest):
            file = readable_file(call.body.path, settings)
            link = Path(folder) / file.name
            link.symlink_to(file)
            return await slow.run(_ingest, call, link, call.body.path, call.body.source_name)
        if not call.query.source_name:
            raise RequestRefused([item("missing", ("query", "source_name"), "Field required")])
        upload = Path(folder) / UPLOAD
        await stream_body_to_file(
            call.request, upload, settings.max_upload_bytes, settings.max_line_bytes
        )
        return await slow.run(_ingest, call, upload, UPLOAD, call.query.source_name)


@operations.get(
    "/api/datasets/{dataset_key}/export.jsonl",
    "exportDataset",
    parameters=DatasetParameters,
    query=ExportQuery,
    media_type=NDJSON,
    errors={404: "There is no such dataset"},
)
async def export(call: Call) -> Response:
    """The traces of a dataset as lines, in its order."""
    key, form = call.path.dataset_key, call.query.format
    return await lines_response(
        call.services.open_workspace, lambda workspace: workspace.datasets.export(key, form)
    )


def _ingest(workspace: Workspace, call: Call, path: Path, given: str, source: str) -> Ingested:
    ids = FirstIds()
    try:
        report = workspace.traces.import_file(
            path,
            source,
            trace_ids=ids,
            max_record_bytes=call.services.settings.max_line_bytes,
            # A small file can hold so many bad lines that theirs would fill the disk.
            keep_rejects=False,
            on_progress=call.services.keep_on,
        )
    except TunixError as error:
        # The client knows the file by the name that it gave.
        error.message = error.message.replace(str(path), given)
        raise
    good = report.accepted + report.duplicates
    if not good:
        raise UsageError(f"{given} holds no valid line", _first_problem(report))
    return Ingested(
        ingested_count=good,
        trace_ids=ids,
        trace_ids_truncated=good > MAX_IDS,
        created_count=report.accepted,
        duplicate_count=report.duplicates,
        rejected_count=report.rejected,
        rejected=[
            RejectedLine(line=rejected.line, problems=list(rejected.problems))
            for rejected in report.reasons
        ],
    )


def _first_problem(report: ImportReport) -> str:
    first = report.reasons[0]
    return f"line {first.line}: {first.problems[0]}"
