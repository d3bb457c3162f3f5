"""``tunix-rt serve`` as a process: how it begins, ends, logs and bears many clients."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import pytest

Server = Any
StartServer = Callable[..., AbstractContextManager[Any]]
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - opens nothing
STOP_S = 8.0
MIB = 1024 * 1024


def refused(*options: str, environment: dict[str, str] | None = None, code: int = 2) -> str:
    """What ``tunix-rt serve`` says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "tunix_core.cli", "serve", *options],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def stop(server: Server, number: int = signal.SIGTERM) -> float:
    """Send a signal and wait for a good end; the seconds it took."""
    began = time.monotonic()
    server.process.send_signal(number)
    assert server.process.wait(60) == 0
    return time.monotonic() - began


def enqueue(server: Server, dataset_key: str, **settings: Any) -> str:
    """Id of a new run."""
    body = {"dataset_key": dataset_key, "model_id": "m", "dry_run": False, **settings}
    answer = server.client.post("/api/tunix/run", params={"mode": "async"}, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


# How it begins.


def test_it_does_not_start_over_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "tunix.db").write_bytes(b"no database" * 1000)
    said = refused("--port", "0", environment={"TUNIX_WORKSPACE": str(tmp_path)}, code=1)
    assert "tunix.db" in said


def test_it_does_not_start_where_others_reach_it_without_a_token(tmp_path: Path) -> None:
    line = refused("--host", "0.0.0.0", "--port", "0")  # noqa: S104 - the case in question
    assert line.startswith("error: 0.0.0.0 can be reached from other machines")
    assert "TUNIX_HTTP_TOKEN" in line


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1 port {port}" in refused("--port", str(port))


def test_a_setting_that_is_wrong_is_named() -> None:
    line = refused(environment={"BACKEND_PORT": "many"})
    assert line.startswith("error: BACKEND_PORT: ")


def test_the_token_may_be_in_a_file(start_server: StartServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    options = ("--host", "0.0.0.0", "--token-file", str(file))  # noqa: S104
    with start_server(tmp_path, *options) as server:
        port = server.url.rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/api/tunix/runs"
        assert httpx2.get(url).status_code == 401
        assert httpx2.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        log = server.log.read_text()
    assert "/?token=TOKEN" in log
    assert TOKEN not in log


# How it ends.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_good_end(start_server: StartServer, tmp_path: Path, number: int) -> None:
    with start_server(tmp_path) as server:
        assert server.client.get("/api/health", headers={"X-Request-ID": "last"}).status_code == 200
        assert stop(server, number) < STOP_S
        first, *lines = server.log.read_text().splitlines()
        assert first.startswith(f"tunix-rt serves {server.url}  workspace {server.workspace}")
        assert [json.loads(line)["request_id"] for line in lines] == ["last"]


def test_what_was_stored_is_there_after_a_restart(
    start_server: StartServer, tmp_path: Path, make_trace: Callable[..., dict[str, Any]]
) -> None:
    with start_server(tmp_path) as server:
        stored = server.client.post("/api/traces", json=make_trace(1)).json()["id"]
        port = server.url.rpartition(":")[2]
        server.process.kill()
        server.process.wait()
    # The connection of before is still known to the kernel; the port can be had all the same.
    with start_server(tmp_path, "--port", port) as server:
        assert server.client.get(f"/api/traces/{stored}").status_code == 200


def test_readers_of_a_log_do_not_keep_it_from_ending(
    start_server: StartServer, tmp_path: Path, make_trace: Callable[..., dict[str, Any]]
) -> None:
    with start_server(tmp_path, "--workers", "0") as server:
        dataset = build_dataset(server, make_trace)
        run_id = enqueue(server, dataset)
        with server.client.stream("GET", f"/api/tunix/runs/{run_id}/logs") as events:
            assert b"retry" in next(events.iter_raw())
            assert stop(server) < STOP_S
        assert "Traceback" not in server.log.read_text()


def test_a_run_that_is_executed_goes_back_to_the_queue(
    start_server: StartServer, tmp_path: Path, make_trace: Callable[..., dict[str, Any]]
) -> None:
    with start_server(tmp_path) as server:
        dataset = build_dataset(server, make_trace)
        slow = {"settings": {"steps": 40, "step_seconds": 0.1}}
        run_id = enqueue(server, dataset, **slow)
        wait_for(server, run_id, "running")
        time.sleep(1.0)
        stop(server)
    with start_server(tmp_path) as server:
        wait_for(server, run_id, "completed")


def test_runs_that_are_waited_for_hold_up_no_other_work_and_not_its_end(
    start_server: StartServer, tmp_path: Path, make_trace: Callable[..., dict[str, Any]]
) -> None:
    with start_server(tmp_path, "--workers", "0") as server, ThreadPoolExecutor(12) as waiting:
        dataset = build_dataset(server, make_trace)
        body = {"dataset_key": dataset, "model_id": "m", "dry_run": False}
        body["settings"] = {"steps": 600, "step_seconds": 0.1}
        # More than may be executed at a time.
        answers = [
            waiting.submit(httpx2.post, f"{server.url}/api/tunix/run", json=body, timeout=60.0)
            for _ in range(12)
        ]
        deadline = time.monotonic() + 30.0
        while len(server.client.get("/api/tunix/runs?status=running").json()["data"]) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        again = {"dataset_name": "other", "dataset_version": "v1"}
        built = server.client.post("/api/datasets/build", json=again, timeout=10.0)
        assert built.status_code == 201
        assert stop(server) < STOP_S
        # Nobody has to guess what became of a run: it will go on.
        ended = [answer.result() for answer in answers]
    assert [(answer.status_code, answer.json()["status"]) for answer in ended] == [
        (200, "pending")
    ] * 12


def test_runs_of_other_workers_are_counted(
    start_server: StartServer,
    trainer_site: Path,
    tmp_path: Path,
    make_trace: Callable[..., dict[str, Any]],
) -> None:
    with start_server(tmp_path, "--workers", "0") as server:
        dataset = build_dataset(server, make_trace)
        run_id = enqueue(server, dataset)
        waiting = 'tunix_runs_active{mode="local",status="pending"} 1.0'
        assert waiting in metrics(server)
        command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(server.workspace)]
        environment = {**os.environ, "PYTHONPATH": str(trainer_site)}
        subprocess.run([*command, "worker", "--once"], env=environment, check=True)
        wait_for(server, run_id, "completed")
        shown = metrics(server)
        assert waiting not in shown
        assert 'tunix_runs_total{mode="local",status="completed"} 1.0' in shown
        count = 'tunix_runs_duration_seconds_count{mode="local",status="completed"} 1.0'
        assert count in shown
        assert any(line.startswith("process_resident_memory_bytes ") for line in shown)


