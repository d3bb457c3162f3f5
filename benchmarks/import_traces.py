"""What does an import cost beside the least that any import must do, and how much memory?

    python benchmarks/import_traces.py [--rounds 3] [--full] [--json]

Measured: ``Workspace.traces.import_file`` of dev-reasoning-v1 from JSONL into an empty workspace,
at 10 and 100 thousand lines (``--full``: 1 million as well, a few minutes). Each import is a
process of its own, which reports its seconds without start-up and its peak memory.

Floor: ``json.loads`` of every line and one ``executemany`` of the same lines into a table of one
column, in one transaction, with sqlite's defaults. It neither checks, hashes nor indexes anything,
and does not survive a kill half way. It is run right after each import.

Target: at least 0.25 of the floor's rate (the median of the pairs); peak memory flat, which is
taken as at most 1.1 times that of the smallest size, or 8 MiB more where that is larger.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tunix_core.cli.kit import emit, print_table, say

RATIO_TARGET = 0.25
MEMORY_FACTOR = 1.1
MEMORY_SLACK_MIB = 8
SIZES = (10_000, 100_000)
FULL_SIZES = (*SIZES, 1_000_000)


@frozen
class Cost:
    """What one process needed."""

    seconds: float
    peak_mib: float


@frozen
class Size:
    """Medians over the rounds at one size; the ratio is of rates, import to floor."""

    lines: int
    lines_per_s: float
    floor_per_s: float
    ratio: float
    peak_mib: float
    floor_peak_mib: float


def import_seconds(file: Path, directory: Path) -> float:
    """Import ``file`` into a new workspace."""
    from tunix_core.workspace import Workspace

    with Workspace(directory / "workspace") as workspace:
        traces = workspace.traces
        started = time.perf_counter()
        report = traces.import_file(file)
        spent = time.perf_counter() - started
        assert report.rejected == 0
        assert report.accepted == traces.count()
    return spent


def floor_seconds(file: Path, directory: Path) -> float:
    """Parse every line and store it as it is."""

    def rows() -> Iterator[tuple[str]]:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                json.loads(line)
                yield (line,)

    connection = sqlite3.connect(directory / "floor.db")
    connection.execute("CREATE TABLE lines (line TEXT)")
    started = time.perf_counter()
    with connection:
        connection.executemany("INSERT INTO lines VALUES (?)", rows())
    spent = time.perf_counter() - started
    connection.close()
    return spent


def in_child(kind: str, file: Path) -> Cost:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, "--file", str(file)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return Cost(**json.loads(output))


def child(kind: str, file: Path) -> None:
    """Measure and print; the other end of :func:`in_child`."""
    with tempfile.TemporaryDirectory(dir=file.parent) as directory:
        seconds = {"import": import_seconds, "floor": floor_seconds}[kind](file, Path(directory))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(asdict(Cost(seconds, peak / 1024))))


def write_lines(directory: Path, sizes: tuple[int, ...]) -> dict[int, Path]:
    """A file of traces per size, each the beginning of the largest."""
    files = {size: directory / f"{size}.jsonl" for size in sizes}
    say(f"generating {max(sizes):,} traces")
    command = [str(Path(sys.executable).with_name("tunix-rt")), "--workspace", str(directory / "w")]
    command += ["traces", "generate", "dev-reasoning-v1", "--count", str(max(sizes))]
    command += ["-o", str(files[max(sizes)])]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    for size in sorted(sizes)[:-1]:
        with files[max(sizes)].open("rb") as source, files[size].open("wb") as part:
            part.writelines(islice(source, size))
    return files


def measure(sizes: tuple[int, ...], rounds: int) -> list[Size]:
    """Each size several times, an import and a floor in turn; the largest of three sizes once."""
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for size, file in write_lines(Path(directory), sizes).items():
            pairs = []
            for turn in range(rounds if size <= max(SIZES) else 1):
                say(f"{size:,} lines, round {turn + 1}")
                pairs.append((in_child("import", file), in_child("floor", file)))
            results.append(summary(size, pairs))
    return results


def summary(size: int, pairs: list[tuple[Cost, Cost]]) -> Size:
    """The medians of a size's pairs; the most memory that any took."""
    return Size(
        lines=size,
        lines_per_s=size / statistics.median(ours.seconds for ours, _ in pairs),
        floor_per_s=size / statistics.median(floor.seconds for _, floor in pairs),
        ratio=statistics.median(floor.seconds / ours.seconds for ours, floor in pairs),
        peak_mib=max(ours.peak_mib for ours, _ in pairs),
        floor_peak_mib=max(floor.peak_mib for _, floor in pairs),
    )


def verdicts(results: list[Size]) -> dict[str, Any]:
    """Whether the targets are met."""
    first = results[0].peak_mib
    allowed = max(first * MEMORY_FACTOR, first + MEMORY_SLACK_MIB)
    return {
        "ratio_met": min(result.ratio for result in results) >= RATIO_TARGET,
        "memory_allowed_mib": allowed,
        "memory_met": max(result.peak_mib for result in results) <= allowed,
    }


def show(results: list[Size]) -> None:
    """Print one table, and whether the targets are met."""
    print_table(
        {
            "lines": f"{result.lines:,}",
            "lines/s": f"{result.lines_per_s:,.0f}",
            "floor, lines/s": f"{result.floor_per_s:,.0f}",
            "ratio": f"{result.ratio:.2f}",
            "peak MiB": f"{result.peak_mib:.0f}",
            "floor, peak MiB": f"{result.floor_peak_mib:.0f}",
        }
        for result in results
    )
    met = verdicts(results)
    print()
    print(f"ratio at least {RATIO_TARGET}: target {'met' if met['ratio_met'] else 'MISSED'}")
    allowed = f"{met['memory_allowed_mib']:.0f} MiB"
    print(f"memory at most {allowed}: target {'met' if met['memory_met'] else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="pairs per size below 1 million")
    parser.add_argument("--full", action="store_true", help="1 million lines as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", choices=["import", "floor"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.file)
        return
    results = measure(FULL_SIZES if options.full else SIZES, options.rounds)
    data = {"sizes": [asdict(result) for result in results], **verdicts(results)}
    emit(data, options.json, table=lambda: show(results))


if __name__ == "__main__":
    main()
