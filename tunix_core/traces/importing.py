"""Import of traces: batches, each stored whole, and a report of every record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from attrs import evolve, frozen

from tunix_core.base.clock import new_id, now
from tunix_core.base.files import atomic_file
from tunix_core.codec import canonical_bytes, with_meta
from tunix_core.errors import TunixError, UsageError
from tunix_core.evaluators.answer_spec import answer_problems
from tunix_core.records import Rejected, Trace
from tunix_core.store import Store
from tunix_core.store.traces import NewTrace

BATCH_RECORDS = 4096
BATCH_CHARS = 16 * 1024 * 1024
SPOOL_BYTES = 4 * 1024 * 1024
MAX_REASONS = 100
MAX_PROBLEMS = 20
MAX_PROBLEM_CHARS = 500

Progress = Callable[[int, int], None]
Record = NewTrace | Rejected


@frozen
class ImportReport:
    """What became of what was imported; blank lines of a file are not counted.

    Args:
        import_id: Names the stored traces, for ``datasets build --import``.
        file: The file, or None when the traces did not come from one.
        accepted: Traces that were stored.
        duplicates: Traces that were stored before for the same source, and were passed over.
        rejected: Lines that were refused.
        rejects_path: File that holds the refused lines with their reasons, or None.
        reasons: The first of the refused lines, each with the first of its problems.
    """

    import_id: str
    file: str | None
    accepted: int
    duplicates: int
    rejected: int
    rejects_path: Path | None
    reasons: tuple[Rejected, ...] = ()


class Importer:
    """Takes records in and stores what is good; used once.

    Args:
        store: What the workspace holds.
        records: Traces, and what a source refused.
        path: The file that they come from, or None.
        source: Replaces ``meta.source`` of every trace, or None.
        allow_duplicates: Store again what is stored for the same source.
        trace_ids: Is given the id of every accepted record.
        keep_rejects: Write a file of all refused lines; the first are reported in any case.
    """

    def __init__(
        self,
        store: Store,
        records: Iterable[Trace | Rejected],
        path: Path | None,
        *,
        source: str | None = None,
        allow_duplicates: bool = False,
        trace_ids: list[str] | None = None,
        keep_rejects: bool = True,
    ) -> None:
        self.id = new_id()
        self._store = store
        self._records = records
        self._path = path
        self._stamps = {} if path is None else {"ingest_source_file": path.name}
        self._source = source
        self._default_source = None if path is None else path.name.split(".")[0] or path.name
        self._allow_duplicates = allow_duplicates
        self._trace_ids = trace_ids
        self._accepted = 0
        self._duplicates = 0
        self._rejects = _Rejects(keep_rejects)

    def run(self, fallback: Path, on_progress: Progress | None) -> ImportReport:
        """Import everything; the rejects go beside the input, or else into ``fallback``.

        Raises:
            UsageError: The file cannot be read, or there is no record at all.
            TunixError: The stream is damaged, or the disk is full; batches before that stay.
        """
        begun = False
        records = 0
        rejects_path: Path | None = None
        self._store.traces.prepare_bulk()
        try:
            for batch in _batches(map(self._prepared, count(1), self._records)):
                if not begun:
                    source = self._source or ""
                    name = "" if self._path is None else self._path.name
                    self._store.imports.start(self.id, now(), source, name)
                    begun = True
                self._take(batch)
                records += len(batch)
                if on_progress is not None:
                    on_progress(records, 0)
        except TunixError as error:
            if not begun:
                raise
            stored = f"{self._accepted} traces were stored before that, as import {self.id}"
            raise TunixError(error.message, f"{stored}; run it again to go on") from error
        finally:
            rejects_path = self._rejects.save(self._path, fallback)
        if not begun:
            raise _nothing(self._path)
        self._store.imports.complete(self.id, now())
        return ImportReport(
            import_id=self.id,
            file=None if self._path is None else str(self._path),
            accepted=self._accepted,
            duplicates=self._duplicates,
            rejected=self._rejects.count,
            rejects_path=rejects_path,
            reasons=tuple(self._rejects.first),
        )

    def _take(self, batch: Sequence[Record]) -> None:
        """Store the good records of a batch in one transaction."""
        new = [record for record in batch if isinstance(record, NewTrace)]
        for record in batch:
            if isinstance(record, Rejected):
                self._rejects.add(record)
        with self._store.transaction():
            appended = self._store.traces.append_batch(
                now(), new, self.id, keep_duplicates=self._allow_duplicates
            )
            accepted = self._accepted + appended.stored
            duplicates = self._duplicates + len(new) - appended.stored
            self._store.imports.update(self.id, accepted, duplicates, self._rejects.count)
        self._accepted, self._duplicates = accepted, duplicates
        if self._trace_ids is not None:
            self._trace_ids.extend(appended.ids)

    def _prepared(self, number: int, record: Trace | Rejected) -> NewTrace | Rejected:
        """A trace with its origin in its meta; its content key is that of the input."""
        if isinstance(record, Rejected):
            return record
        if problems := answer_problems(record.meta):
            return Rejected(number, problems, record.prompt[:MAX_PROBLEM_CHARS])
        own = (record.meta or {}).get("source")
        source = self._source or (own if isinstance(own, str) and own else self._default_source)
        stamps = self._stamps if source is None else {**self._stamps, "source": source}
        return new_trace(record, source, stamps)


def new_trace(trace: Trace, source: str | None, stamps: Mapping[str, str]) -> NewTrace:
    """A trace as it is stored, with ``stamps`` in its meta; its content key knows none of them.

    Raises:
        InvalidRecordError: It holds what JSON does not have.
    """
    meta = trace.meta or {}
    text = canonical_bytes(trace)
    content_key = hashlib.sha256(text).digest()
    if not stamps.items() <= meta.items():
        meta = {**meta, **stamps}
        text = with_meta(text, trace.meta, meta)
    return NewTrace(source, content_key, text.decode(), meta)


def _nothing(path: Path | None) -> UsageError:
    if path is None:
        return UsageError("there is no trace to import")
    return UsageError(f"{path} is empty", "it should hold one trace per line")


class _Rejects:
    """Refused lines, kept in bounded memory until the import is over."""

    def __init__(self, keep: bool) -> None:
        self.count = 0
        self._keep = keep
        self.first: list[Rejected] = []
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed by save()

    def add(self, rejected: Rejected) -> None:
        if self._keep:
            fields = {"line": rejected.line, "problems": rejected.problems, "text": rejected.text}
            self._file.write((json.dumps(fields) + "\n").encode())
        self.count += 1
        if len(self.first) < MAX_REASONS:
            problems = tuple(p[:MAX_PROBLEM_CHARS] for p in rejected.problems[:MAX_PROBLEMS])
            self.first.append(evolve(rejected, problems=problems))

    def save(self, path: Path | None, fallback: Path) -> Path | None:
        """Write them beside the input, or into ``fallback`` when that cannot be written."""
        with self._file as file:
            if self.count == 0 or not self._keep or path is None:
                return None
            name = f"{path.name}.rejects.jsonl"
            for target in (path.parent / name, fallback / name):
                try:
                    _copy(file, target)
                except TunixError:
                    if target.parent == fallback:
                        raise
                    continue
                break
            return target


def _copy(file: Any, target: Path) -> None:
    file.seek(0)
    with atomic_file(target) as out:
        while chunk := file.read(1 << 20):
            out.write(chunk)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Bounded lists; what was read before an error is handed on before the error is."""
    failure: TunixError | None = None
    while failure is None:
        batch: list[Record] = []
        characters = 0
        try:
            for record in islice(records, BATCH_RECORDS):
                batch.append(record)
                if isinstance(record, NewTrace):
                    characters += len(record.body)
                if characters > BATCH_CHARS:
                    break
        except TunixError as error:
            failure = error
        if batch:
            yield batch
        elif failure is None:
            return
    raise failure
