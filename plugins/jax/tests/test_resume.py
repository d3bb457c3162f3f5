"""A run that is killed and resumed ends as if it had never been: weights, moments and metrics."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tunix_core import Workspace
from tunix_core.codec import trace_to_json
from tunix_core.records import Step, Trace

STEPS = 40


def make_run(directory: Path, settings: dict[str, Any]) -> tuple[Path, str]:
    """A workspace with a dataset and a run on it that has not begun."""
    data = directory / "sums.jsonl"
    directory.mkdir()
    with data.open("w", encoding="utf-8") as out:
        for n in range(200):
            work = (Step(0, "compute", f"{n % 10} + {n // 10} = {n % 10 + n // 10}"),)
            trace = Trace(f"What is {n % 10} + {n // 10}?", str(n % 10 + n // 10), work)
            out.write(trace_to_json(trace) + "\n")
    with Workspace(directory / "workspace") as workspace:
        workspace.traces.import_file(data)
        workspace.datasets.build("sums", "v1", filters={"source": "sums"})
        run = workspace.runs.create("sums-v1", "jax", settings, seed=3, eval_dataset_key="sums-v1")
        return workspace.paths.run(run.id), run.id


@contextmanager
def runner(
    folder: Path, job: str = "train", environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process that a worker starts for a run; it would end if standard input did."""
    command = [sys.executable, "-m", "tunix_core.runner", job]
    with (
        (folder / f"log-{job}.txt").open("wb") as log,
        subprocess.Popen(
            [*command, str(folder.parents[1]), folder.name],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        ) as process,
    ):
        yield process


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Until a step was reported."""
    deadline = time.monotonic() + 300
    while steps_done(folder) < step and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def complete(folder: Path) -> None:
    """Let a run go on to its end."""
    with runner(folder) as process:
        process.wait(timeout=300)
    assert steps_done(folder) == STEPS, (folder / "log-train.txt").read_text()[-1000:]


def steps_done(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def outcome(folder: Path) -> tuple[list[Any], dict[str, Any], bytes, Any]:
    """Deterministic metrics, final metrics, the model's bytes and the last state."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["timings"]
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    weights = (folder / "model/model.safetensors").read_bytes()
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(folder / "checkpoints" / str(STEPS) / "state")
    return lines, metrics, weights, state


@pytest.mark.full
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "lora_rank": 2}])
def test_five_kills_leave_no_trace(changes: dict[str, Any], tmp_path: Path) -> None:
    settings = {
        "model_id": "tiny",
        "rows": 4,
        "max_length": 64,
        "vocab_size": 300,
        "steps": STEPS,
        "checkpoint_every": 3,
        "eval_every": 7,
        **changes,
    }
    whole, _ = make_run(tmp_path / "whole", settings)
    complete(whole)

    killed, _ = make_run(tmp_path / "killed", settings)
    for at in sorted(random.Random(5).sample(range(2, STEPS - 1), 5)):
        with runner(killed) as process:
            wait_for_step(killed, at, process)
            process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=60) == -signal.SIGKILL
    complete(killed)

    assert outcome(killed)[:3] == outcome(whole)[:3]
    jax.tree.map(np.testing.assert_array_equal, outcome(killed)[3], outcome(whole)[3])


@pytest.mark.full
@pytest.mark.parametrize("told", [0, 1])
def test_a_signal_to_any_process_ends_all_of_them_with_a_model(told: int, tmp_path: Path) -> None:
    settings = {"model_id": "tiny", "rows": 4, "max_length": 64, "vocab_size": 300, "steps": 4000}
    folder, _ = make_run(tmp_path / "both", settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    with (
        runner(folder, "train", {**common, "JAX_PROCESS_ID": "0"}) as leader,
        runner(folder, "join", {**common, "JAX_PROCESS_ID": "1"}) as follower,
    ):
        wait_for_step(folder, 3, leader)
        (leader, follower)[told].send_signal(signal.SIGTERM)
        codes = leader.wait(timeout=120), follower.wait(timeout=120)
    assert codes == (0, 0), (folder / "log-join.txt").read_text()[-1000:]
    result = json.loads((folder / "result.json").read_text())
    assert result["stop_reason"] == "terminated"
    assert 3 <= result["steps"] == steps_done(folder) < 4000
    assert (folder / "model/model.safetensors").exists()
