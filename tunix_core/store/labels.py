"""Which traces carry which value: one bitmap per value and chunk of consecutive traces.

An index that costs an import a few bytes per trace and finds, counts and samples the traces of
any value among millions in milliseconds. A key with very many values in one chunk (a serial
number, say) is not listed by value there; its candidates are read and compared instead.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from tunix_core.codec import canonical_json

CHUNK = 2048
MAX_VALUES = 512
IMPORT_KEY = "import"
_MANY = ""
_LONG = 64

Label = tuple[str, str]


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

    def newest(self, limit: int) -> list[int]:
        """The highest ``limit`` sequences, descending."""
        found: list[int] = []
        for chunk, bits in reversed(self.chunks):
            found += reversed(_sequences(chunk, bits))
            if len(found) >= limit:
                break
        return found[:limit]

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


def labels_of(meta: Mapping[str, Any] | None, import_id: str | None = None) -> list[Label]:
    """The labels of a trace: every top-level key of its meta, and the import it came with."""
    labels = [] if meta is None else [("$." + key, label(value)) for key, value in meta.items()]
    if import_id is not None:
        labels.append((IMPORT_KEY, label(import_id)))
    return labels


def label(value: Any) -> str:
    """A short text that two values share when they are equal: 1 and 1.0 are, 1 and true not."""
    kind = type(value)
    if kind is str:
        text = '"' + value
    elif kind is int:
        text = str(value)
    elif kind is float and value.is_integer():
        text = str(int(value))
    else:
        text = canonical_json(value)
    if len(text) > _LONG:
        return "#" + hashlib.sha256(text.encode()).hexdigest()[:32]
    return text


def add(connection: sqlite3.Connection, first: int, labelled: Sequence[Iterable[Label]]) -> None:
    """Index traces that follow each other from sequence ``first``; inside a transaction."""
    start = 0
    while start < len(labelled):
        chunk, position = divmod(first - 1 + start, CHUNK)
        part = labelled[start : start + CHUNK - position]
        _add_to_chunk(connection, chunk, position, part)
        start += len(part)


def match(connection: sqlite3.Connection, stored: int, filters: Mapping[str, Any]) -> Matches:
    """The traces among the first ``stored`` whose meta equals every filter.

    A key that is absent equals nothing, not even None.
    """
    wanted = [("$." + key, label(value)) for key, value in filters.items()]
    chunks = {chunk: (bits, False) for chunk, bits in _all(stored)}
    for key, text in wanted:
        chunks = _intersect(chunks, _lookup(connection, key, text))
    exact = [
        (chunk, _verify(connection, chunk, bits, filters) if doubtful else bits)
        for chunk, (bits, doubtful) in sorted(chunks.items())
    ]
    return Matches(tuple((chunk, bits) for chunk, bits in exact if bits))


def match_import(connection: sqlite3.Connection, import_id: str) -> Matches:
    """The traces that one import stored."""
    found = _lookup(connection, IMPORT_KEY, label(import_id))
    return Matches(tuple((chunk, bits) for chunk, (bits, _) in sorted(found.items())))


def _add_to_chunk(
    connection: sqlite3.Connection, chunk: int, position: int, part: Sequence[Iterable[Label]]
) -> None:
    places: dict[Label, bytearray] = {}
    for place, labels in enumerate(part, position):
        byte, bit = place >> 3, 1 << (place & 7)
        for entry in labels:
            bitmap = places.get(entry)
            if bitmap is None:
                bitmap = places[entry] = bytearray(CHUNK // 8)
            bitmap[byte] |= bit
    by_key: dict[str, dict[str, int]] = {}
    for (key, text), bitmap in places.items():
        by_key.setdefault(key, {})[text] = int.from_bytes(bitmap, "little")
    present = _load(connection, chunk) if position else {}
    rows: list[tuple[str, str, int, bytes]] = []
    for key, values in by_key.items():
        merged = _merge(connection, chunk, key, present.get(key, {}), values)
        rows += ((key, text, chunk, _pack(bits)) for text, bits in merged.items())
    connection.executemany("INSERT OR REPLACE INTO trace_labels VALUES (?, ?, ?, ?)", rows)


def _load(connection: sqlite3.Connection, chunk: int) -> dict[str, dict[str, int]]:
    present: dict[str, dict[str, int]] = {}
    rows = connection.execute("SELECT key, label, bits FROM trace_labels WHERE chunk = ?", (chunk,))
    for key, text, bits in rows:
        present.setdefault(key, {})[text] = int.from_bytes(bits, "little")
    return present


def _merge(
    connection: sqlite3.Connection,
    chunk: int,
    key: str,
    before: Mapping[str, int],
    values: Mapping[str, int],
) -> dict[str, int]:
    # Imports of one chunk are few, and each is looked up by name: they are always listed.
    crowded = key != IMPORT_KEY and len(before.keys() | values.keys()) > MAX_VALUES
    if not crowded and _MANY not in before:
        return {text: bits | before.get(text, 0) for text, bits in values.items()}
    if before and _MANY not in before:
        connection.execute("DELETE FROM trace_labels WHERE chunk = ? AND key = ?", (chunk, key))
    union = 0
    for bits in (*before.values(), *values.values()):
        union |= bits
    return {_MANY: union}


def _lookup(connection: sqlite3.Connection, key: str, text: str) -> dict[int, tuple[int, bool]]:
    """Chunk to (bitmap, whether it holds candidates that must be compared)."""
    rows = connection.execute(
        "SELECT chunk, bits, label = ? FROM trace_labels WHERE key = ? AND label IN (?, ?)",
        (_MANY, key, text, _MANY),
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


def _verify(
    connection: sqlite3.Connection, chunk: int, bits: int, filters: Mapping[str, Any]
) -> int:
    candidates = set(_sequences(chunk, bits))
    needles = [_needle(key, value) for key, value in filters.items()]
    where = "".join(" AND instr(body, ?) > 0" for _ in needles)
    rows = connection.execute(
        f"SELECT sequence, body FROM traces WHERE sequence BETWEEN ? AND ?{where}",  # noqa: S608
        (min(candidates), max(candidates), *needles),
    )
    exact = 0
    wanted = {key: label(value) for key, value in filters.items()}
    for sequence, body in rows:
        meta = json.loads(body)["meta"] if sequence in candidates else None
        if meta and all(key in meta and label(meta[key]) == text for key, text in wanted.items()):
            exact |= 1 << (sequence - 1) % CHUNK
    return exact


def _needle(key: str, value: Any) -> str:
    """What the canonical text of a matching trace must contain; 1 may be written 1.0."""
    text = "" if isinstance(value, float | int) else canonical_json(value)
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
