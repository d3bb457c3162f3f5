"""Logs of runs: whatever a process prints, however fast, is kept, numbered and readable."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import lose_lease, write_traces
from tunix_core import Workspace
from tunix_core.records import Run
from tunix_core.runs.log import MAX_CHUNK_BYTES, STREAMS, LogChunk, RunLog, Stream

FED = st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(max_size=40)), max_size=20)


@pytest.fixture
def workspace(tmp_path: Path, install_module: Callable[[str], None]) -> Iterator[Workspace]:
    """A workspace with the scripted trainer and a dataset ``numbers-v1``."""
    install_module("scripted_trainer")
    with Workspace(tmp_path / "workspace") as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "numbers.jsonl", 3))
        workspace.datasets.build("numbers", "v1")
        yield workspace


def execute(
    workspace: Workspace, code: str, on_poll: Callable[[Run], None] = lambda _: None
) -> Run:
    run = workspace.runs.create("numbers-v1", "scripted", {"code": code})
    return workspace.worker().execute(run.id, lambda: on_poll(run))


def chunks(workspace: Workspace, run: Run, stream: Stream = "stdout") -> list[str]:
    return [c.chunk for c in workspace.runs.log(run.id).read() if c.stream == stream]


def write(log: RunLog, *fed: tuple[Stream, bytes]) -> None:
    with log.writer() as writer:
        for stream, data in fed:
            writer.feed(stream, data)


def test_two_hundred_thousand_lines_arrive_in_order(workspace: Workspace) -> None:
    code = "import sys; sys.stdout.writelines(f'line {n}\\n' for n in range(200_000))"
    run = execute(workspace, code)
    assert (run.status, run.error) == ("completed", None)
    assert chunks(workspace, run) == [f"line {n}\n" for n in range(200_000)]
    log = workspace.runs.log(run.id)
    assert [chunk.seq for chunk in log.read(199_990)] == list(range(199_991, 200_001))
    assert [chunk.seq for chunk in log.read(7, limit=3)] == [8, 9, 10]


def test_a_line_without_an_end_is_cut_into_pieces(workspace: Workspace) -> None:
    code = "import sys; sys.stdout.write('é' * 5_000_000)"
    run = execute(workspace, code)
    assert run.status == "completed"
    pieces = chunks(workspace, run)
    assert "".join(pieces) == "é" * 5_000_000
    assert max(len(piece.encode()) for piece in pieces) <= MAX_CHUNK_BYTES + 3


def test_noise_on_both_streams_is_kept_as_text(workspace: Workspace) -> None:
    code = """
import os, random
for fd in (1, 2):
    noise = random.Random(fd).randbytes(300_000)
    while noise:
        noise = noise[os.write(fd, noise):]
"""
    run = execute(workspace, code)
    assert run.status == "completed"
    for number, stream in enumerate(STREAMS, start=1):
        noise = random.Random(number).randbytes(300_000)
        assert "".join(chunks(workspace, run, stream)) == noise.decode("utf-8", "replace")


def test_a_progress_bar_shows_while_it_moves(workspace: Workspace) -> None:
    code = """
import sys, time
for percent in range(40):
    sys.stdout.write(f"\\r{percent} %")
    time.sleep(0.05)
sys.stdout.write("\\r100 %\\n")
"""
    seen: list[int] = []
    run = execute(workspace, code, lambda r: seen.append(len(chunks(workspace, r))))
    pieces = chunks(workspace, run)
    assert "".join(pieces) == "".join(f"\r{percent} %" for percent in range(40)) + "\r100 %\n"
    assert 3 <= len(pieces) <= 20, "about two a second"
    assert any(0 < count < len(pieces) for count in seen)


def test_a_line_is_on_disk_when_it_has_been_printed(workspace: Workspace) -> None:
    code = """
import time
print("may I go?", flush=True)
while not (job.output_dir / "go").exists():
    time.sleep(0.05)
"""

    def look(run: Run) -> None:
        if chunks(workspace, run):
            (workspace.paths.run(run.id) / "go").touch()

    assert execute(workspace, code, look).status == "completed"


def test_streams_are_told_apart_and_a_failure_says_its_error(workspace: Workspace) -> None:
    code = """