# Many clients.


@pytest.mark.full
def test_ten_thousand_idle_connections_and_a_thousand_readers(
    start_server: StartServer, tmp_path: Path, make_trace: Callable[..., dict[str, Any]]
) -> None:
    environment = {"TUNIX_HTTP_HEADER_TIMEOUT_S": "600"}
    with start_server(tmp_path, "--workers", "0", environment=environment) as server:
        dataset = build_dataset(server, make_trace)
        asyncio.run(crowd(server, f"/api/tunix/runs/{enqueue(server, dataset)}/logs"))


async def crowd(server: Server, path: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = int(server.url.rpartition(":")[2])
    writers = []
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for number in range(11_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writers.append(writer)
            if number < 1_000:
                writer.write(request)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        # All of them are read from, as the streams have something to say every second.
        await asyncio.sleep(3.0)
        waits = [await asyncio.to_thread(seconds_to_answer, server) for _ in range(50)]
        # Half a millisecond where nothing else runs; one answer alone may meet a busy machine.
        assert median(waits) < 0.1, sorted(waits)[-5:]
        name = "process_resident_memory_bytes "
        (memory,) = (line for line in metrics(server) if line.startswith(name))
        assert float(memory.removeprefix(name)) < 500 * MIB
    finally:
        for writer in writers:
            writer.transport.abort()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def seconds_to_answer(server: Server) -> float:
    began = time.perf_counter()
    assert server.client.get("/api/health").status_code == 200
    return time.perf_counter() - began


def metrics(server: Server) -> list[str]:
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    return str(answer.text).splitlines()


def wait_for(server: Server, run_id: str, status: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while (answer := server.client.get(f"/api/tunix/runs/{run_id}/status").json()["status"]) != (
        status
    ):
        assert answer in ("pending", "running"), answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)


def build_dataset(server: Server, make_trace: Callable[..., dict[str, Any]]) -> str:
    traces = [make_trace(number) for number in range(3)]
    assert server.client.post("/api/traces/batch", json=traces).status_code == 201
    wanted = {"dataset_name": "few", "dataset_version": "v1"}
    answer = server.client.post("/api/datasets/build", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["dataset_key"])
