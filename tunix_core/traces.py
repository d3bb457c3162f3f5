"""Traces: created one by one, imported from files, made by generators, read back in pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from attrs import evolve, frozen
from sqlite_utils import Database

from tunix_core.clock import new_id, now
from tunix_core.codec import content_key
from tunix_core.errors import NotFoundError, TunixError, UsageError
from tunix_core.files import write_atomically
from tunix_core.paths import WorkspacePaths
from tunix_core.plugins import Plugins
from tunix_core.protocols import Generator, Source, SourceRequest
from tunix_core.records import Rejected, StoredTrace, Trace
from tunix_core.store import traces as store
from tunix_core.store import write_transaction

BATCH = 1000
SPOOL_BYTES = 4 * 1024 * 1024

Progress = Callable[[int], None]


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
class ImportReport:
    """What became of a file's lines.

    Args:
        import_id: Names the stored traces, for ``datasets build --import``.
        file: The file.
        accepted: Traces that were stored.
        duplicates: Traces that were stored before for the same source.
        rejected: Lines that were refused.
        rejects_path: File that holds the refused lines with their reasons, or None.
    """

    import_id: str
    file: str
    accepted: int
    duplicates: int
    rejected: int
    rejects_path: Path | None


@frozen
class TraceScore:
    """The baseline score of a trace, 0 to 100, rounded to two decimals, with its parts."""

    trace_id: str
    score: float
    step_count: int
    avg_step_length: float
    total_chars: int
    step_score: float
    length_score: float


class Traces:
    """Stores and finds traces."""

    def __init__(self, database: Database, plugins: Plugins, paths: WorkspacePaths) -> None:
        self._database = database
        self._plugins = plugins
        self._paths = paths

    def create(self, trace: Trace) -> StoredTrace:
        """Store one trace as it is; the same content may be stored many times."""
        return self.create_many([trace])[0]

    def create_many(self, traces: Sequence[Trace]) -> list[StoredTrace]:
        """Store all of ``traces`` or none, in their order."""
        created_at = now()
        rows = [(new_id(), created_at, content_key(trace), trace) for trace in traces]
        with write_transaction(self._database) as connection:
            store.append(connection, rows)
        return [trace for trace in store.fetch(self._database, "id", [r[0] for r in rows]) if trace]

    def import_file(
        self,
        path: Path,
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
            on_progress: Called with the number of lines seen.

        Raises:
            UsageError: The file cannot be read, or holds no line at all.
        """
        reader = self._reader(path)
        importer = _Import(self._database, path, source, allow_duplicates, trace_ids)
        for batch in _batches(reader.read(SourceRequest(path)), BATCH):
            if importer.lines == 0:
                store.start_import(self._database, importer.id, now(), path.name)
            importer.store(batch)
            if on_progress is not None:
                on_progress(importer.lines)
        if importer.lines == 0:
            raise UsageError(f"{path} is empty", "it should hold one trace per line")
        rejects = importer.rejects.save(path, self._paths.root)
        store.complete_import(self._database, importer.id, now())
        return ImportReport(
            import_id=importer.id,
            file=str(path),
            accepted=importer.accepted,
            duplicates=importer.duplicates,
            rejected=importer.rejects.count,
            rejects_path=rejects,
        )

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
        generator = self._plugins.find("generator", name).create(settings)
        assert isinstance(generator, Generator)  # noqa: S101 - what the contribution promises
        for index in range(start, start + count):
            yield generator.item(split, seed, index).trace

    def get(self, trace_id: str) -> StoredTrace:
        """One trace.

        Raises:
            NotFoundError: There is none of this id.
        """
        trace = store.get(self._database, trace_id)
        if trace is None:
            raise NotFoundError(f"trace {trace_id!r} not found", "see: tunix-rt traces list")
        return trace

    def list(self, limit: int = 20, offset: int = 0) -> Page:
        """A page of traces, newest first; it costs the same at any depth."""
        items = store.page(self._database, limit + 1, offset)
        more = offset + limit if len(items) > limit else None
        return Page(tuple(items[:limit]), limit, offset, more)

    def count(self) -> int:
        """Number of stored traces."""
        return store.count(self._database)

    def score(self, trace_id: str) -> TraceScore:
        """The baseline score: up to 50 points each for the number and the length of steps."""
        trace = self.get(trace_id).trace
        lengths = [len(step.content) for step in trace.steps]
        average = sum(lengths) / len(lengths)
        step_score = min(len(lengths) / 10, 1) * 50
        length_score = min(average / 500, 1) * 50
        return TraceScore(
            trace_id=trace_id,
            score=round(step_score + length_score, 2),
            step_count=len(lengths),
            avg_step_length=round(average, 2),
            total_chars=sum(lengths),
            step_score=round(step_score, 2),
            length_score=round(length_score, 2),
        )

    def _reader(self, path: Path) -> Source:
        for provided in self._plugins.contributions("source"):
            suffixes = getattr(provided.contribution, "suffixes", ())
            if any(path.name.endswith(suffix) for suffix in suffixes):
                reader = provided.create()
                assert isinstance(reader, Source)  # noqa: S101 - what the contribution promises
                return reader
        default = self._plugins.find("source", "jsonl").create()
        assert isinstance(default, Source)  # noqa: S101 - what the contribution promises
        return default