import sys
from tunix_core.errors import TunixError
print("to the one")
print("to the other", file=sys.stderr)
raise TunixError("it broke")
"""
    run = execute(workspace, code)
    assert (run.status, run.error) == ("failed", "it broke")
    output = workspace.runs.output(run.id, 1000)
    assert output.stdout == "to the one\nerror: it broke\n"
    assert output.stderr == "to the other\n"


def test_output_is_cut_after_whole_lines(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    assert log.output(10).stdout == ""
    write(log, ("stdout", b"1234\n" * 3), ("stderr", "ää\n".encode()))
    output = log.output(11)
    assert output.stdout == "1234\n1234\n[truncated: only the first 11 bytes are shown]\n"
    assert output.stderr == "ää\n"
    assert log.output(4).stderr == "[truncated: only the first 4 bytes are shown]\n"
    assert log.output(15).stdout == "1234\n" * 3


@given(fed=FED)
def test_whatever_is_fed_is_read_back(fed: list[tuple[Stream, bytes]]) -> None:
    with TemporaryDirectory() as folder:
        log = RunLog(Path(folder, "log.jsonl"))
        write(log, *fed)
        read = list(log.read())
        assert [chunk.seq for chunk in read] == list(range(1, len(read) + 1))
        assert log.path.read_bytes().isascii()
        for stream in STREAMS:
            whole = b"".join(data for name, data in fed if name == stream)
            text = "".join(chunk.chunk for chunk in read if chunk.stream == stream)
            assert text == whole.decode("utf-8", "replace")
        for chunk in read:
            assert "\n" not in chunk.chunk[:-1]
            assert list(log.read(chunk.seq)) == read[chunk.seq :]


@given(fed=FED, data=st.data())
def test_a_torn_last_line_is_not_read_and_cut_off_by_the_next_writer(
    fed: list[tuple[Stream, bytes]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        log = RunLog(Path(folder, "log.jsonl"))
        write(log, *fed)
        content = log.path.read_bytes()
        before = list(log.read())
        kept = data.draw(st.integers(0, len(content)))
        log.path.write_bytes(content[:kept])
        torn = RunLog(log.path)
        read = list(torn.read())
        assert read == before[: content[:kept].count(b"\n")]
        write(torn, ("stderr", b"again\n"))
        *first, last = torn.read()
        assert first == read
        assert (last.seq, last.stream, last.chunk) == (len(read) + 1, "stderr", "again\n")


def test_a_reader_goes_on_while_the_log_grows(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    assert list(log.read()) == []
    seen: list[LogChunk] = []
    for number in range(5):
        write(log, ("stdout", b"%d\n" % number))
        seen += log.read(len(seen))
    assert [chunk.chunk for chunk in seen] == [f"{n}\n" for n in range(5)]
    assert list(log.read()) == seen, "and can begin anew"


def test_a_line_that_a_failing_disk_left_keeps_its_number(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    write(log, ("stdout", b"one\n"))
    with log.path.open("ab") as file:
        file.write(b"\0\0\0\n")
    write(log, ("stdout", b"three\n"))
    assert [(chunk.seq, chunk.chunk) for chunk in log.read()] == [(1, "one\n"), (3, "three\n")]


FULL = """
import resource, sys
from pathlib import Path
from tunix_core.runs.log import RunLog

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
log = RunLog(Path(sys.argv[1]))
with log.writer() as writer:
    for number in range(100):
        writer.feed("stdout", b"%d\\n" % number)
