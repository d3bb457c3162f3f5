"""Which traces carry which value: one bitmap per value and chunk of consecutive traces.

An index that costs an import a few bytes per trace and finds, counts and samples the traces of
any value among millions in milliseconds. A key with very many values in one chunk (a serial
number, say) is not listed by value there; its candidates are read and compared instead.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from attrs import frozen

from tunix_core.codec import canonical_json
from tunix_core.store.connection import Connection

CHUNK = 2048
MAX_VALUES = 512
IMPORT_KEY = "import"
MANY = ""
_LONG = 64
_FEW = 100
# Floats from here on are written with an exponent.
_PLAIN_BELOW = 1e16

_quoted = json.encoder.encode_basestring
# Kinds of values that are equal, among each other, just where their labels are.
_EQUAL = (frozenset({str, type(None), int, float}), frozenset({str, type(None), bool}))


@frozen
class Matches:
    """The traces that carry every wanted label.

    Args:
        chunks: (chunk, bitmap) pairs in ascending order; bit p of chunk c is the trace with
            sequence ``c * CHUNK + p + 1``.
    """

    chunks: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return sum(bits.bit_count() for _, bits in self.chunks)

    def __contains__(self, sequence: int) -> bool:
        chunk, place = divmod(sequence - 1, CHUNK)
        at = bisect_left(self.chunks, (chunk,))
        held = at < len(self.chunks) and self.chunks[at][0] == chunk
        return held and bool(self.chunks[at][1] >> place & 1)

    def descending(self) -> Iterator[int]:
        """The sequences from the highest, one chunk in memory at a time."""
        for chunk, bits in reversed(self.chunks):
            yield from reversed(_sequences(chunk, bits))

    def newest(self, limit: int) -> list[int]:
        """The highest ``limit`` sequences, descending."""
        return list(islice(self.descending(), limit))

    def at(self, ranks: Sequence[int]) -> list[int]:
        """The sequences at ``ranks`` of the ascending order, each from 0, in the order given."""
        wanted = sorted(set(ranks))
        found: dict[int, int] = {}
        start = place = 0
        for chunk, bits in self.chunks:
            end = start + bits.bit_count()
            if place < len(wanted) and wanted[place] < end:
                sequences = _sequences(chunk, bits)
                while place < len(wanted) and wanted[place] < end:
                    found[wanted[place]] = sequences[wanted[place] - start]
                    place += 1
            start = end
        return [found[rank] for rank in ranks]


def label(text: str) -> str:
    """A short text for a value's canonical JSON that equal values share: 1 and 1.0, not true."""
    if text[0] in "-0123456789" and ("." in text or "e" in text):
        number = float(text)
        return str(int(number)) if number.is_integer() else text
    return text if len(text) <= _LONG else "#" + hashlib.sha256(text.encode()).hexdigest()[:32]


def add(
    connection: Connection,
    first: int,
    members: Sequence[Mapping[str, Any]],
    import_id: str | None,
) -> None:
    """Index traces that follow each other from sequence ``first``; inside a transaction.

    Args:
        connection: In a write transaction.
        first: Sequence of the first of them.
        members: The meta of each, which is known to be JSON.
        import_id: The import they came with, or None.
    """
    start = 0
    while start < len(members):
        chunk, position = divmod(first - 1 + start, CHUNK)
        part = members[start : start + CHUNK - position]
        found = _bitmaps(position, part)
        if import_id is not None:
            found[IMPORT_KEY] = {import_id: ((1 << len(part)) - 1) << position}
        _add_to_chunk(connection, chunk, found, fresh=position == 0)
        start += len(part)


def match(
    connection: Connection,
    stored: int,
    filters: Mapping[str, Any],
    import_id: str | None = None,
) -> Matches:
    """The traces among the first ``stored`` whose meta equals every filter.

    A key that is absent equals nothing, not even None.
    """
    chunks = {chunk: (bits, False) for chunk, bits in _all(stored)}
    for key, value in filters.items():
        found = _lookup(connection, "$." + key, label(canonical_json(value)))
        chunks = _intersect(chunks, found)
    if import_id is not None:
        chunks = _intersect(chunks, _lookup(connection, IMPORT_KEY, import_id))
    exact = [
        (chunk, verify(connection, chunk, bits, filters) if doubtful else bits)
        for chunk, (bits, doubtful) in sorted(chunks.items())
    ]
    return Matches(tuple((chunk, bits) for chunk, bits in exact if bits))


