"""Datasets as they lie on disk: found, checked against their manifests, and read."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from tunix_core.codec import loads, trace_from_json
from tunix_core.datasets.files import DATA, MANIFEST, read_manifest, scan
from tunix_core.errors import IntegrityError, NotFoundError, did_you_mean
from tunix_core.records import DatasetManifest, Item

MAX_KEY_CHARS = 200
# Of a larger manifest, which is large by its trace ids, an outline reads only the two ends.
WHOLE_BYTES = 256 * 1024
END_BYTES = 64 * 1024

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def is_key(key: str) -> bool:
    """Whether a text is a safe directory name for a dataset."""
    return _KEY.fullmatch(key) is not None and len(key) <= MAX_KEY_CHARS


def keys(root: Path) -> tuple[str, ...]:
    """The keys of the datasets below ``root``, sorted."""
    found = (path.parent.name for path in root.glob(f"*/{MANIFEST}"))
    return tuple(sorted(key for key in found if is_key(key)))


def find_manifest(root: Path, key: str) -> DatasetManifest:
    """The manifest of a dataset below ``root``.

    Raises:
        NotFoundError: There is no such dataset.
        InvalidRecordError: The manifest was edited into something else.
    """
    return read_manifest(_find(root, key).parent)


def find_outline(root: Path, key: str) -> Any:
    """The fields of a dataset's manifest; of a large one all but its trace ids.

    Raises:
        NotFoundError: There is no such dataset.
        InvalidRecordError: The manifest is damaged.
    """
    return outline(_find(root, key))


def _find(root: Path, key: str) -> Path:
    path = root / key / MANIFEST
    if not is_key(key) or not path.is_file():
        hint = did_you_mean(key, keys(root), "see: tunix-rt datasets list")
        raise NotFoundError(f"dataset {key!r} not found", hint)
    return path


def outline(path: Path) -> Any:
    """The fields of a manifest file; of a large one all but its trace ids."""
    size = path.stat().st_size
    if size > WHOLE_BYTES:
        with path.open("rb") as file:
            head, begins, _ = file.read(END_BYTES).partition(b'"trace_ids": [')
            file.seek(size - END_BYTES)
            _, ends, tail = file.read().rpartition(b'],\n  "trace_count":')
        if begins and ends:
            return loads(head + begins + ends + tail)
    return loads(path.read_bytes())


def verify(root: Path, key: str) -> DatasetManifest:
    """Recompute the hash and the count of a dataset's data.

    Raises:
        NotFoundError: There is no such dataset.
        IntegrityError: The data is not what the manifest says.
    """
    manifest = find_manifest(root, key)
    digest, count = scan(root / key / DATA)
    if digest != manifest.sha256:
        problem = f"has sha256 {digest[:16]}…, {manifest.sha256[:16]}… was built"
    elif not count == manifest.trace_count == len(manifest.trace_ids):
        problem = f"holds {count} items, the manifest names {len(manifest.trace_ids)}"
    elif manifest.dataset_key != key:
        problem = f"is that of {manifest.dataset_key}"
    else:
        return manifest
    raise IntegrityError(
        f"dataset {key}: {DATA} {problem}", "it was changed: build it again as a new version"
    )


def read_items(root: Path, key: str, wanted: Container[str] | None = None) -> Iterator[Item]:
    """The items of a dataset in order; the data is checked before the first.

    Args:
        root: Directory of all datasets.
        key: The dataset.
        wanted: Ids of the items that are read; all by default.

    Raises:
        NotFoundError: There is no such dataset.
        IntegrityError: The data is not what the manifest says.
    """
    manifest = verify(root, key)
    return _items(root / key / DATA, manifest, wanted)


def _items(data: Path, manifest: DatasetManifest, wanted: Container[str] | None) -> Iterator[Item]:
    with data.open("rb") as file:
        for trace_id, line in zip(manifest.trace_ids, file, strict=True):
            if wanted is None or trace_id in wanted:
                yield Item(trace_id, trace_from_json(line))
