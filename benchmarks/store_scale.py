"""Does a full store answer as fast as a small one?

    python benchmarks/store_scale.py [--traces 100000] [--full] [--rounds 5] [--json]

Measured, in process, on a workspace of 10 thousand traces and on one of ``--traces`` (``--full``:
1 million, several minutes): a list page of 20 at the front, in the middle and at the end; one trace
by its id; and the build of a dataset of 10,000 traces by filter: the newest, a random sample, and
all that carry a value which is spread evenly over the whole history.

Floor: the same call on the small workspace. The two take turns, and the median of each counts.
Every call of a round asks for another page or trace; a page or trace is the mean of 200.

Target: at most 2 times the cost on the small workspace.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tunix_core.cli.kit import emit, print_table, say
from tunix_core.codec import trace_to_json
from tunix_core.contributions import GENERATOR
from tunix_core.plugins import Plugins
from tunix_core.workspace import Workspace

TARGET = 2.0
SMALL = 10_000
FULL = 1_000_000
BUILD = 10_000
PAGE = 20
CALLS = 200

# Does something in a workspace, with the random numbers of the round; returns seconds per call.
Operation = Callable[[Workspace, random.Random], float]


@frozen
class Result:
    """Median milliseconds of one operation on both workspaces."""

    name: str
    small_ms: float
    large_ms: float

    @property
    def ratio(self) -> float:
        return self.large_ms / self.small_ms


def fill(directory: Path, count: int) -> Workspace:
    """A workspace of ``count`` traces; 10,000 of them, evenly spread, have ``part`` 0."""
    say(f"storing {count:,} traces")
    parts = count // BUILD
    file = directory / "traces.jsonl"
    generator: Any = Plugins.discover().find(GENERATOR, "dev-reasoning-v1").create()
    with file.open("w", encoding="utf-8") as out:
        for index in range(count):
            record = json.loads(trace_to_json(generator.item("train", 42, index).trace))
            record["meta"]["part"] = index % parts
            out.write(json.dumps(record) + "\n")
    workspace = Workspace(directory / f"workspace-{count}")
    report = workspace.traces.import_file(file)
    assert report.accepted == count
    file.unlink()
    workspace.close()
    return Workspace(workspace.paths.root)


def page_at(place: float, workspace: Workspace, random_numbers: random.Random) -> float:
    """Pages around ``place`` of the list, 0 the newest and 1 the oldest traces."""
    last = workspace.traces.count() - PAGE
    middle = round(place * (last - 1000))
    offsets = [middle + random_numbers.randrange(1000) for _ in range(CALLS)]
    started = time.perf_counter()
    for offset in offsets:
        assert len(workspace.traces.list(PAGE, offset).items) == PAGE
    return (time.perf_counter() - started) / CALLS


def one_trace(workspace: Workspace, random_numbers: random.Random) -> float:
    """Traces anywhere in the store, by id."""
    stored = workspace.traces.count()
    offsets = [random_numbers.randrange(stored) for _ in range(CALLS)]
    ids = [workspace.traces.list(1, offset).items[0].id for offset in offsets]
    started = time.perf_counter()
    for trace_id in ids:
        workspace.traces.get(trace_id)
    return (time.perf_counter() - started) / CALLS


def build(options: dict[str, Any], workspace: Workspace, random_numbers: random.Random) -> float:
    """A dataset of 10,000 traces, removed again afterwards."""
    if options.get("strategy") == "random":
        options = {**options, "seed": random_numbers.randrange(1 << 30)}
    started = time.perf_counter()
    manifest = workspace.datasets.build("scale", "1", limit=BUILD, **options)
    spent = time.perf_counter() - started
    assert manifest.trace_count == BUILD
    shutil.rmtree(workspace.paths.dataset(manifest.dataset_key))
    return spent


OURS = {"source": "dev-reasoning-v1"}
OPERATIONS: dict[str, Operation] = {
    "page at the front": partial(page_at, 0.0),
    "page in the middle": partial(page_at, 0.5),
    "page at the end": partial(page_at, 1.0),
    "one trace by id": one_trace,
    "build, the newest": partial(build, {"filters": OURS}),
    "build, random": partial(build, {"filters": OURS, "strategy": "random"}),
    "build, evenly spread": partial(build, {"filters": {"part": 0}}),
}


def measure(traces: int, rounds: int) -> list[Result]:
    """Every operation on both workspaces in turn, after one round that is not counted."""
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in OPERATIONS}
    random_numbers = random.Random(42)  # noqa: S311 - not a secret
    with tempfile.TemporaryDirectory() as directory:
        workspaces = [fill(Path(directory), count) for count in (SMALL, traces)]
        for turn in range(rounds + 1):
            for name, operation in OPERATIONS.items():
                for workspace, times in zip(workspaces, spent[name], strict=True):
                    seconds = operation(workspace, random_numbers)
                    if turn:
                        times.append(seconds)
        for workspace in workspaces:
            workspace.close()
    return [
        Result(name, statistics.median(small) * 1000, statistics.median(large) * 1000)
        for name, (small, large) in spent.items()
    ]


def show(traces: int, results: list[Result]) -> None:
    """Print one table, and whether the target is met."""
    print_table(
        {
            "what": result.name,
            f"ms of {SMALL:,}": f"{result.small_ms:.3g}",
            f"ms of {traces:,}": f"{result.large_ms:.3g}",
            "ratio": f"{result.ratio:.2f}",
        }
        for result in results
    )
    missed = [result.name for result in results if result.ratio > TARGET]
    print()
    outcome = f"MISSED by {', '.join(missed)}" if missed else "met"
    print(f"at most {TARGET:g} times the small workspace: target {outcome}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=int, default=100_000, help="size of the large workspace")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} traces")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    traces = FULL if options.full else max(options.traces, SMALL)
    results = measure(traces, options.rounds)
    data = {
        "traces": traces,
        "operations": [{**asdict(result), "ratio": result.ratio} for result in results],
        "met": all(result.ratio <= TARGET for result in results),
    }
    emit(data, options.json, table=lambda: show(traces, results))


if __name__ == "__main__":
    main()