def _bitmaps(position: int, members: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Key to label to bitmap, for traces that begin at ``position`` of their chunk."""
    # Most traces have the same keys as their neighbours, and in many columns the same value.
    alike: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, values in enumerate(members, position):
        alike[tuple(values)].append(place)
    by_key: dict[str, dict[str, int]] = {}
    for keys, places in alike.items():
        columns = zip(*(members[place - position].values() for place in places), strict=True)
        everywhere = _bits(places)
        for key, column in zip(keys, columns, strict=True):
            labels = by_key.setdefault("$." + key, {})
            for text, bits in _column_bitmaps(places, column, everywhere):
                labels[text] = labels.get(text, 0) | bits
    return by_key


def _column_bitmaps(
    places: Sequence[int], column: Sequence[Any], everywhere: int
) -> Iterator[tuple[str, int]]:
    """Label and bitmap of each value of a column; a label may come more than once."""
    kinds = set(map(type, column))
    if not any(kinds <= equal for equal in _EQUAL):
        for place, value in zip(places, column, strict=True):
            yield _label_of(value), 1 << place
    elif column.count(column[0]) == len(column):
        yield _label_of(column[0]), everywhere
    else:
        held: defaultdict[Any, list[int]] = defaultdict(list)
        for place, value in zip(places, column, strict=True):
            held[value].append(place)
        for value, found in held.items():
            yield _label_of(value), _bits(found)


def _label_of(value: Any) -> str:
    """The label of a value that is known to be JSON."""
    if type(value) is str:
        return label(_quoted(value))
    return label(str(value) if type(value) is int else canonical_json(value))


def _bits(places: Sequence[int]) -> int:
    if len(places) == 1:
        return 1 << places[0]
    bitmap = bytearray(CHUNK // 8)
    for place in places:
        bitmap[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(bitmap, "little")


def _add_to_chunk(
    connection: Connection, chunk: int, by_key: dict[str, dict[str, int]], *, fresh: bool
) -> None:
    present = {} if fresh else _load(connection, chunk, by_key)
    rows: list[tuple[str, str, int, bytes]] = []
    for key, values in by_key.items():
        merged = _merge(connection, chunk, key, present.get(key, {}), values)
        rows += ((key, text, chunk, _pack(bits)) for text, bits in merged.items())
    connection.executemany("INSERT OR REPLACE INTO trace_labels VALUES (?, ?, ?, ?)", rows)


def _load(
    connection: Connection, chunk: int, by_key: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Key to label to bitmap: what a merge with ``by_key`` needs of a chunk, or all that it has."""
    listed: dict[str, int] = dict(
        connection.execute(
            "SELECT key, count(*) FROM trace_labels WHERE chunk = ? GROUP BY key", (chunk,)
        ).fetchall()
    )
    wanted: list[tuple[str, str]] = []
    filling = False
    for key, values in by_key.items():
        if key in listed:
            filling |= listed[key] + len(values) > MAX_VALUES
            wanted += ((key, text) for text in (MANY, *values))
    query = "SELECT key, label, bits FROM trace_labels WHERE chunk = ?"
    rows: list[tuple[str, str, bytes]] = []
    # For one trace a few labels are looked up; for many, or to fold a key, all are read at once.
    if filling or len(wanted) > _FEW:
        rows += connection.execute(query, (chunk,))
    else:
        for pair in wanted:
            rows += connection.execute(f"{query} AND key = ? AND label = ?", (chunk, *pair))
    present: dict[str, dict[str, int]] = {}
    for key, text, bits in rows:
        present.setdefault(key, {})[text] = int.from_bytes(bits, "little")
    return present


def _merge(
    connection: Connection,
    chunk: int,
    key: str,
    before: Mapping[str, int],
    values: Mapping[str, int],
) -> dict[str, int]:
    # Imports of one chunk are few, and each is looked up by name: they are always listed.
    crowded = key != IMPORT_KEY and len(before.keys() | values.keys()) > MAX_VALUES
    if not crowded and MANY not in before:
        return {text: bits | before.get(text, 0) for text, bits in values.items()}
    if before and MANY not in before:
        connection.execute("DELETE FROM trace_labels WHERE chunk = ? AND key = ?", (chunk, key))
    union = 0
    for bits in (*before.values(), *values.values()):
        union |= bits
    return {MANY: union}


def _lookup(connection: Connection, key: str, text: str) -> dict[int, tuple[int, bool]]:
    """Chunk to (bitmap, whether it holds candidates that must be compared)."""
    rows = connection.execute(
        "SELECT chunk, bits, label = ? FROM trace_labels WHERE key = ? AND label IN (?, ?)",
        (MANY, key, text, MANY),
    )
    return {chunk: (int.from_bytes(bits, "little"), bool(many)) for chunk, bits, many in rows}


def _intersect(
    left: Mapping[int, tuple[int, bool]], right: Mapping[int, tuple[int, bool]]
) -> dict[int, tuple[int, bool]]:
    both: dict[int, tuple[int, bool]] = {}
    for chunk, (bits, doubtful) in right.items():
        if chunk in left:
            common = bits & left[chunk][0]
            if common:
                both[chunk] = (common, doubtful or left[chunk][1])
    return both


def verify(connection: Connection, chunk: int, bits: int, filters: Mapping[str, Any]) -> int:
    """Those of the candidates ``bits`` of a chunk whose meta does equal every filter."""
    candidates = set(_sequences(chunk, bits))
    needles = [_needle(key, value) for key, value in filters.items()]
    where = "".join(" AND instr(body, ?) > 0" for _ in needles)
    rows = connection.execute(
        f"SELECT sequence, body FROM traces WHERE sequence BETWEEN ? AND ?{where}",  # noqa: S608
        (min(candidates), max(candidates), *needles),
    )
    exact = 0
    wanted = {key: label(canonical_json(value)) for key, value in filters.items()}
    for sequence, body in rows:
        meta = json.loads(body)["meta"] if sequence in candidates else None
        if meta and all(
            key in meta and label(canonical_json(meta[key])) == text for key, text in wanted.items()
        ):
            exact |= 1 << (sequence - 1) % CHUNK
    return exact


def _needle(key: str, value: Any) -> str:
    """What the canonical text of a matching trace must contain."""
    text = canonical_json(value)
    if type(value) in (int, float):
        # 1 may be written 1.0, which begins alike; 0 and great numbers have other forms still.
        text = label(text) if 0 < abs(value) < _PLAIN_BELOW else ""
    return f"{canonical_json(key)}:{text}"


def _all(stored: int) -> Iterator[tuple[int, int]]:
    for chunk in range(-(-stored // CHUNK)):
        yield chunk, (1 << min(CHUNK, stored - chunk * CHUNK)) - 1


def _pack(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _sequences(chunk: int, bits: int) -> list[int]:
    first = chunk * CHUNK + 1
    digits = bin(bits)[:1:-1]
    return [first + place for place, digit in enumerate(digits) if digit == "1"]
