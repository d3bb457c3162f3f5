"""The newest traces of some labels, read from the end, so that a page costs what it shows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from tunix_core.codec import canonical_json
from tunix_core.store.connection import Connection
from tunix_core.store.labels import CHUNK, MANY, label, verify

Candidates = tuple[int, int, bool]
_SOURCE = "$.source"


def newest(
    connection: Connection, filters: Mapping[str, Any], limit: int, offset: int
) -> list[int]:
    """Up to ``limit`` sequences whose meta equals every filter, after the ``offset`` newest.

    Args:
        connection: Not in need of a transaction: what is added meanwhile may or may not be seen.
        filters: At least one top-level key of meta with its value.
        limit: How many.
        offset: How many newer ones to pass over.
    """
    found: list[int] = []
    with closing(_matching(connection, filters)) as chunks:
        for chunk, bits in chunks:
            held = bits.bit_count()
            if offset >= held:
                offset -= held
                continue
            found += _highest(chunk, bits, offset, limit - len(found))
            offset = 0
            if len(found) == limit:
                break
    return found


def count_sources(connection: Connection) -> Counter[str]:
    """Number of traces by the text that ``meta.source`` holds."""
    counts: Counter[str] = Counter()
    by_label: Counter[str] = Counter()
    example: dict[str, int] = {}
    rows = connection.execute(
        "SELECT label, chunk, bits FROM trace_labels WHERE key = ?", (_SOURCE,)
    ).fetchall()
    for text, chunk, packed in rows:
        if text == MANY:
            counts.update(_sources_in(connection, chunk))
            continue
        bits = int.from_bytes(packed, "little")
        by_label[text] += bits.bit_count()
        example[text] = chunk * CHUNK + bits.bit_length()
    for text, held in by_label.items():
        source = _source_of(connection, text, example[text])
        if source is not None:
            counts[source] += held
    return counts


def _matching(
    connection: Connection, filters: Mapping[str, Any]
) -> Generator[tuple[int, int], None, None]:
    """(chunk, bitmap) from the last chunk to the first."""
    streams = [
        _chunks(connection, f"$.{key}", label(canonical_json(value)))
        for key, value in filters.items()
    ]
    try:
        for chunk, bits, doubtful in streams[0] if len(streams) == 1 else _common(streams):
            exact = verify(connection, chunk, bits, filters) if doubtful else bits
            if exact:
                yield chunk, exact
    finally:
        # An open cursor would keep the log of the database from being cut back.
        for stream in streams:
            stream.close()


def _chunks(connection: Connection, key: str, text: str) -> Generator[Candidates, None, None]:
    # Both halves come from the primary key in descending order, and are merged as they are read.
    cursor = connection.execute(
        "SELECT chunk, bits, 0 FROM trace_labels WHERE key = ? AND label = ? UNION ALL "
        "SELECT chunk, bits, 1 FROM trace_labels WHERE key = ? AND label = ? ORDER BY 1 DESC",
        (key, text, key, MANY),
    )
    with closing(cursor):
        for chunk, packed, many in cursor:
            yield chunk, int.from_bytes(packed, "little"), bool(many)


def _common(streams: Sequence[Iterator[Candidates]]) -> Iterator[Candidates]:
    """What all streams hold, each of them in descending order of chunks."""
    heads = [next(stream, None) for stream in streams]
    while True:
        present = [head for head in heads if head is not None]
        if len(present) < len(heads):
            return
        lowest = min(present)[0]
        if all(chunk == lowest for chunk, _, _ in present):
            common = present[0][1]
            for _, bits, _ in present:
                common &= bits
            if common:
                yield lowest, common, any(doubtful for _, _, doubtful in present)
            heads = [next(stream, None) for stream in streams]
        else:
            heads = [
                next(stream, None) if head[0] > lowest else head
                for stream, head in zip(streams, present, strict=True)
            ]


def _highest(chunk: int, bits: int, skip: int, count: int) -> list[int]:
    """Sequences of ``count`` bits from the highest, the first ``skip`` passed over."""
    low, high = 0, bits.bit_length()
    while low < high:
        middle = (low + high) // 2
        if (bits >> middle).bit_count() <= skip:
            high = middle
        else:
            low = middle + 1
    bits &= (1 << low) - 1
    found: list[int] = []
    while bits and len(found) < count:
        top = bits.bit_length()
        found.append(chunk * CHUNK + top)
        bits ^= 1 << (top - 1)
    return found


def _sources_in(connection: Connection, chunk: int) -> dict[str, int]:
    first = chunk * CHUNK + 1
    rows = connection.execute(
        "SELECT source, count(*) FROM traces WHERE sequence BETWEEN ? AND ? "
        "AND source IS NOT NULL GROUP BY source",
        (first, first + CHUNK - 1),
    )
    return dict(rows.fetchall())


def _source_of(connection: Connection, text: str, sequence: int) -> str | None:
    """The source behind a label; a long one is kept as a digest, and a trace that has it knows."""
    if text.startswith('"'):
        return str(json.loads(text))
    if not text.startswith("#"):
        return None
    row = connection.execute("SELECT source FROM traces WHERE sequence = ?", (sequence,)).fetchone()
    return None if row is None else row[0]
