"""What does the HTTP surface cost beyond Starlette itself, and does it stay so as data grows?

    python benchmarks/http_rates.py [--traces 100000] [--full] [--seconds 3] [--rounds 3] [--json]

Measured with wrk over 16 connections, against one server process on a workspace of 10 thousand
traces and on one of ``--traces`` (``--full``: 1 million): health; traces by their ids, each request
another one; the first page of the list, one in the middle and the last. Then, one request at a
time: 20 batches of 1,000 new traces, and the export of a dataset of 10,000. Memory is that of the
server process after each part.

Floor: a bare Starlette route under the same uvicorn that sends the bytes of the same answer,
measured in turn with ours. The ratio is the median over the rounds.

Targets: health 0.6, one trace 0.4, a list 0.3 of the floor; every page at least half as fast as the
first; 20,380 traces per second in batches and an export in 0.44 s, which is 10 and 5 times what the
application whose interface this is does on the same machine.

Needs wrk (``apt-get install wrk``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from attrs import frozen
from store_scale import FULL, SMALL, fill

from tunix_core.cli.kit import emit, print_table, say
from tunix_core.workspace import Workspace

CONNECTIONS = 16
PAGE = 20
BATCHES = 20
BATCH = 1_000
EXPORT = 10_000
TARGETS = {"health": 0.6, "one trace": 0.4, "first page": 0.3}
PAGES = ("first page", "middle page", "last page")
DEEP = 0.5
INSERT_RATE = 10 * 2_038
EXPORT_S = 2.2 / 5
BARE = Path(__file__).parent / "peers" / "bare_starlette.py"

# wrk asks for the paths of a file in turn.
PATHS = """
paths = {}
for line in io.lines("%s") do paths[#paths + 1] = line end
place = 0
request = function()
  place = place %% #paths + 1
  return wrk.format("GET", paths[place])
end
"""


@frozen
class Rate:
    """Requests per second of one answer, ours and the floor's, round by round."""

    name: str
    ours: tuple[float, ...]
    floor: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.floor, strict=True))

    @property
    def per_second(self) -> float:
        return statistics.median(self.ours)


@frozen
class Outcome:
    """Everything measured on one workspace."""

    traces: int
    rates: tuple[Rate, ...]
    inserted_per_s: float
    export_s: float
    memory_mib: tuple[float, ...]


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended when it is no longer needed."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(60)
        if started.stdout is not None:
            started.stdout.close()


@contextlib.contextmanager
def server(directory: Path) -> Iterator[tuple[str, int]]:
    """Our server on a workspace: its address and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ("-m", "tunix_core.cli", "--workspace", str(directory))
    with process(*command, "serve", "--port", str(port), "--workers", "0") as running:
        address = f"http://127.0.0.1:{port}"
        for _ in range(200):
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(f"{address}/api/health")
                break
            time.sleep(0.1)
        yield address, running.pid


@contextlib.contextmanager
def floor(content: bytes) -> Iterator[str]:
    """A bare Starlette route that sends ``content``: its address."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with process(str(BARE), file.name) as running:
            assert running.stdout is not None
            yield f"http://127.0.0.1:{running.stdout.readline().strip()}"


