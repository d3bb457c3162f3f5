"""The group ``health`` over a socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

StartServer = Callable[..., AbstractContextManager[Any]]


def test_health_says_that_the_server_is_up(client: httpx2.Client) -> None:
    answer = client.get("/api/health")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == b'{"status":"healthy"}'


@pytest.mark.parametrize("path", ["/api/health", "/api/redi/health", "/metrics"])
def test_health_is_read_only(client: httpx2.Client, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET"


def test_rediai_is_healthy_where_it_is_mocked(client: httpx2.Client) -> None:
    answer = client.get("/api/redi/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_metrics_are_prometheus_text(
    client: httpx2.Client, make_trace: Callable[..., dict[str, Any]]
) -> None:
    assert client.post("/api/traces", json=make_trace(1)).status_code == 201
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert "# TYPE tunix_runs_total counter" in answer.text
    assert "# TYPE tunix_runs_duration_seconds histogram" in answer.text
    count = 'tunix_db_write_latency_ms_count{operation="create_trace"} '
    assert any(line.startswith(count) and line != f"{count}0.0" for line in answer.text.split("\n"))
    assert 'tunix_http_requests_total{method="POST",status="201"}' in answer.text


def test_an_unknown_path_is_not_found(client: httpx2.Client) -> None:
    answer = client.get("/api/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, {"status": "healthy"}), (503, {"status": "down", "error": "HTTP 503"})],
)
def test_real_rediai_is_asked_once_per_time_to_live(
    start_server: StartServer, tmp_path: Path, status: int, expected: dict[str, str]
) -> None:
    with _rediai(status) as (url, asked):
        environment = {"REDIAI_MODE": "real", "REDIAI_BASE_URL": url, "REDIAI_HEALTH_PATH": "/ok"}
        with start_server(tmp_path, environment=environment) as server:
            answers = [server.client.get("/api/redi/health") for _ in range(3)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, expected)] * 3
    assert asked == ["/ok"]


def test_rediai_that_does_not_answer_is_down(start_server: StartServer, tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound but not listening: whoever connects is refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = {"REDIAI_MODE": "real", "REDIAI_BASE_URL": url}
        with start_server(tmp_path, environment=environment) as server:
            answer = server.client.get("/api/redi/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "down"
    assert "refused" in answer.json()["error"]


@contextmanager
def _rediai(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every GET with ``status``, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so named there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
