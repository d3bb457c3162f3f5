"""What a dataset says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

# What a line of a dataset holds.
RecordKind = Literal["trace", "prompt", "preference"]


@frozen
class DatasetManifest:
    """What a dataset is and where it came from; written last, so that it never lies.

    The fields and their order are those of the wire contract, version 1.1 adding the hash of
    the data, the counts before filtering, the versions of the plugins and what a line holds as
    ``record``.
    """

    dataset_key: str
    build_id: str
    dataset_name: str
    dataset_version: str
    dataset_schema_version: str
    created_at: str
    filters: Mapping[str, Any]
    selection_strategy: Literal["latest", "random", "explicit", "mix"]
    seed: int | None
    # As many as there are traces: what is printed says their number.
    trace_ids: tuple[str, ...] = field(repr=False)
    trace_count: int
    stats: Mapping[str, Any]
    session_id: str | None
    parent_dataset_id: str | None
    training_run_id: str | None
    provenance: Mapping[str, Any]
    sha256: str
    record: RecordKind = "trace"
