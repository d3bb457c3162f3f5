"""Datasets: selections of traces, materialised, hashed, and immutable once built."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import frozen
from sqlite_utils import Database

from tunix_core import exports
from tunix_core.clock import new_id, now
from tunix_core.codec import loads, structure, trace_from_data, trace_line, unstructure
from tunix_core.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from tunix_core.files import sync_directory, write_atomically
from tunix_core.paths import WorkspacePaths
from tunix_core.plugins import Plugins
from tunix_core.records import DatasetManifest, Item, StoredTrace, Trace
from tunix_core.store import traces as store
from tunix_core.traces import ImportReport, Traces

SCHEMA_VERSION = "1.1"
MANIFEST = "manifest.json"
DATA = "dataset.jsonl"

Strategy = Literal["latest", "random"]
Progress = Callable[[int, int], None]

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def dataset_key(name: str, version: str) -> str:
    """``name-version`` with spaces and slashes replaced by ``_``.

    Raises:
        UsageError: The key would not be a safe directory name.
    """
    key = "-".join(re.sub(r"[ /]", "_", part) for part in (name, version))
    if not name or not version or not _KEY.fullmatch(key) or len(key) > 200:
        raise UsageError(
            f"{key!r} cannot be a dataset key", "use letters, digits, '.', '_' and '-'"
        )
    return key


@frozen
class _Selection:
    """Which traces, by their place in the store, and how they were chosen."""

    sequences: Sequence[int]
    matched: int
    strategy: Literal["latest", "random", "explicit", "mix"]


class Datasets:
    """Builds, reads, checks and exports datasets."""

    def __init__(
        self, database: Database, plugins: Plugins, paths: WorkspacePaths, traces: Traces
    ) -> None:
        self._database = database
        self._plugins = plugins
        self._paths = paths
        self._traces = traces

    def build(
        self,
        name: str,
        version: str,
        *,
        filters: Mapping[str, Any] | None = None,
        trace_ids: Sequence[str] | None = None,
        import_id: str | None = None,
        mix: Mapping[str, float] | None = None,
        strategy: Strategy = "latest",
        seed: int | None = None,
        limit: int | None = None,
        session_id: str | None = None,
        parent_dataset_id: str | None = None,
        training_run_id: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        on_progress: Progress | None = None,
    ) -> DatasetManifest:
        """Select traces and materialise them; newest first unless said otherwise.

        Args:
            name: Name of the dataset.
            version: Its version; together they are the key.
            filters: Top-level keys of ``meta`` with the values they must equal.
            trace_ids: Exactly these traces, in this order.
            import_id: The traces that one import stored.
            mix: Shares by ``meta.source``; needs ``limit``.
            strategy: ``latest`` takes the newest, ``random`` a sample by ``seed``.
            seed: Seed of the sample.
            limit: How many traces; all that match by default.
            session_id: Kept in the manifest.
            parent_dataset_id: Kept in the manifest.
            training_run_id: Kept in the manifest.
            provenance: Merged over the generated provenance.
            on_progress: Called with (written, total).

        Returns:
            The manifest; of the dataset that is there already when it holds the same data.

        Raises:
            UsageError: Nothing matches, or the request contradicts itself.
            NotFoundError: A trace id or import is unknown.
            ConflictError: The key is taken by other data.
        """
        key = dataset_key(name, version)
        if strategy == "random" and seed is None:
            raise UsageError("strategy random needs a seed")
        if sum(choice is not None for choice in (filters, trace_ids, import_id, mix)) > 1:
            raise UsageError("give one of filters, trace ids, an import or a mix")
        if mix is not None:
            selection = self._select_mix(mix, strategy, seed, limit)
        elif trace_ids is not None:
            selection = self._select_ids(trace_ids)
        elif import_id is not None:
            if not store.import_exists(self._database, import_id):
                raise NotFoundError(f"import {import_id!r} not found")
            matching = store.of_import(self._database, import_id)
            selection = _cut(matching, strategy, seed, limit)
        else:
            selection = self._select(filters or {}, strategy, seed, limit)
        if not selection.sequences:
            raise UsageError(f"dataset {key} would be empty: no trace matches")
        generated = {
            "schema_version": SCHEMA_VERSION,
            "source": "tunix_core",
            "build_timestamp": now(),
            "trace_count": len(selection.sequences),
            "selection_strategy": selection.strategy,
            **({} if seed is None else {"seed": seed}),
            "stored_count": self._traces.count(),
            "matched_count": selection.matched,
            **({} if mix is None else {"mix": dict(mix)}),
            **({} if import_id is None else {"import_id": import_id}),
            "plugins": self._plugins.versions(),
        }
        fields = {
            "dataset_key": key,
            "build_id": new_id(),
            "dataset_name": name,
            "dataset_version": version,
            "dataset_schema_version": SCHEMA_VERSION,
            "created_at": generated["build_timestamp"],
            "filters": dict(filters or {}),
            "selection_strategy": selection.strategy,
            "seed": seed,
            "session_id": session_id,
            "parent_dataset_id": parent_dataset_id,
            "training_run_id": training_run_id,
            "provenance": {**generated, **(provenance or {})},
        }
        return self._materialise(key, selection.sequences, fields, on_progress)

    def ingest(self, path: Path, source: str, trace_ids: list[str] | None = None) -> ImportReport:
        """Import a file with ``source`` as every trace's source."""
        return self._traces.import_file(path, source, trace_ids=trace_ids)

    def list(self) -> list[DatasetManifest]:
        """Every dataset, by key."""
        folders = sorted(path.parent for path in self._paths.datasets.glob(f"*/{MANIFEST}"))
        return [self.manifest(folder.name) for folder in folders]

    def manifest(self, key: str) -> DatasetManifest:
        """The manifest of a dataset.

        Raises:
            NotFoundError: There is no such dataset.
            InvalidRecordError: The manifest was edited into something else.
        """
        if not _KEY.fullmatch(key) or not (self._paths.dataset(key) / MANIFEST).is_file():
            raise NotFoundError(f"dataset {key!r} not found", "see: tunix-rt datasets list")
        text = (self._paths.dataset(key) / MANIFEST).read_bytes()
        return structure(DatasetManifest, loads(text), f"manifest of {key}")

    def data_path(self, key: str) -> Path:
        """The data file of a dataset: one canonical trace per line."""
        return self._paths.dataset(self.manifest(key).dataset_key) / DATA

    def items(self, key: str) -> Iterator[Item]:
        """The items of a dataset in order; their ids are the trace ids.

        Raises:
            IntegrityError: At the end, when the data is not what the manifest says.
        """
        manifest = self.manifest(key)
        digest = hashlib.sha256()
        count = 0
        with (self._paths.dataset(key) / DATA).open("rb") as file:
            for trace_id, line in zip(manifest.trace_ids, file, strict=False):
                digest.update(line)
                count += 1
                yield Item(trace_id, trace_from_data(loads(line)))
            rest = file.read(1)
        _check(manifest, digest.hexdigest(), count, bool(rest))

    def verify(self, key: str) -> DatasetManifest:
        """Recompute the hash of the data.

        Raises:
            IntegrityError: The data is not what the manifest says.
        """
        manifest = self.manifest(key)
        path = self._paths.dataset(key) / DATA
        if not path.is_file():
            raise IntegrityError(f"dataset {key}: {DATA} is missing")
        digest = hashlib.sha256()
        count = 0
        with path.open("rb") as file:
            for line in file:
                digest.update(line)
                count += 1
        _check(manifest, digest.hexdigest(), count, extra=False)
        return manifest

    def overlap(self, first: str, second: str) -> int:
        """Number of items of ``second`` whose question is in ``first``, spacing and case aside."""
        asked = {_question(item.trace) for item in self.items(first)}
        return sum(_question(item.trace) in asked for item in self.items(second))

    def export(self, key: str, export_format: str = "trace") -> Iterator[str]:
        """Lines of an export, in the order of the dataset.

        Args:
            key: The dataset.
            export_format: ``trace``, ``tunix_sft``, ``training_example`` or ``show_your_work``.

        Raises:
            NotFoundError: There is no such dataset.
            UsageError: There is no such format.
        """
        manifest = self.manifest(key)
        for stored in store.fetch(self._database, "id", manifest.trace_ids):
            if stored is not None:
                yield exports.export_line(stored, export_format)

    def _select(
        self, filters: Mapping[str, Any], strategy: Strategy, seed: int | None, limit: int | None
    ) -> _Selection:
        # The newest need not be told from older ones beyond the limit; a sample needs them all.
        bound = limit if strategy == "latest" else None
        return _cut(store.select(self._database, filters, bound), strategy, seed, limit)

    def _select_ids(self, trace_ids: Sequence[str]) -> _Selection:
        found = list(store.fetch(self._database, "id", trace_ids))
        for trace_id, stored in zip(trace_ids, found, strict=True):
            if stored is None:
                raise NotFoundError(f"trace {trace_id!r} not found")
        sequences = [stored.sequence for stored in found if stored is not None]
        return _Selection(sequences, len(sequences), "explicit")

    def _select_mix(
        self, mix: Mapping[str, float], strategy: Strategy, seed: int | None, limit: int | None
    ) -> _Selection:
        if limit is None:
            raise UsageError("a mix needs a limit")
        sequences: list[int] = []
        matched = 0
        for source, count in _shares(mix, limit).items():
            part = self._select({"source": source}, strategy, seed, count)
            if len(part.sequences) < count:
                raise UsageError(
                    f"source {source!r} has {len(part.sequences)} traces, the mix needs {count}"
                )
            sequences += part.sequences
            matched += part.matched
        return _Selection(sequences, matched, "mix")

    def _materialise(
        self,
        key: str,
        sequences: Sequence[int],
        fields: dict[str, Any],
        on_progress: Progress | None,
    ) -> DatasetManifest:
        folder = self._paths.dataset(key)
        temporary = self._paths.datasets / f".{key}.{new_id()}.tmp"
        temporary.mkdir()
        try:
            digest, ids, stats = self._write_data(temporary / DATA, sequences, on_progress)
            fields |= {
                "trace_ids": ids,
                "trace_count": len(ids),
                "stats": stats,
                "sha256": digest,
            }
            manifest = structure(DatasetManifest, fields, "manifest")
            if (folder / MANIFEST).exists():
                return self._same(manifest)
            text = json.dumps(unstructure(manifest), indent=2, ensure_ascii=False) + "\n"
            write_atomically(temporary / MANIFEST, text)
            try:
                temporary.rename(folder)
            except OSError:
                return self._same(manifest)
            sync_directory(self._paths.datasets)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._plugins.observe("tunix_dataset_built", manifest=manifest)
        return manifest

    def _same(self, wanted: DatasetManifest) -> DatasetManifest:
        present = self.manifest(wanted.dataset_key)
        if (present.sha256, present.trace_ids) != (wanted.sha256, wanted.trace_ids):
            raise ConflictError(
                f"dataset {wanted.dataset_key} exists with other data",
                "a dataset never changes: choose another version",
            )
        return present

    def _write_data(
        self, path: Path, sequences: Sequence[int], on_progress: Progress | None
    ) -> tuple[str, list[str], dict[str, Any]]:
        digest = hashlib.sha256()
        ids: list[str] = []
        steps: list[int] = []
        characters = 0
        with path.open("wb") as file:
            for stored in store.fetch(self._database, "sequence", sequences):
                assert stored is not None  # noqa: S101 - traces are never deleted
                line = (trace_line(stored.trace) + "\n").encode("utf-8")
                file.write(line)
                digest.update(line)
                ids.append(stored.id)
                steps.append(len(stored.trace.steps))
                characters += _characters(stored)
                if on_progress is not None and len(ids) % 500 == 0:
                    on_progress(len(ids), len(sequences))
            file.flush()
            os.fsync(file.fileno())
        stats = {
            "trace_count": len(ids),
            "avg_step_count": round(sum(steps) / len(steps), 4),
            "min_step_count": min(steps),
            "max_step_count": max(steps),
            "avg_total_chars": round(characters / len(ids), 4),
        }
        return digest.hexdigest(), ids, stats


