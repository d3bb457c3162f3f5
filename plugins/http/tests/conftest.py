"""A real server process, and what tests send to it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attrs import frozen

TRAINER = "counting_trainer"
SAMPLES = Path(__file__).parents[3] / "tests" / "samples"
READY = re.compile(r"tunix-rt serves (\S+)")
READY_S = 60.0
STOP_S = 30.0


@frozen
class Server:
    """A running server.

    Args:
        url: Where it listens.
        workspace: Its workspace.
        folder: Its working directory.
        log: What it writes on standard error.
        process: The process.
        client: Sends requests to it.
    """

    url: str
    workspace: Path
    folder: Path
    log: Path
    process: subprocess.Popen[bytes]
    client: httpx2.Client


StartServer = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def trainer_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for PYTHONPATH with the counting trainer, installed as a distribution."""
    site = tmp_path_factory.mktemp("site")
    info = site / f"{TRAINER}-1.0.dist-info"
    info.mkdir()
    name = TRAINER.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tunix_core]\n{name} = {TRAINER}\n")
    shutil.copy(SAMPLES / f"{TRAINER}.py", site)
    return site


@pytest.fixture(scope="session")
def start_server(trainer_site: Path) -> StartServer:
    """``start_server(folder, *options, environment)``: a server with a workspace in ``folder``.

    Started again in the same folder it has the same workspace. Its trainer is the counting one.
    """

    @contextmanager
    def start(
        folder: Path, *options: str, environment: Mapping[str, str] | None = None
    ) -> Iterator[Server]:
        workspace, log = folder / "workspace", folder / "server.log"
        command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace)]
        settings = {
            "PYTHONPATH": str(trainer_site),
            "TUNIX_HTTP_DEFAULT_TRAINER": "counting",
            **(environment or {}),
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "serve", "--port", "0", *options],
                cwd=folder,
                env={**os.environ, **settings},
                stderr=out,
            )
        try:
            url = _address(process, log)
            with httpx2.Client(base_url=url, timeout=60.0) as client:
                yield Server(url, workspace, folder, log, process, client)
        finally:
            _stop(process)

    return start


@pytest.fixture(scope="session")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as usable as they found it."""
    with start_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def client(server: Server) -> httpx2.Client:
    """Sends requests to :func:`server`."""
    return server.client


@pytest.fixture
def own_server(start_server: StartServer, tmp_path: Path) -> Iterator[Server]:
    """A server that has answered nothing yet."""
    with start_server(tmp_path) as started:
        yield started


@pytest.fixture
def most_memory(own_server: Server) -> Callable[[], int]:
    """``most_memory()``: the most that :func:`own_server` ever held, in bytes."""

    def read() -> int:
        status = Path(f"/proc/{own_server.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    return read


@pytest.fixture
def make_trace() -> Callable[..., dict[str, Any]]:
    """``make_trace(number, **fields)``: a small valid trace, some of its fields replaced."""
    return trace


@pytest.fixture(scope="session")
def numbers_dataset(client: httpx2.Client, store_numbers: Callable[[httpx2.Client], str]) -> str:
    """Key of a dataset of 20 traces on the server."""
    return store_numbers(client)


@pytest.fixture(scope="session")
def store_numbers() -> Callable[[httpx2.Client], str]:
    """``store_numbers(client)``: store 20 traces and build a dataset of them; its key."""
    return numbers


def numbers(client: httpx2.Client) -> str:
    lines = "".join(json.dumps(trace(number)) + "\n" for number in range(20))
    sent = client.post(
        "/api/datasets/ingest",
        params={"source_name": "numbers"},
        headers={"Content-Type": "application/x-ndjson"},
        content=lines,
    )
    assert sent.status_code == 201, sent.text
    wanted = {"dataset_name": "numbers", "dataset_version": "v1", "filters": {"source": "numbers"}}
    built = client.post("/api/datasets/build", json=wanted)
    assert built.status_code == 201, built.text
    return str(built.json()["dataset_key"])


def trace(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "trace_version": "1.0",
        "prompt": f"What follows {number}?",
        "final_answer": str(number + 1),
        "steps": [{"i": 0, "type": "compute", "content": f"{number} + 1 = {number + 1}"}],
        "meta": {"source": "tests", "topic": number % 3},
        **fields,
    }


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        found = READY.search(log.read_text("utf-8", "replace"))
        if found:
            return found.group(1)
        assert process.poll() is None, log.read_text("utf-8", "replace")
        time.sleep(0.05)
    raise AssertionError(f"not ready after {READY_S} s: {log.read_text('utf-8', 'replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
