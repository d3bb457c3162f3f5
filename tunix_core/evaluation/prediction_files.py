"""What lies in a directory of predictions, for those who write them and those who look on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.errors import IntegrityError
from tunix_core.records import Completion
from tunix_core.runs import stored
from tunix_core.runs.folder import RunFolder

DATA = "predictions.jsonl"
META = "predictions_meta.json"
_SAID = frozenset(("run_id", "dataset_key", "sha256", "generation_config"))


def folder_of(paths: WorkspacePaths, run_id: str, dataset_key: str) -> Path:
    """Where a run's predictions for a dataset lie."""
    return RunFolder(paths.run(run_id)).predictions(dataset_key)


def format_line(completion: Completion) -> str:
    """A completion as a line of a predictions file."""
    fields = unstructure(completion)
    if not completion.token_ids:
        del fields["token_ids"], fields["logprobs"]
    # The wire contract's names come first; readers of it ignore the others.
    line = {"trace_id": fields.pop("item_id"), "prediction": fields.pop("text"), **fields}
    return json.dumps(line, ensure_ascii=False)


def parse_line(line: bytes) -> Completion:
    """A line of a predictions file."""
    fields = json.loads(line)
    return Completion(
        item_id=fields["trace_id"],
        text=fields["prediction"],
        stop=fields["stop"],
        tokens=fields["tokens"],
        sample=fields["sample"],
        token_ids=tuple(fields.get("token_ids", ())),
        logprobs=tuple(fields.get("logprobs", ())),
    )


def read_meta(folder: Path) -> dict[str, Any] | None:
    """What finished predictions say of themselves; None while they are not finished.

    Raises:
        IntegrityError: The file is damaged.
    """
    path = folder / META
    meta = stored.read(path, dict[str, Any])
    if meta is not None and not meta.keys() >= _SAID:
        raise stored.damaged(path, "it does not say what was answered, and how")
    return meta


def read_completions(folder: Path, meta: Mapping[str, object]) -> list[Completion]:
    """Finished predictions in the order they were made.

    Args:
        folder: Where they lie.
        meta: What they say of themselves.

    Raises:
        IntegrityError: The file was changed after it was finished.
    """
    content = (folder / DATA).read_bytes()
    if hashlib.sha256(content).hexdigest() != meta["sha256"]:
        of = f"run {meta['run_id']} for {meta['dataset_key']}"
        raise IntegrityError(f"predictions of {of} were changed")
    return [parse_line(line) for line in content.splitlines()]