def wrk(address: str, paths: list[str], seconds: float) -> float:
    """Requests per second; every answer must be good."""
    with tempfile.NamedTemporaryFile("w") as listed, tempfile.NamedTemporaryFile("w") as script:
        listed.write("\n".join(paths) + "\n")
        listed.flush()
        script.write(PATHS % listed.name)
        script.flush()
        load = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", script.name, address)
        said = subprocess.run(["wrk", *load], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def rate(name: str, address: str, paths: list[str], seconds: float, rounds: int) -> Rate:
    """One answer, ours and the floor's in turn, after a short warm-up of each."""
    ours, bare = [], []
    with floor(httpx2.get(address + paths[0]).content) as floor_address:
        for turn in range(rounds + 1):
            length = seconds if turn else 1.0
            pair = wrk(address, paths, length), wrk(floor_address, ["/"], length)
            if turn:
                ours.append(pair[0])
                bare.append(pair[1])
    return Rate(name, tuple(ours), tuple(bare))


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def insert(address: str) -> float:
    """Traces per second, in batches that all hold new traces."""
    step = {"i": 0, "type": "compute", "content": "3 + 4 = 7, and 7 is odd"}
    bodies = [
        json.dumps(
            [
                {
                    "trace_version": "1.0",
                    "prompt": f"What is 3 + 4, for the time {batch}-{place}?",
                    "final_answer": "7",
                    "steps": [step, {**step, "i": 1}, {**step, "i": 2}],
                    "meta": {"source": "benchmark", "batch": batch},
                }
                for place in range(BATCH)
            ]
        ).encode()
        for batch in range(BATCHES)
    ]
    headers = {"content-type": "application/json"}
    with httpx2.Client(base_url=address, timeout=60) as client:
        started = time.perf_counter()
        for body in bodies:
            answer = client.post("/api/traces/batch", content=body, headers=headers)
            assert answer.status_code == 201, answer.text
        return BATCHES * BATCH / (time.perf_counter() - started)


def export(address: str) -> float:
    """Seconds to export a dataset of 10,000 traces; the median of five."""
    spent = []
    with httpx2.Client(base_url=address, timeout=60) as client:
        for _ in range(5):
            started = time.perf_counter()
            answer = client.get("/api/datasets/bench-1/export.jsonl")
            spent.append(time.perf_counter() - started)
            assert answer.text.count("\n") == EXPORT
    return statistics.median(spent)


def measure(workspace: Workspace, seconds: float, rounds: int) -> Outcome:
    """Everything on one workspace."""
    stored = workspace.traces.count()
    say(f"measuring {stored:,} traces")
    every = max(1, stored // 500)
    ids = [workspace.traces.list(1, place).items[0].id for place in range(0, stored, every)]
    workspace.datasets.build("bench", "1", limit=EXPORT)
    workspace.close()
    asked = {"health": ["/api/health"], "one trace": [f"/api/traces/{found}" for found in ids]}
    for name, place in zip(PAGES, (0.0, 0.5, 1.0), strict=True):
        offset = round(place * (stored - PAGE))
        asked[name] = [f"/api/traces?limit={PAGE}&offset={offset}"]
    with server(workspace.paths.root) as (address, pid):
        memory = [memory_mib(pid)]
        rates = []
        for name, paths in asked.items():
            rates.append(rate(name, address, paths, seconds, rounds))
        memory.append(memory_mib(pid))
        inserted = insert(address)
        memory.append(memory_mib(pid))
        export_s = export(address)
        memory.append(memory_mib(pid))
    return Outcome(stored, tuple(rates), inserted, export_s, tuple(memory))


def misses(outcome: Outcome) -> list[str]:
    """The targets that were not met."""
    by_name = {rate.name: rate for rate in outcome.rates}
    missed = [name for name, target in TARGETS.items() if by_name[name].ratio < target]
    first = by_name["first page"].per_second
    missed += [name for name in PAGES if by_name[name].per_second < DEEP * first]
    missed += ["batch insert"] if outcome.inserted_per_s < INSERT_RATE else []
    missed += ["export"] if outcome.export_s > EXPORT_S else []
    return missed


def show(outcomes: list[Outcome]) -> None:
    """Print a table for each workspace, and whether the targets are met."""
    for outcome in outcomes:
        print(f"{outcome.traces:,} traces")
        print_table(
            {
                "what": rate.name,
                "per second": f"{rate.per_second:,.0f}",
                "floor": f"{statistics.median(rate.floor):,.0f}",
                "ratio": f"{rate.ratio:.2f}",
                "target": TARGETS.get(rate.name, ""),
            }
            for rate in outcome.rates
        )
        memory = ", ".join(f"{held:.0f}" for held in outcome.memory_mib)
        print(f"batch insert {outcome.inserted_per_s:,.0f} traces/s (target {INSERT_RATE:,})")
        print(f"export of {EXPORT:,} in {outcome.export_s:.2f} s (target {EXPORT_S:.2f})")
        print(f"memory {memory} MiB: at the start, after reads, inserts, exports\n")
    missed = [f"{name} at {held.traces:,}" for held in outcomes for name in misses(held)]
    print("targets: " + (f"MISSED by {', '.join(missed)}" if missed else "met"))


def as_data(outcome: Outcome) -> dict[str, Any]:
    return {
        "traces": outcome.traces,
        "rates": {rate.name: [rate.per_second, rate.ratio] for rate in outcome.rates},
        "inserted_per_s": outcome.inserted_per_s,
        "export_s": outcome.export_s,
        "memory_mib": outcome.memory_mib,
        "missed": misses(outcome),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=int, default=100_000, help="size of the large workspace")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} traces")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a measurement")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed (apt-get install wrk)")
    large = FULL if options.full else max(options.traces, SMALL)
    outcomes = []
    for count in dict.fromkeys((SMALL, large)):
        with tempfile.TemporaryDirectory() as directory:
            workspace = fill(Path(directory), count)
            outcomes.append(measure(workspace, options.seconds, options.rounds))
    emit([as_data(held) for held in outcomes], options.json, table=lambda: show(outcomes))


if __name__ == "__main__":
    main()