def _cut(
    sequences: Sequence[int], strategy: Strategy, seed: int | None, limit: int | None
) -> _Selection:
    count = len(sequences) if limit is None else min(limit, len(sequences))
    if strategy == "latest":
        return _Selection(sequences[:count], len(sequences), "latest")
    sample = random.Random(f"dataset:{seed}").sample(sequences, count)  # noqa: S311
    return _Selection(sample, len(sequences), "random")


def _shares(mix: Mapping[str, float], limit: int) -> dict[str, int]:
    """Counts by largest remainder, so that they add up to ``limit``."""
    if not mix or any(share <= 0 for share in mix.values()):
        raise UsageError("every share of a mix must be more than 0")
    total = sum(mix.values())
    exact = {source: limit * share / total for source, share in sorted(mix.items())}
    counts = {source: int(value) for source, value in exact.items()}
    by_remainder = sorted(exact, key=lambda source: (counts[source] - exact[source], source))
    for source in by_remainder[: limit - sum(counts.values())]:
        counts[source] += 1
    return counts


def _characters(stored: StoredTrace) -> int:
    trace = stored.trace
    return (
        len(trace.prompt) + len(trace.final_answer) + sum(len(step.content) for step in trace.steps)
    )


def _check(manifest: DatasetManifest, digest: str, count: int, extra: bool) -> None:
    if digest != manifest.sha256 or count != manifest.trace_count or extra:
        raise IntegrityError(
            f"dataset {manifest.dataset_key}: {DATA} is not what was built "
            f"(sha256 {digest[:12]}, expected {manifest.sha256[:12]})",
            "build it again under another version",
        )


def _question(trace: Trace) -> str:
    return " ".join(trace.prompt.split()).casefold()
