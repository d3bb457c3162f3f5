"""What every executor must do; subclass :class:`ExecutorConformance` in your tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest

from tunix_core.plugins import Plugins
from tunix_core.protocols import Executor, Process, ProcessRequest
from tunix_core.records import Step, Trace
from tunix_core.runs.log import RunLog
from tunix_core.workspace import Workspace

WAIT_S = 60.0
POLL_S = 0.05

# A trainer that takes as long as it is let, and says every step that it lives.
TRAINER = """
import time
from tunix_core import hookimpl
from tunix_core.contributions import TrainerContribution
from tunix_core.protocols import TrainResult

class Waiting:
    def fit(self, job, reporter):
        reporter.begin(1000, 0)
        reporter.log("training begins")
        reason, step = None, 0
        while reason is None and step < 1000:
            step += 1
            time.sleep(0.05)
            (job.output_dir / "alive").write_text(str(step))
            reporter.step(step, {"loss": 0.0})
            reason = reporter.stop_reason()
        model = job.output_dir / "model"
        model.mkdir(exist_ok=True)
        return TrainResult(model, step, step, reason or "completed")

    def load(self, request):
        raise NotImplementedError

@hookimpl
def tunix_trainers():
    return [TrainerContribution(name="waiting", summary="Waits to be stopped", factory=Waiting)]
"""

# Starts a process by an executor, and waits to be killed.
STARTER = """
import sys, time
from pathlib import Path
from tunix_core.testing.executor import load, request_for
executor = load(sys.argv[1])()
process = executor.start(request_for(Path(sys.argv[2]), sys.argv[3]))
while process.poll() is None:
    time.sleep(0.1)
"""


def load(reference: str) -> Callable[[], Executor]:
    """The factory behind ``"module:attribute"``."""
    module, _, attribute = reference.partition(":")
    factory: Callable[[], Executor] = getattr(import_module(module), attribute)
    return factory


def request_for(
    workspace: Path, run_id: str, job: Literal["train", "join", "predict"] = "train"
) -> ProcessRequest:
    """The process of a run, which logs beside the workspace."""
    log = workspace.parent / "log.jsonl"
    return ProcessRequest(
        job=job, workspace=workspace, arguments=(run_id,), log=log, resources={"cpu": 1.0}
    )


class ExecutorConformance:
    """The contract of an executor: what it starts ends with it, and tells all that a child would.

    Processes see the environment and the file system of these tests.

    Example::

        class TestMine(ExecutorConformance):
            reference = "acme.cluster:local_test_executor"
    """

    reference: str
    """``"module:attribute"`` of what makes an executor, without arguments."""

    def make(self) -> Executor:
        """An executor."""
        return load(self.reference)()

    @pytest.fixture
    def workspace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A workspace with a dataset, for which a trainer is installed that waits."""
        site = tmp_path / "site"
        info = site / "conformance_waiting-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "conformance_waiting.py").write_text(TRAINER)
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: conformance-waiting\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text("[tunix_core]\nwaiting = conformance_waiting\n")
        earlier = os.environ.get("PYTHONPATH")
        paths = [str(site), *([earlier] if earlier else [])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        monkeypatch.syspath_prepend(site)
        with Workspace(tmp_path / "workspace", Plugins.discover()) as opened:
            trace = Trace("What is 1 + 1?", "2", (Step(0, "compute", "1 + 1 = 2"),))
            opened.traces.create(trace)
            opened.datasets.build("one", "v1")
        return tmp_path / "workspace"

    @pytest.fixture
    def run_id(self, workspace: Path) -> str:
        """A run of the waiting trainer that nobody has claimed."""
        with Workspace(workspace, Plugins.discover()) as opened:
            return opened.runs.create("one-v1", "waiting").id

    def test_is_an_executor(self) -> None:
        assert isinstance(self.make(), Executor)

    def test_a_failure_has_its_exit_code_and_its_last_line(self, workspace: Path) -> None:
        request = request_for(workspace, "nothing")
        process = self.make().start(request)
        assert wait_for(process) == 2
        assert process.last_line().startswith("error: run 'nothing' not found")
        printed = "".join(chunk.chunk for chunk in RunLog(request.log).read())
        assert process.last_line() in printed

    def test_asked_to_end_it_ends_with_a_model_and_says_so(
        self, workspace: Path, run_id: str
    ) -> None:
        request = request_for(workspace, run_id)
        process = self.make().start(request)
        folder = workspace / "runs" / run_id
        wait_until(lambda: (folder / "alive").exists(), process)
        assert process.poll() is None
        process.terminate()
        assert wait_for(process) == 0
        process.terminate()
        process.kill()
        assert process.poll() == 0
        assert '"stop_reason": "terminated"' in (folder / "result.json").read_text()
        printed = [chunk for chunk in RunLog(request.log).read() if chunk.stream == "stdout"]
        assert "training begins\n" in [chunk.chunk for chunk in printed]

    def test_killed_it_is_gone(self, workspace: Path, run_id: str) -> None:
        process = self.make().start(request_for(workspace, run_id))
        alive = workspace / "runs" / run_id / "alive"
        wait_until(alive.exists, process)
        process.kill()
        assert process.poll() not in (None, 0)
        assert has_ended(alive)

    def test_it_ends_when_whoever_started_it_is_killed(self, workspace: Path, run_id: str) -> None:
        command = [sys.executable, "-c", STARTER, self.reference, str(workspace), run_id]
        alive = workspace / "runs" / run_id / "alive"
        with subprocess.Popen(command) as starter:
            try:
                deadline = time.monotonic() + WAIT_S
                while not alive.exists() and time.monotonic() < deadline:
                    time.sleep(POLL_S)
                assert alive.exists()
            finally:
                starter.send_signal(signal.SIGKILL)
        assert has_ended(alive)


def wait_for(process: Process) -> int:
    """The exit code of a process that ends within a minute."""
    deadline = time.monotonic() + WAIT_S
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline, "the process does not end"
        time.sleep(POLL_S)
    return code


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Wait for something that a process does within a minute."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert process.poll() is None, process.last_line()
        assert time.monotonic() < deadline, "the process does nothing"
        time.sleep(POLL_S)


def has_ended(alive: Path) -> bool:
    """Whether the trainer that wrote ``alive`` stops writing, within a minute."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        before = alive.stat().st_mtime_ns
        time.sleep(1.0)
        if alive.stat().st_mtime_ns == before:
            return True
    return False
