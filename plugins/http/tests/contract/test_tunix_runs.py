"""The group ``tunix_runs`` over a socket, but for the streams of logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

Answer = Callable[..., dict[str, Any]]

RUNS = "/api/tunix/runs"


@pytest.fixture(scope="session")
def trained(client: httpx2.Client, numbers_dataset: str, start_run: Answer) -> dict[str, Any]:
    """A run that has completed five steps."""
    return start_run(client, numbers_dataset, dry_run=False, settings={"steps": 5})


@pytest.fixture(scope="session")
def folder(server: Any, trained: dict[str, Any]) -> Path:
    """The directory of that run."""
    path: Path = server.workspace / "runs" / trained["run_id"]
    return path


def test_runs_are_listed_newest_first(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer, trained: dict[str, Any]
) -> None:
    newer = start_run(client, numbers_dataset)
    page = client.get(RUNS, params={"limit": 1}).json()
    assert [item["run_id"] for item in page["data"]] == [newer["run_id"]]
    assert page["pagination"] == {"limit": 1, "offset": 0, "next_offset": 1}
    found = client.get(RUNS, params={"mode": "local", "status": "completed"}).json()["data"]
    item = next(item for item in found if item["run_id"] == trained["run_id"])
    same = ("run_id", "dataset_key", "model_id", "mode", "status", "started_at")
    assert {key: item[key] for key in same} == {key: trained[key] for key in same}
    assert item["duration_seconds"] == trained["duration_seconds"]
    assert item["metrics"] == {"loss": 0.2}


def test_pages_of_runs_meet(client: httpx2.Client, start_run: Answer) -> None:
    dataset = str(uuid4())
    made = [start_run(client, dataset)["run_id"] for _ in range(5)]
    walked: list[str] = []
    offset = 0
    while offset is not None:
        query: dict[str, Any] = {"dataset_key": dataset, "limit": 2, "offset": offset}
        page = client.get(RUNS, params=query).json()
        walked += [item["run_id"] for item in page["data"]]
        offset = page["pagination"]["next_offset"]
    assert walked == made[::-1]


@pytest.mark.parametrize("name", ["status", "dataset_key", "mode"])
@pytest.mark.parametrize("value", ["unequalled", "", "\x00", "'", "%"])
def test_a_filter_that_nothing_equals_gives_nothing(
    client: httpx2.Client, trained: dict[str, Any], name: str, value: str
) -> None:
    assert client.get(RUNS, params={name: value}).json()["data"] == []
    assert trained["run_id"] in client.get(RUNS, params={name: trained[name], "limit": 100}).text


@pytest.mark.parametrize(
    ("query", "fragment"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 2**63}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**63}, "offset"),
    ],
)
def test_a_page_out_of_range_is_refused_in_words(
    client: httpx2.Client, query: dict[str, int], fragment: str
) -> None:
    answer = client.get(RUNS, params=query)
    assert answer.status_code == 422
    assert fragment in answer.json()["detail"]
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("query", [{"limit": "x"}, {"offset": "1.5"}, {"limit": ""}])
def test_a_page_that_is_no_number_is_refused_item_by_item(
    client: httpx2.Client, query: dict[str, str]
) -> None:
    answer = client.get(RUNS, params=query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", *query]


@pytest.mark.parametrize("query", [{"limit": 1}, {"limit": 100}, {"offset": 2**63 - 1}])
def test_a_page_at_the_edge_is_served(client: httpx2.Client, query: dict[str, int]) -> None:
    assert client.get(RUNS, params=query).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/status"),
        ("POST", "/cancel"),
        ("GET", "/artifacts"),
        ("GET", "/artifacts/run.json/download"),
        ("GET", "/metrics"),
        ("POST", "/evaluate"),
        ("GET", "/evaluation"),
    ],
)
def test_an_unknown_run_is_not_found(client: httpx2.Client, method: str, path: str) -> None:
    answer = client.request(method, f"{RUNS}/{uuid4()}{path}")
    assert answer.status_code == 404
    assert "not found" in answer.json()["detail"]
    assert "run" in answer.json()["detail"].lower()
    answer = client.request(method, f"{RUNS}/no-uuid{path}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "uuid_parsing"
    assert answer.json()["detail"][0]["loc"] == ["path", "run_id"]


def test_every_spelling_of_an_id_names_the_run(
    client: httpx2.Client, trained: dict[str, Any]
) -> None:
    run_id = UUID(trained["run_id"])
    for spelling in (run_id.hex, f"{{{run_id}}}", run_id.urn, str(run_id).upper()):
        assert client.get(f"{RUNS}/{spelling}").json() == trained


def test_the_state_of_a_run(client: httpx2.Client, trained: dict[str, Any]) -> None:
    state = client.get(f"{RUNS}/{trained['run_id']}/status").json()
    assert state["queued_at"] <= state["started_at"] <= state["completed_at"]
    same = ("run_id", "status", "started_at", "completed_at", "exit_code")
    assert {key: state[key] for key in same} == {key: trained[key] for key in same}
    assert (state["step"], state["total_steps"], state["loss"]) == (5, 5, 0.2)


def test_a_running_run_is_cancelled_with_its_work_kept(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer, wait_for: Answer
) -> None:
    settings = {"steps": 10_000, "step_seconds": 0.01}
    asked = start_run(client, numbers_dataset, "async", dry_run=False, settings=settings)
    path = f"{RUNS}/{asked['run_id']}"
    wait_for(client, f"{path}/status", "running")
    first = client.post(f"{path}/cancel")
    assert first.status_code == 200
    assert isinstance(first.json()["message"], str)
    assert client.post(f"{path}/cancel").status_code in (200, 400)
    ended = wait_for(client, path, "cancelled")
    assert "cancelled" in ended["message"]
    assert "stopped" in ended["stderr"]
    again = client.post(f"{path}/cancel")
    assert again.status_code == 400
    assert isinstance(again.json()["detail"], str)
    # One such run must not spoil the list.
    listed = client.get(RUNS, params={"status": "cancelled"})
    assert asked["run_id"] in [item["run_id"] for item in listed.json()["data"]]


def test_an_ended_run_is_not_cancelled(client: httpx2.Client, trained: dict[str, Any]) -> None:
    answer = client.post(f"{RUNS}/{trained['run_id']}/cancel")
    assert answer.status_code == 400
    assert "completed" in answer.json()["detail"]


def test_artifacts_are_all_files_of_a_run(
    client: httpx2.Client, trained: dict[str, Any], folder: Path
) -> None:
    artifacts = client.get(f"{RUNS}/{trained['run_id']}/artifacts").json()["artifacts"]
    by_path = {artifact["path"]: artifact for artifact in artifacts}
    assert {"metrics.jsonl", "log.jsonl", "model/answer.json"} <= by_path.keys()
    model = by_path["model/answer.json"]
    assert model["name"] == "answer.json"
    assert model["size"] == (folder / "model" / "answer.json").stat().st_size
    for path in by_path:
        got = client.get(f"{RUNS}/{trained['run_id']}/artifacts/{path}/download")
        assert got.status_code == 200
        assert got.content == (folder / path).read_bytes()


def test_an_artifact_is_downloaded_whole_or_in_part(
    client: httpx2.Client, trained: dict[str, Any], folder: Path
) -> None:
    path = f"{RUNS}/{trained['run_id']}/artifacts/run.json/download"
    content = (folder / "run.json").read_bytes()
    whole = client.get(path)
    assert whole.content == content
    assert whole.headers["content-type"] == "application/json"
    assert whole.headers["content-disposition"] == 'attachment; filename="run.json"'
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["last-modified"]
    assert whole.headers["etag"]
    part = client.get(path, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, content[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(content)}"
    tail = client.get(path, headers={"Range": "bytes=-3"})
    assert tail.content == content[-3:]
    several = client.get(path, headers={"Range": "bytes=0-1,4-5"})
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert int(several.headers["content-length"]) == len(several.content)
    beyond = client.get(path, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert "Range" in beyond.json()["detail"]
    strange = client.get(path, headers={"Range": "bytes=a-b"})
    assert (strange.status_code, list(strange.json())) == (400, ["detail"])
    changed = client.get(path, headers={"Range": "bytes=2-5", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, content)


def test_an_empty_artifact_is_downloaded(
    client: httpx2.Client, trained: dict[str, Any], folder: Path
) -> None:
    (folder / "empty.bin").touch()
    got = client.get(f"{RUNS}/{trained['run_id']}/artifacts/empty.bin/download")
    assert (got.status_code, got.content) == (200, b"")


def test_a_file_that_grows_is_sent_as_long_as_it_was(
    client: httpx2.Client, trained: dict[str, Any], folder: Path
) -> None:
    path = folder / "growing.bin"
    path.write_bytes(b"a" * 4_000_000)
    with client.stream("GET", f"{RUNS}/{trained['run_id']}/artifacts/growing.bin/download") as got:
        with path.open("ab") as file:
            file.write(b"b" * 4_000_000)
        content = got.read()
    assert int(got.headers["content-length"]) == len(content) == 4_000_000
    assert client.get("/api/health").status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("no-such.json", 404),
        ("model", 404),
        ("%00", 404),
        ("n" * 300, 404),
        ("%ED%A0%80", 404),
        ("%2e%2e", 403),
        ("%2e%2e/%2e%2e/tunix.db", 403),
        ("..%2f..%2f..%2fserver.log", 403),
        ("%2fetc%2fpasswd", 403),
        ("model/%2e%2e/%2e%2e/%2e%2e/tunix.db", 403),
        ("linked", 403),
    ],
)
def test_nothing_else_is_downloaded(
    client: httpx2.Client, trained: dict[str, Any], folder: Path, name: str, status: int
) -> None:
    link = folder / "linked"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    # A path that a client library would tidy up is sent as it is.
    url = client.base_url.copy_with(
        raw_path=f"{RUNS}/{trained['run_id']}/artifacts/{name}/download".encode()
    )
    answer = client.get(url)
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert str(folder.parent) not in answer.text
    listed = client.get(f"{RUNS}/{trained['run_id']}/artifacts").json()["artifacts"]
    assert "linked" not in [artifact["name"] for artifact in listed]


def test_metrics_are_the_reported_steps(client: httpx2.Client, trained: dict[str, Any]) -> None:
    answer = client.get(f"{RUNS}/{trained['run_id']}/metrics")
    assert answer.headers["content-type"] == "application/json"
    lines = answer.json()
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["loss"] for line in lines] == [1 / step for step in range(1, 6)]
    assert lines[0]["timestamp"] <= lines[-1]["timestamp"]
    assert lines[0]["timestamp"].endswith("Z")
    later = client.get(f"{RUNS}/{trained['run_id']}/metrics", params={"since": 3})
    assert later.json() == lines[3:]
    for since, expected in ((5, []), (2**70, []), (-1, lines)):
        found = client.get(f"{RUNS}/{trained['run_id']}/metrics", params={"since": since})
        assert found.json() == expected


def test_a_run_without_metrics_has_none(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    validated = start_run(client, numbers_dataset)
    assert client.get(f"{RUNS}/{validated['run_id']}/metrics").json() == []


def test_a_loss_that_is_no_number_is_null(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer, server: Any
) -> None:
    validated = start_run(client, numbers_dataset)
    path = server.workspace / "runs" / validated["run_id"] / "metrics.jsonl"
    line = {"step": 1, "loss": float("nan"), "norm": float("inf"), "timings": {"s": float("nan")}}
    path.write_text(json.dumps(line) + "\n" + '{"step": 2, "lo')
    assert client.get(f"{RUNS}/{validated['run_id']}/metrics").json() == [
        {"step": 1, "loss": None, "norm": None, "timings": {"s": None}, "timestamp": None}
    ]