class _Import:
    """Stores batches and keeps the counts."""

    def __init__(
        self,
        database: Database,
        path: Path,
        source: str | None,
        allow_duplicates: bool,
        trace_ids: list[str] | None,
    ) -> None:
        self.id = new_id()
        self.lines = 0
        self.accepted = 0
        self.duplicates = 0
        self.rejects = _Rejects()
        self._trace_ids = trace_ids
        self._database = database
        self._file_name = path.name
        self._source = source
        self._default_source = path.name.split(".")[0] or path.name
        self._allow_duplicates = allow_duplicates

    def store(self, batch: Sequence[Trace | Rejected]) -> None:
        """Store the good ones of a batch in one transaction."""
        traces = [entry for entry in batch if isinstance(entry, Trace)]
        for entry in batch:
            if isinstance(entry, Rejected):
                self.rejects.add(entry)
        keyed = [(content_key(trace), self._stamp(trace)) for trace in traces]
        pairs = [(store.source_of(trace), key) for key, trace in keyed]
        with write_transaction(self._database) as connection:
            ids = {} if self._allow_duplicates else store.known(connection, pairs)
            created_at = now()
            new = []
            given = []
            for pair, (key, trace) in zip(pairs, keyed, strict=True):
                trace_id = None if self._allow_duplicates else ids.get(pair)
                if trace_id is None:
                    trace_id = ids[pair] = new_id()
                    new.append((trace_id, created_at, key, trace))
                given.append(trace_id)
            store.append(connection, new, self.id)
            accepted = self.accepted + len(new)
            duplicates = self.duplicates + len(traces) - len(new)
            store.update_import(connection, self.id, (accepted, duplicates, self.rejects.count))
        self.accepted, self.duplicates = accepted, duplicates
        self.lines += len(batch)
        if self._trace_ids is not None:
            self._trace_ids += given

    def _stamp(self, trace: Trace) -> Trace:
        meta = dict(trace.meta or {})
        meta["source"] = self._source or store.source_of(trace) or self._default_source
        meta["ingest_source_file"] = self._file_name
        return evolve(trace, meta=meta)


class _Rejects:
    """Refused lines, kept in bounded memory until the import is over."""

    def __init__(self) -> None:
        self.count = 0
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed by save()

    def add(self, rejected: Rejected) -> None:
        fields = {"line": rejected.line, "problems": rejected.problems, "text": rejected.text}
        self._file.write((json.dumps(fields) + "\n").encode("utf-8"))
        self.count += 1

    def save(self, path: Path, fallback: Path) -> Path | None:
        """Write them beside the input, or into the workspace when that cannot be written."""
        with self._file as file:
            if self.count == 0:
                return None
            for folder in (path.parent, fallback):
                target = folder / f"{path.name}.rejects.jsonl"
                file.seek(0)
                try:
                    write_atomically(target, file)
                except OSError:
                    continue
                return target
        raise TunixError(f"cannot write the report of {self.count} rejected lines to {fallback}")


def _batches(entries: Iterator[Trace | Rejected], size: int) -> Iterator[list[Trace | Rejected]]:
    """Lists of ``size``; what was read before an error is handed on before the error is."""
    failure: TunixError | None = None
    while failure is None:
        batch: list[Trace | Rejected] = []
        try:
            for entry in islice(entries, size):
                batch.append(entry)
        except TunixError as error:
            failure = error
        if batch:
            yield batch
        elif failure is None:
            return
    raise failure
