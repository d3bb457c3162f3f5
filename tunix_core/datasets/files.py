"""A dataset on disk: made aside, made durable, and then made visible in one step."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tunix_core.base.clock import new_id
from tunix_core.base.files import atomic_file, sync_directory, write_atomically
from tunix_core.base.locks import FileLock
from tunix_core.codec import loads, structure, unstructure
from tunix_core.errors import ConflictError, IntegrityError, TunixError
from tunix_core.protocols import DataFile
from tunix_core.records import DatasetManifest

MANIFEST = "manifest.json"
DATA = "dataset.jsonl"
PROGRESS_EVERY = 500

Progress = Callable[[int, int], None]

_ASIDE = ".building-"
_ABANDONED_S = 60.0


def publish(
    root: Path,
    fields: Mapping[str, Any],
    generated: Mapping[str, Any],
    provenance: Mapping[str, Any],
    lines: Iterable[tuple[str, str]],
    on_progress: Progress | None,
) -> tuple[DatasetManifest, bool]:
    """Write a dataset below ``root``; it appears whole or not at all.

    Args:
        root: Directory of all datasets.
        fields: The manifest's fields that are known beforehand.
        generated: The provenance that the build knows; ``trace_count`` is the total.
        provenance: Merged over it.
        lines: (id, canonical JSON) of every trace, in order.
        on_progress: Called with (written, total).

    Returns:
        The manifest, and whether it is new; it is that of the present dataset when the key
        is taken by the same data.

    Raises:
        ConflictError: The key is taken by other data.
        TunixError: The disk is full or cannot be written.
    """
    key = fields["dataset_key"]
    _clear_abandoned(root)
    aside = root / f"{_ASIDE}{new_id()}"
    try:
        aside.mkdir()
        # Held while building: what is found unlocked was left behind by a killed build.
        with FileLock(aside / "lock"):
            measured = _write_data(aside / DATA, lines, int(generated["trace_count"]), on_progress)
            versions = measured.pop("generator_versions")
            origin = {**generated, "generator_versions": versions, **provenance}
            complete = {**fields, **measured, "provenance": origin}
            manifest = structure(DatasetManifest, complete, "manifest")
            if not (root / key / MANIFEST).exists():
                text = json.dumps(unstructure(manifest), indent=2, ensure_ascii=False) + "\n"
                write_atomically(aside / MANIFEST, text)
                (aside / "lock").unlink()
                if _rename(aside, root / key):
                    return manifest, True
            return _same(root / key, manifest), False
    except OSError as error:
        raise TunixError(f"cannot write dataset {key}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def scan(path: Path) -> tuple[str, int]:
    """SHA-256 in hex and number of lines of a data file.

    Raises:
        IntegrityError: The file is not there.
    """
    digest = hashlib.sha256()
    count = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                count += chunk.count(b"\n")
    except OSError as error:
        raise IntegrityError(
            f"dataset {path.parent.name}: cannot read {DATA}: {error.strerror}",
            "build it again as a new version",
        ) from error
    return digest.hexdigest(), count


def read_manifest(folder: Path) -> DatasetManifest:
    """What the dataset in a directory says of itself.

    Raises:
        OSError: It holds none.
        InvalidRecordError: The manifest was edited into something else.
    """
    text = (folder / MANIFEST).read_bytes()
    return structure(DatasetManifest, loads(text), f"manifest of {folder.name}")


def data_file(folder: Path) -> DataFile:
    """The data of the dataset in a directory, as its manifest describes it; nothing is checked.

    Raises:
        OSError: The directory holds no dataset.
        InvalidRecordError: The manifest was edited into something else.
    """
    manifest = read_manifest(folder)
    return DataFile(folder / DATA, manifest.record, manifest.sha256, manifest.trace_count)


def _write_data(
    path: Path, lines: Iterable[tuple[str, str]], total: int, on_progress: Progress | None
) -> dict[str, Any]:
    digest = hashlib.sha256()
    ids: list[str] = []
    steps: Counter[int] = Counter()
    characters = 0
    versions: dict[str, set[str]] = {}
    with atomic_file(path) as out:
        for trace_id, text in lines:
            line = f"{text}\n".encode()
            out.write(line)
            digest.update(line)
            ids.append(trace_id)
            trace = json.loads(text)
            steps[len(trace["steps"])] += 1
            characters += len(trace["prompt"]) + len(trace["final_answer"])
            characters += sum([len(step["content"]) for step in trace["steps"]])
            meta = trace["meta"] or {}
            if "version" in meta:
                versions.setdefault(str(meta.get("source")), set()).add(str(meta["version"]))
            if on_progress is not None and len(ids) % PROGRESS_EVERY == 0:
                on_progress(len(ids), total)
    if on_progress is not None:
        on_progress(len(ids), total)
    return {
        "trace_ids": ids,
        "trace_count": len(ids),
        "stats": {
            "trace_count": len(ids),
            "avg_step_count": round(sum(n * many for n, many in steps.items()) / len(ids), 4),
            "min_step_count": min(steps),
            "max_step_count": max(steps),
            "avg_total_chars": round(characters / len(ids), 4),
        },
        "sha256": digest.hexdigest(),
        "generator_versions": {name: sorted(versions[name]) for name in sorted(versions)},
    }


def _rename(aside: Path, target: Path) -> bool:
    """Make the directory visible; False when another build of the same key was faster."""
    try:
        aside.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync_directory(target.parent)
    return True


def _same(folder: Path, wanted: DatasetManifest) -> DatasetManifest:
    try:
        present = read_manifest(folder)
    except FileNotFoundError:
        raise ConflictError(f"{folder} is in the way", "move it away") from None
    if present.sha256 != wanted.sha256:
        raise ConflictError(
            f"dataset {wanted.dataset_key} exists with other data",
            "a dataset never changes: choose another version",
        )
    return present


def _clear_abandoned(root: Path) -> None:
    for folder in root.glob(f"{_ASIDE}*"):
        try:
            if time.time() - folder.stat().st_mtime < _ABANDONED_S:
                continue  # it may be about to be locked
            with FileLock(folder / "lock", wait_s=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (ConflictError, OSError):
            continue  # it is being built, or another build clears it
