"""Several devices, and several processes, learn what one device learns."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunix_core.codec import trace_to_json
from tunix_core.records import Step, Trace

SETTINGS: dict[str, Any] = {
    "model_id": "tiny",
    "decoder": {"layers": 1},
    "rows": 16,
    "max_length": 64,
    "vocab_size": 300,
    "steps": 4,
    "optimizer": "adamw",
    "warmup_steps": 1,
}
SCRIPT = Path(__file__).with_name("train_once.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "dataset.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for a in range(12):
            for b in range(12):
                work = (Step(0, "compute", f"{a} + {b} = {a + b}"),)
                out.write(trace_to_json(Trace(f"What is {a} + {b}?", str(a + b), work)) + "\n")
    return path


def start(
    directory: Path,
    data: Path,
    settings: Mapping[str, Any],
    devices: int,
    environment: Mapping[str, str],
) -> subprocess.Popen[str]:
    compiled = os.environ.get("XLA_FLAGS", "")
    flags = f"{compiled} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(directory), str(data), json.dumps(settings)],
        env={**os.environ, "XLA_FLAGS": flags, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]


def train(
    directory: Path, data: Path, devices: int = 1, processes: int = 1, **changes: Any
) -> dict[str, Any]:
    """What was reported by a run over some processes with some devices each."""
    settings = {**SETTINGS, **changes}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = []
    for number in range(processes):
        environment = {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_PROCESS_ID": str(number),
        }
        environment = environment if processes > 1 else {}
        started.append(start(directory, data, settings, devices, environment))
    for process in started:
        finish(process)
    said: dict[str, Any] = json.loads((directory / "steps-0.json").read_text())
    return said


def losses(said: Mapping[str, Any]) -> list[float]:
    return [values["loss"] for _, values in said["steps"]]


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(train(tmp_path_factory.mktemp("alone") / "run", data))


@pytest.mark.parametrize(
    "mesh",
    [
        {"fsdp": 8},
        {"fsdp": 4, "tensor": 2},
        pytest.param({"data": 2, "fsdp": 2, "tensor": 2}, marks=pytest.mark.full),
        pytest.param({"data": 8, "fsdp": 1}, marks=pytest.mark.full),
    ],
)
def test_eight_devices_give_the_losses_of_one(
    mesh: dict[str, int], data: Path, alone: list[float], tmp_path: Path
) -> None:
    spread = losses(train(tmp_path / "run", data, devices=8, mesh=mesh))
    np.testing.assert_allclose(spread, alone, atol=1e-5)


def test_two_processes_give_the_losses_of_one_and_one_model(
    data: Path, alone: list[float], tmp_path: Path
) -> None:
    said = train(tmp_path / "run", data, devices=2, processes=2)
    np.testing.assert_allclose(losses(said), alone, atol=1e-5)
    assert json.loads((tmp_path / "run/steps-1.json").read_text())["taken"] == 4
    assert (tmp_path / "run/model/model.safetensors").exists()


@pytest.mark.full
def test_two_processes_stop_together_and_go_on_as_if_they_had_not(
    data: Path, alone: list[float], tmp_path: Path
) -> None:
    stopped = train(tmp_path / "run", data, devices=1, processes=2, stop_at=2)
    assert stopped["reason"] == "cancelled"
    assert stopped["taken"] < 4
    resumed = train(tmp_path / "run", data, devices=1, processes=2)
    np.testing.assert_allclose(losses(stopped) + losses(resumed), alone, atol=1e-5)


def test_the_device_that_is_set_is_the_one_that_is_used(data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "device": "cpu"}
    process = start(tmp_path / "run", data, settings, 1, {"JAX_PLATFORMS": "cuda"})
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("changes", [{"accumulation": 4}, {"accumulation": 16}])
def test_accumulation_gives_the_losses_of_one_batch(
    changes: dict[str, Any], data: Path, alone: list[float], tmp_path: Path
) -> None:
    np.testing.assert_allclose(losses(train(tmp_path / "run", data, **changes)), alone, atol=1e-5)


def test_what_cannot_be_arranged_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "run", data, {**SETTINGS, "mesh": {"fsdp": 3}}, 8, {})
    _, errors = process.communicate(timeout=300)
    assert "mesh: data=1, fsdp=3, tensor=1 does not make 8 devices" in errors
    process = start(tmp_path / "run", data, {**SETTINGS, "rows": 12}, 8, {})
    _, errors = process.communicate(timeout=300)
    assert "12 rows in a micro-batch cannot be spread over 8 devices" in errors
    process = start(tmp_path / "run", data, SETTINGS, 1, {"JAX_PROCESS_ID": "1"})
    _, errors = process.communicate(timeout=300)
    assert "needs JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES" in errors
    process = start(tmp_path / "run", data, SETTINGS, 1, {"JAX_PLATFORMS": "cuda"})
    _, errors = process.communicate(timeout=300)
    assert "no cuda here" in errors
    process = start(tmp_path / "run", data, {**SETTINGS, "device": "tpu"}, 1, {})
    _, errors = process.communicate(timeout=300)
    assert "no tpu here" in errors
    settings = {**SETTINGS, "mesh": {"fsdp": 1, "tensor": 4}}
    process = start(tmp_path / "run", data, settings, 4, {})
    _, errors = process.communicate(timeout=300)
    assert "mesh: tensor=4 does not divide 2 heads" in errors
