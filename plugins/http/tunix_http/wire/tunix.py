"""What the group ``tunix`` takes and gives: training requests, their manifests and exports."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from tunix_http.wire.common import Integer

DatasetKey = Annotated[str, Field(min_length=1, max_length=256)]
ModelId = Annotated[str, Field(min_length=1, max_length=256)]
OutputDir = Annotated[str, Field(min_length=1, max_length=512)]


class TunixStatus(BaseModel):
    """Whether training is possible here."""

    available: bool
    version: str | None
    runtime_required: bool
    message: str


class SftExportRequest(BaseModel):
    """Which traces to export; the dataset decides when both are named."""

    dataset_key: DatasetKey | None = None
    trace_ids: list[str] | None = Field(None, fail_fast=True)
    limit: int = Field(100, ge=1, le=10_000)


class Training(BaseModel):
    """How to train."""

    dataset_key: DatasetKey
    model_id: ModelId
    learning_rate: float = Field(2e-5, gt=0, le=1)
    weight_decay: float = Field(0.01, ge=0, le=1)
    num_epochs: int = Field(3, ge=1, le=100)
    batch_size: int = Field(8, ge=1, le=512)
    max_seq_length: int = Field(2048, ge=128, le=32_768)
    device: Literal["cpu", "cuda", "auto"] = "auto"


class SftManifestRequest(Training):
    """A training to be written down."""

    output_dir: OutputDir


class SftManifest(BaseModel):
    """A training as YAML."""

    manifest_yaml: str
    dataset_key: str
    model_id: str
    format: Literal["tunix_sft"] = "tunix_sft"
    message: str


class RunQuery(BaseModel):
    """How to run; only ``async`` has a meaning, anything else waits for the end."""

    mode: str | None = None


class RunRequest(Training):
    """A run to be made; what is wrong with it shows when it is executed.

    ``settings`` are the trainer's own and go before the fields of the same meaning.
    """

    output_dir: OutputDir | None = None
    dry_run: bool = True
    trainer: str | None = Field(None, min_length=1, max_length=256)
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: Integer = 0
    eval_dataset_key: DatasetKey | None = None
    time_budget_s: float | None = Field(None, gt=0, le=10**9)
