"""Event files of real runs, read back record by record."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from tests.conftest import counting_workspace, install_module
from tunix_core import Workspace
from tunix_core.plugins import Plugins
from tunix_core.records import Run

__all__ = ["counting_workspace", "install_module"]

Scalars = list[tuple[int, str, float]]


def events(folder: Path) -> list[Event]:
    """Every event in a run's directory; the checksums of the record format are checked."""
    (file,) = (folder / "tensorboard").iterdir()
    content = file.read_bytes()
    found, at = [], 0
    while at < len(content):
        length, header_check = struct.unpack_from("<QI", content, at)
        assert header_check == masked_crc32c(content[at : at + 8])
        data = content[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", content, at + 12 + length) == (masked_crc32c(data),)
        found.append(Event.FromString(data))
        at += 16 + length
    return found


def written(folder: Path) -> Scalars:
    """(step, tag, value) as the event file has them, in its order."""
    return [
        (event.step, value.tag, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
    ]


def recorded(folder: Path) -> Scalars:
    """The same from ``metrics.jsonl``; event files hold float32."""
    found = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        fields = json.loads(line)
        step, timings = fields.pop("step"), fields.pop("timings")
        del timings["timestamp"]
        fields |= {f"timings/{name}": value for name, value in timings.items()}
        found += [(step, name, float32(value)) for name, value in fields.items()]
    return found


def float32(value: float) -> float:
    number: float = struct.unpack("f", struct.pack("f", value))[0]
    return number


def execute(workspace: Workspace, **settings: object) -> tuple[Run, Path]:
    run = workspace.runs.create("numbers-v1", "counting", settings)
    return workspace.worker().execute(run.id), workspace.paths.run(run.id)


def test_a_run_leaves_its_values_and_timings(counting_workspace: Workspace) -> None:
    run, folder = execute(counting_workspace, steps=12)
    assert run.status == "completed"
    assert run.plugins["tunix-tensorboard"]
    assert events(folder)[0].file_version == "brain.Event:2"
    assert written(folder) == recorded(folder)
    assert {tag for _, tag, _ in written(folder)} == {"loss", "timings/clock"}
    assert len(written(folder)) == 24


def test_a_resumed_run_shows_every_step_once(counting_workspace: Workspace) -> None:
    # Steps 6 to 8 are recorded, lost with the failure, and taken again.
    run, folder = execute(counting_workspace, steps=12, fail_at=9)
    assert run.status == "failed"
    assert [step for step, tag, _ in written(folder) if tag == "loss"] == list(range(1, 9))
    counting_workspace.runs.resume(run.id)
    assert counting_workspace.worker().execute(run.id).status == "failed"
    assert [step for step, tag, _ in written(folder) if tag == "loss"] == list(range(1, 9))
    assert written(folder) == recorded(folder)
    times = [event.wall_time for event in events(folder)[1:]]
    assert times == sorted(times), "earlier steps keep the time at which they were taken"


def test_events_that_cannot_be_written_cost_one_line_and_no_run(
    counting_workspace: Workspace,
) -> None:
    run = counting_workspace.runs.create("numbers-v1", "counting", {"steps": 7})
    folder = counting_workspace.paths.run(run.id)
    (folder / "tensorboard").touch()
    assert counting_workspace.worker().execute(run.id).status == "completed"
    assert len(list(counting_workspace.runs.metrics(run.id))) == 7
    warnings = [chunk.chunk for chunk in counting_workspace.runs.log(run.id).read()]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: tunix-tensorboard ")
    assert "FileExistsError" in warnings[0]


FULL = """
import resource, sys
from pathlib import Path
from tunix_core.plugins import Plugins

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
plugins = Plugins.discover()
told = {"run_id": "run", "values": {"loss": 0.5}, "timings": {}, "folder": Path(sys.argv[1])}
for step in range(1, 2001):
    plugins.observe("tunix_run_step", step=step, **told)
print("went on to the end")
"""


def test_files_that_can_grow_no_further_cost_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "went on to the end\n"), done.stderr
    assert done.stderr.splitlines()[0].startswith("warning: tunix-tensorboard ")
    assert "File too large" in done.stderr
    assert done.stderr.count("warning: ") == 1


def test_the_first_step_is_seen_at_once_and_what_is_no_number_left_out(tmp_path: Path) -> None:
    values = {"loss": float("inf"), "note": "high"}
    told = {"run_id": "run", "values": values, "timings": {"seconds": 1}, "folder": tmp_path}
    Plugins.discover().observe("tunix_run_step", step=1, **told)
    assert written(tmp_path) == [(1, "loss", float("inf")), (1, "timings/seconds", 1.0)]