print(len(list(log.read())))
"""


def test_a_disk_without_room_costs_lines_and_leaves_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: cannot write ") == 1
    lines = path.read_bytes().splitlines(keepends=True)
    assert 10 < len(lines) < 100
    assert len(lines) == int(done.stdout)
    assert all(json.loads(line)["stream"] == "stdout" for line in lines)


def test_the_whole_lines_of_a_batch_that_finds_no_room_stay(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    batch = FULL.replace("for number in range(100):", "").replace(
        '    writer.feed("stdout", b"%d\\n" % number)', 'writer.feed("stdout", b"line\\n" * 100)'
    )
    done = subprocess.run(
        [sys.executable, "-c", batch, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    assert path.read_bytes().endswith(b"\n")


GRANDCHILD = """
import os, signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", '''
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("grandchild", os.getpid(), flush=True)
time.sleep(600)
'''])
time.sleep(0.5)
while not os.path.exists(job.output_dir / "end") and not reporter.stop_reason():
    time.sleep(0.05)
"""


def grandchild(workspace: Workspace, run: Run) -> int | None:
    for line in chunks(workspace, run):
        if line.startswith("grandchild "):
            return int(line.split()[1])
    return None


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def children() -> set[int]:
    """The children of this process, zombies too."""
    return {child.pid for child in psutil.Process().children()}


@pytest.mark.parametrize("way", ["by itself", "cancelled"])
def test_no_process_of_a_run_outlives_it(workspace: Workspace, way: str) -> None:
    alive: list[int] = []
    others = children()

    def end(run: Run) -> None:
        pid = grandchild(workspace, run)
        if pid is None or alive:
            return
        assert is_alive(pid)
        alive.append(pid)
        if way == "cancelled":
            workspace.runs.cancel(run.id)
        else:
            (workspace.paths.run(run.id) / "end").touch()

    run = execute(workspace, GRANDCHILD, end)
    assert run.status == ("cancelled" if way == "cancelled" else "completed")
    assert gone(alive[0])
    # None is left as a zombie either; other tests of this worker may have servers of theirs.
    assert children() <= others


def test_no_process_of_a_run_outlives_a_killed_worker(workspace: Workspace) -> None:
    run = workspace.runs.create("numbers-v1", "scripted", {"code": GRANDCHILD})
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace.paths.root)]
    worker = subprocess.Popen([*command, "worker"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while (pid := grandchild(workspace, run)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    worker.kill()
    worker.wait()
    assert gone(pid)


def test_a_killed_worker_leaves_whole_lines_and_the_next_one_goes_on(workspace: Workspace) -> None:
    code = """
import sys, time
for n in range(20_000):
    sys.stdout.write(f"{n}\\n")
    if n == 10_000 and not (job.output_dir / "again").exists():
        time.sleep(600)
"""
    run = workspace.runs.create("numbers-v1", "scripted", {"code": code})
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace.paths.root)]
    worker = subprocess.Popen([*command, "worker"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(chunks(workspace, run)) < 1000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    first = len(chunks(workspace, run))
    lose_lease(workspace, run.id)
    assert workspace.runs.get(run.id).status == "failed"
    (workspace.paths.run(run.id) / "again").touch()
    workspace.runs.resume(run.id)
    assert workspace.worker().execute(run.id).status == "completed"
    numbers = [int(line) for line in chunks(workspace, run)]
    assert 1000 <= first <= 10_001
    assert numbers == [*range(first), *range(20_000)]


def test_a_stray_process_that_prints_for_ever_does_not_hold_a_run_up(workspace: Workspace) -> None:
    code = '''
import subprocess, sys, time
stray = """
while True:
    print("x" * 1000)
"""
subprocess.Popen([sys.executable, "-c", stray], start_new_session=True)
time.sleep(0.5)
'''
    # It ends at all: whoever waited for the stray's last word would wait for ever.
    assert execute(workspace, code).status == "completed"


def test_many_runs_leave_no_file_open(workspace: Workspace) -> None:
    execute(workspace, "")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        execute(workspace, "print('done')")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_run_that_ends_well_while_its_worker_stops_has_completed(workspace: Workspace) -> None:
    code = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(job.output_dir / "begun").touch()
time.sleep(1)
"""
    run = workspace.runs.create("numbers-v1", "scripted", {"code": code})
    worker = workspace.worker()

    def stop() -> None:
        if (workspace.paths.run(run.id) / "begun").exists():
            worker.stop()

    assert worker.execute(run.id, stop).status == "completed"
    assert worker.stopping
