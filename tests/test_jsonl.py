"""Files of lines that grow, cut anywhere: what a crash leaves is read, and gone on with."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.base import jsonl

# Some are longer than a block that is read backwards; a carriage return ends no line.
LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20)
    | st.integers(jsonl.BLOCK_BYTES - 2, 2 * jsonl.BLOCK_BYTES + 2).map("é".__mul__)
    | st.integers(jsonl.BLOCK_BYTES - 2, jsonl.BLOCK_BYTES + 2).map("x".__mul__),
    max_size=6,
)


def write(path: Path, *lines: str) -> None:
    with jsonl.resume(path) as file:
        for line in lines:
            jsonl.append(file, line)


@given(LINES, st.data(), LINES)
def test_a_file_cut_anywhere_is_read_and_gone_on_with(
    lines: list[str], data: st.DataObject, more: list[str]
) -> None:
    encoded = [f"{line}\n".encode() for line in lines]
    content = b"".join(encoded)
    cut = data.draw(st.integers(0, len(content)), "cut")
    with TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        write(path, *lines)
        assert path.read_bytes() == content
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        read = list(jsonl.whole_lines(path))
        assert read == encoded[:whole]
        assert jsonl.last(path) == (read[-1] if read else None)
        assert path.read_bytes() == content[:cut], "reading changes nothing"
        write(path, *more)
        assert path.read_bytes() == b"".join([*read, *(f"{line}\n".encode() for line in more)])


@given(LINES, st.data())
def test_reading_goes_on_where_it_ended(lines: list[str], data: st.DataObject) -> None:
    encoded = [f"{line}\n".encode() for line in lines]
    known = data.draw(st.integers(0, len(lines)), "known")
    with TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        path.write_bytes(b"".join(encoded))
        start = sum(map(len, encoded[:known]))
        assert list(jsonl.whole_lines(path, start)) == encoded[known:]


def test_what_is_absent_has_no_lines(tmp_path: Path) -> None:
    assert list(jsonl.whole_lines(tmp_path / "none")) == []
    assert jsonl.last(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_lines_are_there_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with jsonl.resume(path) as file:
        jsonl.append(file, "one", "two")
        assert jsonl.last(path) == b"two\n"
        jsonl.append(file)
        assert list(jsonl.whole_lines(path)) == [b"one\n", b"two\n"]


@contextmanager
def files_no_longer_than(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(LINES, LINES.filter(bool), st.data())
def test_where_there_is_no_room_whole_lines_stay(
    lines: list[str], more: list[str], data: st.DataObject
) -> None:
    before, added = ("".join(f"{line}\n" for line in part).encode() for part in (lines, more))
    room = data.draw(st.integers(0, len(added) - 1), "room")
    with TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        write(path, *lines)
        with jsonl.resume(path) as file:
            with files_no_longer_than(len(before) + room), pytest.raises(OSError, match="large"):
                jsonl.append(file, *more)
            kept = added[: added[:room].rfind(b"\n") + 1]
            assert path.read_bytes() == before + kept
            jsonl.append(file, "after")
        assert path.read_bytes() == before + kept + b"after\n"
