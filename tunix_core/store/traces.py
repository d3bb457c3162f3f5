"""Traces: appended, never changed, never deleted; so any page is found by arithmetic."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from tunix_core.codec import trace_from_canonical
from tunix_core.records import StoredTrace
from tunix_core.store import label_pages, labels, trace_lists
from tunix_core.store.connection import Connection
from tunix_core.store.labels import Matches
from tunix_core.store.rows import marks, parts
from tunix_core.store.trace_lists import TraceSummary

__all__ = ["Appended", "Matches", "NewTrace", "TraceJson", "TraceStore", "TraceSummary"]

# Whole traces held at a time: one may have megabytes, and readers of exports may be many.
FETCH_WHOLE = 32
_SELECT = "SELECT sequence, id, created_at, content_key, body FROM traces"


@frozen
class NewTrace:
    """A trace on its way into the store.

    Args:
        source: Its source, or None; duplicates are looked for within one source.
        content_key: SHA-256 of the canonical record before it was stamped.
        body: Canonical JSON of the record as it is stored.
        meta: The members of its meta, by which it can be found; they are known to be JSON.
    """

    source: str | None
    content_key: bytes
    body: str
    meta: Mapping[str, Any]


@frozen
class Appended:
    """What became of traces that were appended.

    Args:
        ids: The id of each, in their order; that of a duplicate is the id of the first.
        stored: How many were stored, that is, were no duplicates.
    """

    ids: list[str]
    stored: int


@frozen
class TraceJson:
    """A stored trace that is only passed on.

    Args:
        id: Random UUID in canonical form.
        created_at: UTC time of insertion, ISO-8601.
        trace_version: Version of its format.
        body: The record as canonical JSON.
    """

    id: str
    created_at: str
    trace_version: str
    body: str


class TraceStore:
    """Traces by id and by sequence, with what they can be found by, and their scores."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(
        self, created_at: str, traces: Sequence[NewTrace], import_id: str | None = None
    ) -> list[tuple[int, str]]:
        """Store all of ``traces`` or none, in their order; the sequence and the id of each."""
        if not traces:
            return []
        with self._connection.transaction():
            first = self.count() + 1
            places = list(enumerate(_new_ids(len(traces)), start=first))
            self._connection.executemany(
                "INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (*place, created_at, trace.source, trace.content_key, trace.body)
                    for place, trace in zip(places, traces, strict=True)
                ],
            )
            labels.add(self._connection, first, [trace.meta for trace in traces], import_id)
        return places

    def append_batch(
        self, created_at: str, traces: Sequence[NewTrace], import_id: str, *, keep_duplicates: bool
    ) -> Appended:
        """Store those of ``traces`` that are not stored yet, all or none.

        Args:
            created_at: When, UTC ISO-8601.
            traces: In their order.
            import_id: The import that they come with.
            keep_duplicates: Store again what is stored for the same source.
        """
        with self._connection.transaction():
            if keep_duplicates:
                ids = [trace_id for _, trace_id in self.append(created_at, traces, import_id)]
                return Appended(ids, len(ids))
            known: dict[tuple[str | None, bytes], str | int]
            known = {**self._known([trace.content_key for trace in traces])}
            fresh: list[NewTrace] = []
            # A trace is an id that is stored, or its place among those that are about to be.
            places: list[str | int] = []
            for trace in traces:
                identity = (trace.source, trace.content_key)
                place = known.get(identity)
                if place is None:
                    place = known[identity] = len(fresh)
                    fresh.append(trace)
                places.append(place)
            new = self.append(created_at, fresh, import_id)
        return Appended([new[p][1] if isinstance(p, int) else p for p in places], len(fresh))

    def count(self) -> int:
        """Number of stored traces."""
        # Sequences have no gaps, so the last one is the number of traces.
        query = "SELECT coalesce(max(sequence), 0) FROM traces"
        return int(self._connection.execute(query).fetchone()[0])

    def get(self, trace_id: str) -> StoredTrace | None:
        """One trace by its id."""
        row = self._connection.execute(f"{_SELECT} WHERE id = ?", (trace_id,)).fetchone()
        return None if row is None else _stored(row)

    def get_json(self, trace_id: str) -> TraceJson | None:
        """One trace by its id, its text as it is stored."""
        row = self._connection.execute(
            "SELECT id, created_at, body FROM traces WHERE id = ?", (trace_id,)
        ).fetchone()
        if row is None:
            return None
        found_id, created_at, body = row
        version = trace_lists.version(body[-trace_lists.TAIL_CHARS :])
        return TraceJson(found_id, created_at, version, body)

    def summaries(
        self, limit: int, offset: int, filters: Mapping[str, Any] | None = None
    ) -> list[TraceSummary]:
        """See :func:`tunix_core.store.trace_lists.summaries`."""
        return trace_lists.summaries(self._connection, limit, offset, filters)

    def entries(self, limit: int, offset: int) -> tuple[str, bool]:
        """See :func:`tunix_core.store.trace_lists.entries`."""
        return trace_lists.entries(self._connection, limit, offset)

    def page(self, limit: int, offset: int) -> list[StoredTrace]:
        """``limit`` traces after the ``offset`` newest; costs the same at any depth."""
        page = {"limit": limit, "offset": offset}
        return [
            _stored(row) for row in self._connection.execute(f"{_SELECT} {trace_lists.PAGE}", page)
        ]

    def count_sources(self) -> dict[str, int]:
        """Number of traces by ``meta.source``, the most frequent first."""
        counts = label_pages.count_sources(self._connection)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def match(self, filters: Mapping[str, Any], import_id: str | None) -> Matches:
        """The traces whose meta equals every filter, of one import only when it is named."""
        return labels.match(self._connection, self.count(), filters, import_id)

    def sequences_of(self, trace_ids: Sequence[str]) -> dict[str, int]:
        """Sequences of those of ``trace_ids`` that are stored."""
        found: dict[str, int] = {}
        for part in parts(trace_ids):
            found.update(
                self._connection.execute(
                    f"SELECT id, sequence FROM traces WHERE id IN ({marks(len(part))})",  # noqa: S608
                    part,
                )
            )
        return found

    def lines(self, sequences: Sequence[int]) -> Iterator[tuple[str, str]]:
        """(id, canonical JSON) of traces, in the order asked for."""
        for part in parts(sequences):
            rows = self._connection.execute(
                "SELECT sequence, id, body FROM traces "  # noqa: S608 - marks only
                f"WHERE sequence IN ({marks(len(part))})",
                part,
            )
            found = {sequence: (trace_id, body) for sequence, trace_id, body in rows}
            yield from (found[sequence] for sequence in part)

    def at(self, sequences: Iterable[int]) -> Iterator[StoredTrace]:
        """Traces by their sequences, in the order asked for, in bounded memory."""
        for part in parts(sequences, FETCH_WHOLE):
            query = f"{_SELECT} WHERE sequence IN ({marks(len(part))})"
            found = {row[0]: row for row in self._connection.execute(query, part)}
            yield from (_stored(found[sequence]) for sequence in part)

    def fetch(self, trace_ids: Sequence[str]) -> Iterator[StoredTrace]:
        """Traces by their ids, in the order asked for; those not stored are left out."""
        for part in parts(trace_ids, FETCH_WHOLE):
            query = f"{_SELECT} WHERE id IN ({marks(len(part))})"
            found = {row[1]: row for row in self._connection.execute(query, part)}
            yield from (_stored(found[trace_id]) for trace_id in part if trace_id in found)

    def prepare_bulk(self) -> None:
        """Let the connection keep more pages, so that one is written once for many rows."""
        self._connection.execute("PRAGMA cache_size = -8192")
        self._connection.execute("PRAGMA wal_autocheckpoint = 8192")

    def insert_score(
        self, sequence: int, scored_at: str, criteria: str, score: float, details: Mapping[str, Any]
    ) -> None:
        """Record one scoring of the trace at ``sequence``; every scoring is a row of its own."""
        with self._connection.transaction():
            self._connection.execute(
                "INSERT INTO trace_scores (trace, scored_at, criteria, score, details) "
                "VALUES (?, ?, ?, ?, ?)",
                (sequence, scored_at, criteria, score, json.dumps(details)),
            )

    def scores(self, sequence: int) -> list[tuple[str, float, dict[str, Any]]]:
        """(scored_at, score, details) of every scoring of a trace, the newest first."""
        rows = self._connection.execute(
            "SELECT scored_at, score, details FROM trace_scores WHERE trace = ? ORDER BY id DESC",
            (sequence,),
        )
        return [(scored_at, score, json.loads(details)) for scored_at, score, details in rows]

    def _known(self, keys: Iterable[bytes]) -> dict[tuple[str | None, bytes], str]:
        """(source, content key) of what is stored of one of ``keys``, with the earliest id."""
        found: dict[tuple[str | None, bytes], str] = {}
        for part in parts({key[:8] for key in keys}):
            rows = self._connection.execute(
                "SELECT source, content_key, id FROM traces "  # noqa: S608 - marks only
                f"WHERE substr(content_key, 1, 8) IN ({marks(len(part))}) ORDER BY sequence",
                part,
            )
            for source, key, trace_id in rows:
                found.setdefault((source, key), trace_id)
        return found


def _new_ids(number: int) -> list[str]:
    """Random UUIDs; those made together begin alike, so that they lie together in the index."""
    prefix = os.urandom(6).hex()
    digits = os.urandom(10 * number).hex()
    ids = []
    for start in range(0, len(digits), 20):
        own = digits[start : start + 20]
        variant = "89ab"[int(own[3], 16) & 3]
        ids.append(f"{prefix[:8]}-{prefix[8:]}-4{own[:3]}-{variant}{own[4:7]}-{own[7:19]}")
    return ids


def _stored(row: tuple[Any, ...]) -> StoredTrace:
    sequence, trace_id, created_at, key, body = row
    return StoredTrace(trace_id, sequence, created_at, key.hex(), trace_from_canonical(body))
