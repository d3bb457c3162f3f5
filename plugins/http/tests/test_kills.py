"""Server, worker and training process are killed at random moments; what was said stays true."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

KILLS = 20
# A lease lasts 15 s; whoever looks after that marks the run.
MARKED_S = 30.0
STEPS = 150
STEP_S = 0.02
TERMINAL = {"completed", "failed", "cancelled", "timeout"}

StartServer = Callable[..., AbstractContextManager[Any]]


@contextmanager
def worker(workspace: Path, site: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``tunix-rt worker`` beside the server."""
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace), "worker"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(site)}, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def processes_of(run_id: str) -> list[psutil.Process]:
    """The training process of a run, and whatever else names it."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(run_id in argument for argument in process.info["cmdline"] or ()):
            found.append(process)
    return found


def start_run(client: httpx2.Client) -> str:
    request = {
        "dataset_key": "kills-v1",
        "model_id": "counting",
        "dry_run": False,
        "settings": {"steps": STEPS, "step_seconds": STEP_S},
    }
    answer = client.post("/api/tunix/run", params={"mode": "async"}, json=request)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def status_of(client: httpx2.Client, run_id: str) -> str:
    answer = client.get(f"/api/tunix/runs/{run_id}/status")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


def wait_until_running(client: httpx2.Client, run_id: str) -> None:
    deadline = time.monotonic() + MARKED_S
    while not (processes_of(run_id) or status_of(client, run_id) in TERMINAL):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_ended(client: httpx2.Client, run_id: str) -> str:
    deadline = time.monotonic() + MARKED_S
    while (status := status_of(client, run_id)) not in TERMINAL:
        assert time.monotonic() < deadline, f"still {status} after {MARKED_S} s"
        time.sleep(0.2)
    return status


def check_end(server: Any, run_id: str, status: str) -> None:
    """The state says what is there, and no process is left."""
    run = server.client.get(f"/api/tunix/runs/{run_id}").json()
    steps = server.client.get(f"/api/tunix/runs/{run_id}/metrics").json()
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    if status == "completed":
        assert len(steps) == STEPS
        assert (server.workspace / "runs" / run_id / "model" / "answer.json").exists()
    else:
        assert status == "failed"
        assert run["stderr"] or run["message"]
    left = [p for p in processes_of(run_id) if p.status() != psutil.STATUS_ZOMBIE]
    assert not left
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert not [p for p in children if p.status() == psutil.STATUS_ZOMBIE]


def store_traces(client: httpx2.Client, first: int) -> list[str]:
    """Ids of traces that were acknowledged; an error means that the server was killed."""
    ids = []
    step = {"i": 0, "type": "compute", "content": "1 + 1 = 2"}
    for number in range(first, first + 50):
        body = {
            "trace_version": "1.0",
            "prompt": f"kill {number}",
            "final_answer": "2",
            "steps": [step],
            "meta": {"source": "kills"},
        }
        try:
            answer = client.post("/api/traces", json=body)
        except httpx2.TransportError:
            break
        assert answer.status_code == 201, answer.text
        ids.append(str(answer.json()["id"]))
    return ids


@pytest.mark.full
def test_twenty_kills_leave_every_run_in_a_true_state_and_lose_nothing(
    start_server: StartServer, trainer_site: Path, tmp_path: Path
) -> None:
    numbers = random.Random(20)
    acknowledged: list[str] = []
    with start_server(tmp_path) as server:
        acknowledged += store_traces(server.client, 0)
        wanted = {"dataset_name": "kills", "dataset_version": "v1", "limit": 20}
        assert server.client.post("/api/datasets/build", json=wanted).status_code == 201
    for kill in range(KILLS):
        victim = ("server", "worker", "training")[kill % 3]
        moment = numbers.uniform(0.0, 1.3 * STEPS * STEP_S)
        workers = "0" if victim == "worker" else "1"
        with start_server(tmp_path, "--workers", workers) as server:
            if victim == "worker":
                with worker(server.workspace, trainer_site) as beside:
                    run_id = start_run(server.client)
                    wait_until_running(server.client, run_id)
                    time.sleep(moment)
                    beside.kill()
                check_end(server, run_id, wait_until_ended(server.client, run_id))
                continue
            run_id = start_run(server.client)
            wait_until_running(server.client, run_id)
            if victim == "training":
                time.sleep(moment)
                for process in processes_of(run_id):
                    process.send_signal(signal.SIGKILL)
                check_end(server, run_id, wait_until_ended(server.client, run_id))
                continue
            ended = time.monotonic() + moment
            while time.monotonic() < ended:
                acknowledged += store_traces(server.client, len(acknowledged))
            server.process.kill()
            server.process.wait()
        with start_server(tmp_path) as server:
            check_end(server, run_id, wait_until_ended(server.client, run_id))
    with start_server(tmp_path) as server:
        for trace_id in acknowledged:
            assert server.client.get(f"/api/traces/{trace_id}").status_code == 200
