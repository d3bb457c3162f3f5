"""Traces: created one by one, imported from files, made by generators, read back in pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from attrs import frozen
from sqlite_utils import Database

from tunix_core.clock import now
from tunix_core.codec import encode_members, trace_to_json
from tunix_core.errors import CapacityError, NotFoundError, UsageError
from tunix_core.importing import Importer, ImportReport, Progress
from tunix_core.paths import WorkspacePaths
from tunix_core.plugins import Plugins
from tunix_core.protocols import Generator, Source
from tunix_core.records import StoredTrace, Trace
from tunix_core.store import traces as store

__all__ = ["Comparison", "ImportReport", "Page", "Progress", "ScoredTrace", "TraceScore", "Traces"]


@frozen
class Page:
    """A part of a list, newest first.

    Args:
        items: The traces.
        limit: How many were asked for.
        offset: How many newer ones were passed over.
        next_offset: Where the next page begins, or None on the last.
    """

    items: tuple[StoredTrace, ...]
    limit: int
    offset: int
    next_offset: int | None


@frozen
class TraceScore:
    """The baseline score of a trace with its parts, rounded to two decimals.

    Args:
        trace_id: The trace.
        score: 0 to 100; the sum of the two parts.
        step_count: Number of steps.
        avg_step_length: Characters per step.
        total_chars: Characters of all steps.
        step_score: Up to 50 points, reached with 10 steps.
        length_score: Up to 50 points, reached with 500 characters per step.
    """

    trace_id: str
    score: float
    step_count: int
    avg_step_length: float
    total_chars: int
    step_score: float
    length_score: float


@frozen
class ScoredTrace:
    """A stored trace with its baseline score."""

    trace: StoredTrace
    score: TraceScore


@frozen
class Comparison:
    """Two traces side by side."""

    base: ScoredTrace
    other: ScoredTrace


class Traces:
    """Stores and finds traces.

    Args:
        database: The workspace's database.
        plugins: Where sources and generators come from.
        paths: The workspace's directories.
    """

    def __init__(self, database: Database, plugins: Plugins, paths: WorkspacePaths) -> None:
        self._database = database
        self._plugins = plugins
        self._paths = paths

    def create(self, trace: Trace) -> StoredTrace:
        """Store one trace as it is; the same content may be stored many times.

        Raises:
            InvalidRecordError: It holds what JSON does not have.
        """
        return self.create_many([trace])[0]

    def create_many(self, traces: Sequence[Trace]) -> list[StoredTrace]:
        """Store all of ``traces`` or none, in their order.

        Raises:
            InvalidRecordError: One of them holds what JSON does not have.
        """
        ids = store.insert_all(self._database, now(), [_as_it_is(trace) for trace in traces])
        return list(store.fetch(self._database, ids))

    def import_file(
        self,
        path: Path | str,
        source: str | None = None,
        *,
        allow_duplicates: bool = False,
        trace_ids: list[str] | None = None,
        on_progress: Progress | None = None,
    ) -> ImportReport:
        """Store every good line of a file and account for every other.

        Whole batches are stored or nothing of them. Done again, or after a kill, it stores only
        what is not there yet.

        Args:
            path: A file that one of the source plugins reads.
            source: Replaces ``meta.source``; by default a trace keeps its own, and one without
                gets the file's name without its endings.
            allow_duplicates: Store again what is stored for the same source.
            trace_ids: Is given the id of every accepted line, those of duplicates included.
            on_progress: Called after every batch with (bytes read, bytes in the file), or with
                (records, 0) when the source does not say how far it is.

        Raises:
            UsageError: The file cannot be read, or holds no record at all.
            TunixError: The stream is damaged, or the disk is full; batches before that stay.
        """
        path = Path(path)
        importer = Importer(
            self._database,
            self._reader(path),
            path,
            source=source,
            allow_duplicates=allow_duplicates,
            trace_ids=trace_ids,
        )
        return importer.run(self._paths.root, on_progress)

    def generate(
        self,
        name: str,
        *,
        split: str = "train",
        start: int = 0,
        count: int,
        seed: int = 42,
        settings: Mapping[str, Any] | None = None,
    ) -> Iterator[Trace]:
        """Traces ``start`` to ``start + count`` of a generator; nothing is stored.

        Raises:
            UsageError: No such generator, or a setting that it refuses.
            CapacityError: It has fewer distinct items.
        """
        generator: Generator = self._plugins.find("generator", name).create(settings)
        if start < 0 or count < 0:
            raise UsageError(f"start {start} and count {count} must be 0 or more")
        capacity = generator.capacity(split)
        if start + count > capacity:
            raise CapacityError(
                f"{name} has {capacity} distinct items in split {split!r}, "
                f"{start + count} were asked for",
                "ask for fewer, or widen its settings",
            )
        return (generator.item(split, seed, i).trace for i in range(start, start + count))

    def get(self, trace_id: str) -> StoredTrace:
        """One trace.

        Args:
            trace_id: A UUID in any of its spellings.

        Raises:
            NotFoundError: There is none of this id.
        """
        try:
            trace = store.get(self._database, str(UUID(trace_id)))
        except ValueError:
            trace = None
        if trace is None:
            raise NotFoundError(f"trace {trace_id!r} not found", "see: tunix-rt traces list")
        return trace

    def list(self, limit: int = 20, offset: int = 0) -> Page:
        """A page of traces, newest first; it costs the same at any depth.

        Raises:
            UsageError: ``limit`` is below 1 or ``offset`` below 0.
        """
        if limit < 1 or offset < 0:
            raise UsageError("limit must be 1 or more and offset 0 or more")
        items = store.page(self._database, limit + 1, offset)
        more = offset + limit if len(items) > limit else None
        return Page(tuple(items[:limit]), limit, offset, more)

    def count(self) -> int:
        """Number of stored traces."""
        return store.count(self._database)

    def score(self, trace_id: str) -> TraceScore:
        """The baseline score: up to 50 points each for the number and the length of steps.

        Raises:
            NotFoundError: There is no such trace.
        """
        return _score(self.get(trace_id))

    def compare(self, base: str, other: str) -> Comparison:
        """Two traces with their baseline scores.

        Raises:
            NotFoundError: One of them is not stored; the message says which.
        """
        found = []
        for which, trace_id in (("Base", base), ("Other", other)):
            try:
                trace = self.get(trace_id)
            except NotFoundError as error:
                raise NotFoundError(f"{which} {error.message}", error.hint) from None
            found.append(ScoredTrace(trace, _score(trace)))
        return Comparison(*found)

    def _reader(self, path: Path) -> Source:
        """The source whose longest suffix the file has; JSONL reads what nobody claims."""
        claims = [
            (len(suffix), provided.full_name)
            for provided in self._plugins.contributions("source")
            for suffix in getattr(provided.contribution, "suffixes", ())
            if path.name.endswith(suffix)
        ]
        name = max(claims)[1] if claims else "jsonl"
        reader: Source = self._plugins.find("source", name).create()
        return reader


def _as_it_is(trace: Trace) -> store.NewTrace:
    body = trace_to_json(trace)
    meta = trace.meta or {}
    own = meta.get("source")
    return store.NewTrace(
        source=own if isinstance(own, str) else None,
        content_key=hashlib.sha256(body.encode()).digest(),
        body=body,
        members=encode_members(meta),
    )


def _score(stored: StoredTrace) -> TraceScore:
    lengths = [len(step.content) for step in stored.trace.steps]
    average = sum(lengths) / len(lengths)
    step_score = min(len(lengths) / 10, 1) * 50
    length_score = min(average / 500, 1) * 50
    return TraceScore(
        trace_id=stored.id,
        score=round(step_score + length_score, 2),
        step_count=len(lengths),
        avg_step_length=round(average, 2),
        total_chars=sum(lengths),
        step_score=round(step_score, 2),
        length_score=round(length_score, 2),
    )
