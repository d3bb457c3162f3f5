"""Datasets on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from tunix_http.wire.common import Id, Integer


class BuildRequest(BaseModel):
    """Which traces a dataset shall hold.

    ``filters`` are top-level keys of ``meta`` with the values they must equal; ``random`` needs
    a ``seed``; ``provenance`` is merged over the generated provenance. References whose own answer
    would count as wrong, or that contradict each other, are named in the manifest, and left out
    where ``keep_faulty`` is false.
    """

    dataset_name: str = Field(min_length=1, max_length=128)
    dataset_version: str = Field(min_length=1, max_length=64)
    filters: dict[str, Any] = {}
    limit: int = Field(100, ge=1, le=10_000)
    selection_strategy: Literal["latest", "random"] = "latest"
    seed: Integer | None = None
    session_id: str | None = Field(None, max_length=128)
    parent_dataset_id: str | None = Field(None, max_length=256)
    training_run_id: str | None = Field(None, max_length=128)
    provenance: dict[str, Any] = {}
    keep_faulty: bool = True


class DatasetBuilt(BaseModel):
    """The dataset; off loopback ``manifest_path`` is relative to the workspace.

    The manifest names the first faulty references under ``provenance.faulty``.
    """

    dataset_key: str
    build_id: Id
    trace_count: int
    manifest_path: str


class IngestRequest(BaseModel):
    """A file on the server, below a directory that it may read."""

    path: str
    source_name: str


class IngestQuery(BaseModel):
    """The source of traces that are sent as ``application/x-ndjson``; needed for these."""

    source_name: str = ""


class RejectedLine(BaseModel):
    """A line that holds no trace, with every problem."""

    line: int
    problems: list[str]


class Ingested(BaseModel):
    """What became of the lines.

    ``ingested_count`` counts the good ones, stored now (``created_count``) or before from the same
    source (``duplicate_count``). ``trace_ids`` are theirs, in order, at most the first 10,000;
    ``rejected`` shows the first 100 of the others.
    """

    ingested_count: int
    trace_ids: list[Id]
    trace_ids_truncated: bool
    created_count: int
    duplicate_count: int
    rejected_count: int
    rejected: list[RejectedLine]


class DatasetParameters(BaseModel):
    """A dataset in a path."""

    dataset_key: str


class ExportQuery(BaseModel):
    """The form of the lines."""

    format: Literal["trace", "tunix_sft", "training_example", "show_your_work"] = "trace"
