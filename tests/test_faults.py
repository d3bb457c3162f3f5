"""What is left behind by kills at random moments and by a full disk: nothing that is half done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import lose_lease, write_traces
from tunix_core import Workspace
from tunix_core.base.file_trees import tree_digest
from tunix_core.traces.importing import BATCH_RECORDS

pytestmark = pytest.mark.full

KILLS = 5
LINES = 60_000


def start(workspace: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(workspace: Path, arguments: Sequence[str], code: int = 0) -> str:
    """Run a command to its end; returns what it said on standard error."""
    process = start(workspace, arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return err


def kill_at(workspace: Path, arguments: Sequence[str], seconds: float) -> None:
    """Start a command and kill it, if it still runs, after so many seconds."""
    process = start(workspace, arguments)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def moments(seed: int, workspace: Path, arguments: Sequence[str]) -> Iterator[float]:
    """Random moments within the time that the command takes undisturbed."""
    begin = time.monotonic()
    finish(workspace, arguments)
    took = time.monotonic() - begin
    draw = random.Random(seed)
    for _ in range(KILLS):
        yield draw.uniform(0.15, 0.98) * took


def test_a_killed_import_leaves_whole_batches_and_is_completed_by_the_next(
    tmp_path: Path,
) -> None:
    file = write_traces(tmp_path / "traces.jsonl", LINES)
    arguments = ["traces", "import", str(file)]
    for number, moment in enumerate(moments(1, tmp_path / "undisturbed", arguments)):
        folder = tmp_path / f"killed-{number}"
        kill_at(folder, arguments, moment)
        with Workspace(folder) as workspace:
            kept = workspace.traces.count()
            assert kept % BATCH_RECORDS == 0 or kept == LINES
            finish(folder, arguments)
            assert workspace.traces.count() == LINES
            answers = {t.trace.final_answer for t in workspace.traces.list(LINES).items}
            assert len(answers) == LINES
            assert workspace.datasets.build("all", "v1").trace_count == LINES


def test_a_killed_build_leaves_nothing_or_all(tmp_path: Path) -> None:
    file = write_traces(tmp_path / "traces.jsonl", LINES)
    folder = tmp_path / "workspace"
    finish(folder, ["traces", "import", str(file)])
    build = ["datasets", "build", "all"]
    for number, moment in enumerate(moments(2, folder, [*build, "undisturbed"])):
        kill_at(folder, [*build, f"v{number}"], moment)
        with Workspace(folder) as workspace:
            for manifest in workspace.datasets.list():
                assert workspace.datasets.verify(manifest.dataset_key).trace_count == LINES
            finish(folder, [*build, f"v{number}"])
            digests = {manifest.sha256 for manifest in workspace.datasets.list()}
            assert len(digests) == 1
            assert len(workspace.datasets.list()) == number + 2


def test_a_killed_training_resumes_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "workspace"
    settings = {"model_id": "tiny", "rows": 4, "max_length": 64, "vocab_size": 300}
    settings |= {"steps": 400, "checkpoint_every": 10}
    options = [f"--set={key}={value}" for key, value in settings.items()]
    arguments = ["runs", "start", "numbers-v1", "--seed", "3", *options]
    with Workspace(folder) as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "numbers.jsonl", 200))
        workspace.datasets.build("numbers", "v1")
        # Compiling is long the first time; the second run shows how long a run really takes.
        finish(folder, arguments)
        times = list(moments(3, folder, arguments))
        whole = workspace.runs.list()[0]
        wanted = tree_digest(workspace.paths.run(whole.id) / "model")
        for moment in times:
            kill_at(folder, arguments, moment)
            run = workspace.runs.list()[0]
            if run.status == "running":
                lose_lease(workspace, run.id)
                run = workspace.runs.get(run.id)
                assert run.status == "failed", "a run whose worker died is found and marked"
                assert run.error is not None
                assert "runs resume" in run.error
            if run.status == "pending":
                run = workspace.worker().execute(run.id)
            elif run.status != "completed":
                workspace.runs.resume(run.id)
                run = workspace.worker().execute(run.id)
            assert (run.status, run.error) == ("completed", None)
            assert tree_digest(workspace.paths.run(run.id) / "model") == wanted
            steps = [line["step"] for line in workspace.runs.metrics(run.id)]
            assert steps == list(range(1, 401)), "metrics are cut back to the checkpoint"


# Trains a model large enough for a kill to fall into the middle of its copy.
LARGE = """
from random import Random

model = job.output_dir / "model"
model.mkdir()
with (model / "large.bin").open("wb") as large:
    for number in range(200):
        large.write(Random(number).randbytes(1 << 20))
(model / "small.txt").write_text(f"content of {job.seed}")
"""


def test_a_killed_promotion_leaves_nothing_or_a_whole_version(
    tmp_path: Path, install_module: Callable[[str], None]
) -> None:
    install_module("scripted_trainer")
    folder = tmp_path / "workspace"
    with Workspace(folder) as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "numbers.jsonl", 20))
        workspace.datasets.build("numbers", "v1")
        store = workspace.paths.models / "tunix-core.local"

        def trained(seed: int) -> str:
            run = workspace.runs.create("numbers-v1", "scripted", {"code": LARGE}, seed=seed)
            return workspace.worker().execute(run.id).id

        times = list(moments(4, folder, ["models", "promote", "mine", trained(KILLS)]))
        for number, moment in enumerate(times):
            run_id = trained(number)
            kill_at(folder, ["models", "promote", "mine", run_id], moment)
            for version in workspace.models.versions("mine"):
                workspace.models.verify(version.id)
            finish(folder, ["models", "promote", "mine", run_id])
            version = workspace.models.version("mine")
            assert (version.version, version.sha256) == (
                f"v{number + 2}",
                tree_digest(workspace.paths.run(run_id) / "model").sha256,
            )
            workspace.models.verify("mine")
            stored = {path.name for path in store.iterdir()} - {".lock"}
            assert stored == {v.sha256 for v in workspace.models.versions("mine")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that gives a disk of the size asked for, or resizes it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = False

    def resize(size: str) -> Path:
        nonlocal mounted
        option = f"remount,size={size}" if mounted else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(disk)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk of its own needs the right to mount: {done.stderr.strip()}")
        mounted = True
        return disk

    yield resize
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_gives_one_line_and_loses_nothing_that_was_acknowledged(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    file = write_traces(tmp_path / "traces.jsonl", LINES)
    folder = small_disk("20m") / "workspace"
    said = finish(folder, ["traces", "import", str(file)], code=1)
    (error,) = [line for line in said.splitlines() if not line.startswith("importing ")]
    assert error.startswith("error: ")
    assert "disk is full" in error
    assert "traces were stored before that" in error
    small_disk("23m")
    with Workspace(folder) as workspace:
        kept = workspace.traces.count()
    assert 0 < kept < LINES
    assert kept % BATCH_RECORDS == 0
    said = finish(folder, ["datasets", "build", "all", "v1"], code=1)
    (error,) = [line for line in said.splitlines() if not line.startswith("building ")]
    assert error.startswith("error: ")
    small_disk("200m")
    finish(folder, ["traces", "import", str(file)])
    finish(folder, ["datasets", "build", "all", "v1"])
    with Workspace(folder) as workspace:
        assert workspace.traces.count() == LINES
        assert [m.trace_count for m in workspace.datasets.list()] == [LINES]
        left = [path.name for path in workspace.paths.datasets.iterdir()]
        assert left == ["all-v1"], "nothing half-written is left behind"
