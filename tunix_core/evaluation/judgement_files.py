"""Files of judgements, item by item: where they lie, and whether they are what was stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import structure
from tunix_core.errors import IntegrityError, NotFoundError
from tunix_core.evaluation.judges import Judge
from tunix_core.evaluation.predictions import PredictionSet
from tunix_core.records import Evaluation, Score

_AGAIN = "judge anew: tunix-rt eval run RUN --dataset KEY --again"


def newest_file(folder: Path, judge: Judge, predictions: PredictionSet, *, again: bool) -> Path:
    """Where judgements of predictions are written: the same judge goes on in the same file.

    Args:
        folder: Where those of the run and the dataset lie.
        judge: The judge; one of another version, or of another version of its distribution,
            has another file.
        predictions: What is judged.
        again: Begin another file.
    """
    version = judge.provided.distribution_version
    stem = f"{judge.file_name}-{version}-{predictions.sha256[:16]}"
    number = 1
    while _numbered(folder, stem, number + 1).exists():
        number += 1
    if again and _numbered(folder, stem, number).exists():
        number += 1
    return _numbered(folder, stem, number)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_unchanged(path: Path, sha256: str, first: Evaluation | None) -> None:
    """Refuse judgements that are not those which an earlier evaluation found in the same file.

    Args:
        path: The file.
        sha256: Its digest, all items judged.
        first: The evaluation for which it was written; None when there is none yet.

    Raises:
        IntegrityError: It was changed.
    """
    if first is not None and first.items_sha256 not in (None, sha256):
        raise IntegrityError(f"{path.name} was changed since evaluation {first.id}", _AGAIN)


def read_scores(paths: WorkspacePaths, evaluation: Evaluation) -> Iterator[Score]:
    """The judgement of every item, in the order of the dataset.

    Raises:
        NotFoundError: The file is not there; raised before the first.
        IntegrityError: The file was changed; raised before the first.
        InvalidRecordError: A line is no judgement.
    """
    path = paths.root / evaluation.items_path
    if not path.is_file():
        raise NotFoundError(f"evaluation {evaluation.id}: {evaluation.items_path} is missing")
    if evaluation.items_sha256 not in (None, digest(path)):
        raise IntegrityError(
            f"evaluation {evaluation.id}: {evaluation.items_path} was changed", _AGAIN
        )
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield structure(Score, json.loads(line), "score")


def _numbered(folder: Path, stem: str, number: int) -> Path:
    return folder / (f"{stem}.jsonl" if number == 1 else f"{stem}-{number}.jsonl")
