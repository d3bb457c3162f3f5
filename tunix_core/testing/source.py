"""What every source must do; subclass :class:`SourceConformance` in your tests."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tunix_core.errors import TunixError
from tunix_core.protocols import Source, SourceRequest
from tunix_core.records import Rejected, Step, Trace

SLACK_BYTES = 2 * 1024 * 1024


class SourceConformance:
    """The contract of a source: faithful, repeatable, in bounded memory, every error placed.

    Example::

        class TestCsv(SourceConformance):
            def make(self):
                return CsvSource()

            def write(self, directory, traces):
                ...
                return directory / "traces.csv"

            def write_broken(self, directory, traces, place):
                ...  # the same, with the record at index `place` made unreadable
                return directory / "broken.csv", line_number_of_that_record
    """

    def make(self) -> Source:
        """A source with its default settings."""
        raise NotImplementedError

    def write(self, directory: Path, traces: Sequence[Trace]) -> Path:
        """Write ``traces`` in the source's format and return the file."""
        raise NotImplementedError

    def write_broken(
        self, directory: Path, traces: Sequence[Trace], place: int
    ) -> tuple[Path, int]:
        """The same with the record at index ``place`` broken; the file and its line number."""
        raise NotImplementedError

    def read(self, path: Path) -> Iterator[Trace | Rejected]:
        """Read with a new source."""
        return self.make().read(SourceRequest(path))

    def test_is_a_source(self) -> None:
        assert isinstance(self.make(), Source)

    def test_gives_back_what_was_written(self, tmp_path: Path) -> None:
        traces = sample_traces(5)
        assert list(self.read(self.write(tmp_path, traces))) == traces

    def test_reads_the_same_twice(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, sample_traces(5))
        source = self.make()
        first, second = (list(source.read(SourceRequest(path))) for _ in range(2))
        assert first == second

    def test_a_bad_record_is_rejected_with_its_place_and_reason(self, tmp_path: Path) -> None:
        traces = sample_traces(5)
        path, line = self.write_broken(tmp_path, traces, 2)
        read = list(self.read(path))
        assert [record for record in read if isinstance(record, Trace)] == traces[:2] + traces[3:]
        rejected = read[2]
        assert isinstance(rejected, Rejected)
        assert rejected.line == line
        assert rejected.problems
        assert all(problem.startswith("$") for problem in rejected.problems)

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        peaks = []
        for size in (500, 4000):
            folder = tmp_path / str(size)
            folder.mkdir()
            path = self.write(folder, sample_traces(size))
            tracemalloc.start()
            try:
                assert sum(1 for _ in self.read(path)) == size
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        assert peaks[1] < 1.5 * peaks[0] + SLACK_BYTES

    def test_a_directory_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TunixError):
            list(self.read(tmp_path))

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TunixError):
            list(self.read(tmp_path / "nothing-here"))


def sample_traces(count: int) -> list[Trace]:
    """Valid traces that differ, with characters that formats like to break."""
    filler = "work " * 200
    return [
        Trace(
            prompt=f'Question {number}: "quoted", comma; tab\t, line\nbreak, é, 数, 😀?',
            final_answer=str(number),
            steps=(
                Step(0, "decompose", f"first {number}"),
                Step(3, "compute", f"{filler}{number}"),
            ),
            meta={"source": "conformance", "number": number, "nested": {"list": [1, 2.5, None]}},
        )
        for number in range(count)
    ]
