"""Traces: created one by one, imported from files, made by generators, read back in pages."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from attrs import asdict, evolve

from tunix_core.base.clock import now
from tunix_core.base.pages import Page, PageJson, check_page
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import trace_from_canonical
from tunix_core.contributions import GAME, GENERATOR, SOURCE
from tunix_core.errors import CapacityError, NotFoundError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import Source, SourceRequest
from tunix_core.records import StoredTrace, Trace
from tunix_core.store import Store
from tunix_core.store.traces import NewTrace, TraceJson, TraceSummary
from tunix_core.traces import exports
from tunix_core.traces.importing import Importer, ImportReport, Progress, new_trace
from tunix_core.traces.scoring import (
    CRITERIA,
    Comparison,
    ScoredTrace,
    TraceScore,
    baseline_score,
)

__all__ = [
    "Comparison",
    "ImportReport",
    "Page",
    "Progress",
    "ScoredTrace",
    "TraceJson",
    "TraceScore",
    "TraceSummary",
    "Traces",
]

# From so many on, traces stored at once touch pages all over the indexes.
BULK = 100


class Traces:
    """Stores and finds traces.

    Args:
        store: What the workspace holds.
        plugins: Where sources and generators come from.
        paths: The workspace's directories.
    """

    def __init__(self, store: Store, plugins: Plugins, paths: WorkspacePaths) -> None:
        self._store = store
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
        created_at = now()
        new = [_as_it_is(trace) for trace in traces]
        if len(traces) >= BULK:
            self._store.traces.prepare_bulk()
        places = self._store.traces.append(created_at, new)
        return [
            StoredTrace(trace_id, sequence, created_at, own.content_key.hex(), _as_read(trace, own))
            for trace, own, (sequence, trace_id) in zip(traces, new, places, strict=True)
        ]

    def import_file(
        self,
        path: Path | str,
        source: str | None = None,
        *,
        allow_duplicates: bool = False,
        trace_ids: list[str] | None = None,
        max_record_bytes: int | None = None,
        keep_rejects: bool = True,
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
            max_record_bytes: A longer line is rejected without being held whole; by default the
                source has a limit of its own.
            keep_rejects: Write a file of all refused lines; the first are reported in any case.
            on_progress: Called after every batch with (bytes read, bytes in the file), or with
                (records, 0) when the source does not say how far it is.

        Raises:
            UsageError: The file cannot be read, or holds no record at all.
            TunixError: The stream is damaged, or the disk is full; batches before that stay.
        """
        path = Path(path)
        reader = self._reader(path)
        importer = Importer(
            self._store,
            reader.read(SourceRequest(path, max_record_bytes=max_record_bytes)),
            path,
            source=source,
            allow_duplicates=allow_duplicates,
            trace_ids=trace_ids,
            keep_rejects=keep_rejects,
        )
        return importer.run(self._paths.root, on_progress and _in_bytes(reader, path, on_progress))

    def import_traces(
        self,
        traces: Iterable[Trace],
        source: str | None = None,
        *,
        allow_duplicates: bool = False,
        trace_ids: list[str] | None = None,
        on_progress: Progress | None = None,
    ) -> ImportReport:
        """Store traces as :meth:`import_file` does: in batches, and each of them once.

        Args:
            traces: For example what :meth:`generate` gives; read as it is stored.
            source: Replaces ``meta.source``; by default a trace keeps its own.
            allow_duplicates: Store again what is stored for the same source.
            trace_ids: Is given the id of every trace, those of duplicates included.
            on_progress: Called after every batch with (traces, 0).

        Raises:
            UsageError: There is no trace.
            TunixError: A trace holds what JSON does not have, or the disk is full; batches before
                that stay.
        """
        importer = Importer(
            self._store,
            traces,
            None,
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
        generator = self._plugins.find(GENERATOR, name).create(settings)
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

    def play(
        self,
        game: str,
        count: int,
        seed: int | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> list[Trace]:
        """Episodes 0 to ``count`` of a game; nothing is stored.

        Args:
            game: Name of a game.
            count: How many episodes, 1 or more.
            seed: Any integer, kept in ``meta.seed``; without one, every call plays other episodes.
            settings: Settings of the game.

        Raises:
            UsageError: No such game, a setting that it refuses, or ``count`` is below 1.
        """
        player = self._plugins.find(GAME, game).create(settings)
        if count < 1:
            raise UsageError(f"count {count} must be 1 or more")
        if seed is None:
            drawn = secrets.randbits(63)
            return [player.episode(drawn, index) for index in range(count)]
        episodes = (player.episode(seed, index) for index in range(count))
        return [evolve(trace, meta={**(trace.meta or {}), "seed": seed}) for trace in episodes]

    def get(self, trace_id: str) -> StoredTrace:
        """One trace.

        Args:
            trace_id: A UUID in any of its spellings.

        Raises:
            NotFoundError: There is none of this id.
        """
        trace = self._store.traces.get(_canonical(trace_id))
        if trace is None:
            raise _unknown(trace_id)
        return trace

    def get_json(self, trace_id: str) -> TraceJson:
        """One trace as the JSON text that is stored, for those who only pass it on.

        Args:
            trace_id: A UUID in any of its spellings.

        Raises:
            NotFoundError: There is none of this id.
        """
        # Nearly always the id is in its canonical spelling.
        trace = self._store.traces.get_json(trace_id) or self._store.traces.get_json(
            _canonical(trace_id)
        )
        if trace is None:
            raise _unknown(trace_id)
        return trace

    def list(self, limit: int = 20, offset: int = 0) -> Page[StoredTrace]:
        """A page of traces, newest first; it costs the same at any depth.

        Raises:
            UsageError: ``limit`` is below 1 or ``offset`` below 0.
        """
        check_page(limit, offset)
        items = self._store.traces.page(limit + 1, offset)
        return Page.of(items, limit, offset)

    def summaries(
        self, limit: int = 20, offset: int = 0, filters: Mapping[str, Any] | None = None
    ) -> Page[TraceSummary]:
        """A page of what a list shows of traces, newest first; their bodies are not parsed.

        Args:
            limit: At most so many.
            offset: How many newer ones to pass over.
            filters: Top-level keys of ``meta`` with the values they must equal.

        Raises:
            UsageError: ``limit`` is below 1 or ``offset`` below 0.
            InvalidRecordError: A filter's value is not JSON.
        """
        check_page(limit, offset)
        items = self._store.traces.summaries(limit + 1, offset, filters)
        return Page.of(items, limit, offset)

    def page_json(self, limit: int = 20, offset: int = 0) -> PageJson:
        """A page of what :meth:`summaries` gives, as JSON that is only passed on.

        Raises:
            UsageError: ``limit`` is below 1 or ``offset`` below 0.
        """
        check_page(limit, offset)
        entries, more = self._store.traces.entries(limit, offset)
        return PageJson(entries, limit, offset, offset + limit if more else None)

    def sources(self) -> dict[str, int]:
        """Number of traces by ``meta.source``, the most frequent first."""
        return self._store.traces.count_sources()

    def export_lines(
        self,
        export_format: str = "trace",
        *,
        trace_ids: Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> Iterator[str]:
        """Lines of an export of stored traces, in bounded memory.

        Args:
            export_format: As for :meth:`Datasets.export`.
            trace_ids: These, in this order, those that are not stored left out; by default all
                traces, newest first.
            filters: Only traces whose ``meta`` has these values.
            limit: At most so many; all by default.

        Raises:
            UsageError: There is no such format, or ``limit`` is negative.
            InvalidRecordError: A filter's value is not JSON.
        """
        exports.check_format(export_format)
        if limit is not None and limit < 0:
            raise UsageError(f"limit {limit} must be 0 or more")
        matches = self._store.traces.match(filters or {}, None)
        if trace_ids is None:
            chosen = matches.descending()
        else:
            wanted = [_canonical(trace_id) for trace_id in trace_ids]
            stored = self._store.traces.sequences_of(wanted)
            sequences = (stored[trace_id] for trace_id in wanted if trace_id in stored)
            chosen = (sequence for sequence in sequences if sequence in matches)
        traces = self._store.traces.at(islice(chosen, limit))
        return (exports.export_line(trace, export_format) for trace in traces)

    def count(self) -> int:
        """Number of stored traces."""
        return self._store.traces.count()

    def score(self, trace_id: str) -> TraceScore:
        """The baseline score: up to 50 points each for the number and the length of steps.

        Raises:
            NotFoundError: There is no such trace.
        """
        return baseline_score(self.get(trace_id))

    def record_score(self, trace_id: str) -> TraceScore:
        """The baseline score, kept; every call records another.

        Raises:
            NotFoundError: There is no such trace.
        """
        trace = self.get(trace_id)
        scored = evolve(baseline_score(trace), scored_at=now())
        kept = asdict(scored, filter=lambda field, _: field.name in _SCORE_DETAILS)
        self._store.traces.insert_score(
            trace.sequence, str(scored.scored_at), CRITERIA, scored.score, kept
        )
        return scored

    def scores(self, trace_id: str) -> tuple[TraceScore, ...]:
        """The recorded scores of a trace, the newest first.

        Raises:
            NotFoundError: There is no such trace.
        """
        trace = self.get(trace_id)
        return tuple(
            TraceScore(trace_id=trace.id, score=score, scored_at=scored_at, **details)
            for scored_at, score, details in self._store.traces.scores(trace.sequence)
        )

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
            found.append(ScoredTrace(trace, baseline_score(trace)))
        return Comparison(*found)

    def _reader(self, path: Path) -> Source:
        """The source whose longest suffix the file has; JSONL reads what nobody claims."""
        claims = [
            (len(suffix), provided.full_name)
            for provided in self._plugins.all(SOURCE)
            for suffix in getattr(provided.contribution, "suffixes", ())
            if path.name.endswith(suffix)
        ]
        name = max(claims)[1] if claims else "jsonl"
        reader = self._plugins.find(SOURCE, name).create()
        return reader


def _in_bytes(reader: Source, path: Path, on_progress: Progress) -> Progress:
    """Progress in bytes where the source says how far it is."""

    def report(records: int, total: int) -> None:
        done = getattr(reader, "bytes_read", None)
        on_progress(*((records, total) if done is None else (done, path.stat().st_size)))

    return report


_SCALARS = frozenset({str, int, float, bool, type(None)})
_SCORE_DETAILS = (
    "step_count",
    "avg_step_length",
    "total_chars",
    "step_score",
    "length_score",
)


def _canonical(trace_id: str) -> str:
    """The one spelling that is stored; of what is no UUID, a text that no trace has."""
    try:
        return str(UUID(trace_id))
    except ValueError:
        return ""


def _unknown(trace_id: str) -> NotFoundError:
    return NotFoundError(f"trace {trace_id!r} not found", "see: tunix-rt traces list")


def _as_read(trace: Trace, stored: NewTrace) -> Trace:
    """The trace as the store gives it back, where a tuple in the meta has become a list."""
    if trace.meta is None or {type(value) for value in trace.meta.values()} <= _SCALARS:
        return trace
    return trace_from_canonical(stored.body)


def _as_it_is(trace: Trace) -> NewTrace:
    own = (trace.meta or {}).get("source")
    return new_trace(trace, own if isinstance(own, str) else None, {})
