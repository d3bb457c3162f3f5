"""Taking in traces, ``ingestDataset``, over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from .answers import NDJSON, items, lines, upload, words

MakeTrace = Callable[..., dict[str, Any]]
StartServer = Callable[..., AbstractContextManager[Any]]

TOKEN = "0123456789abcdef"  # noqa: S105 - of this test alone


def test_a_line_of_a_million_mistakes_costs_little(
    own_server: Any, most_memory: Callable[[], int], make_trace: MakeTrace
) -> None:
    client: httpx2.Client = own_server.client
    bad = '{"steps": [' + ",".join(["{}"] * 1_000_000) + "]}\n"
    answer = upload(client, bad + lines([make_trace(1)]), str(uuid4()))
    assert answer.status_code == 201
    [rejected] = answer.json()["rejected"]
    assert rejected["problems"] == ["$.steps: must hold 1 to 1000 steps, got 1000000"]
    assert most_memory() < 500 * 2**20


def test_lines_are_taken_in(client: httpx2.Client, make_trace: MakeTrace) -> None:
    name = str(uuid4())
    sent = [make_trace(n) for n in range(3)]
    answer = upload(client, lines(sent), name)
    assert answer.status_code == 201
    first = answer.json()
    ids = first.pop("trace_ids")
    assert first == {
        "ingested_count": 3,
        "trace_ids_truncated": False,
        "created_count": 3,
        "duplicate_count": 0,
        "rejected_count": 0,
        "rejected": [],
    }
    for trace_id, trace in zip(ids, sent, strict=True):
        stamped = {**trace["meta"], "source": name, "ingest_source_file": "upload.jsonl"}
        read = client.get(f"/api/traces/{trace_id}").json()["payload"]
        assert read == {**trace, "meta": stamped}
    again = upload(client, lines(sent), name).json()
    assert (again["ingested_count"], again["trace_ids"]) == (3, ids)
    assert (again["created_count"], again["duplicate_count"]) == (0, 3)


def test_lines_that_are_no_traces_are_accounted_for(
    client: httpx2.Client, make_trace: MakeTrace
) -> None:
    private = "the text of the file"
    bad = ["not JSON " + private, json.dumps({"prompt": private}), "[]", "\\ud800"]
    text = "\n\n".join([json.dumps(make_trace(1)), *bad, json.dumps(make_trace(2, meta=None))])
    answer = upload(client, text, str(uuid4()))
    assert answer.status_code == 201
    report = answer.json()
    assert (report["ingested_count"], report["rejected_count"]) == (2, 4)
    assert [rejected["line"] for rejected in report["rejected"]] == [3, 5, 7, 9]
    assert all(rejected["problems"] for rejected in report["rejected"])
    assert private not in answer.text


def test_the_answer_stays_small(client: httpx2.Client, make_trace: MakeTrace) -> None:
    text = lines([make_trace(n) for n in range(10_001)]) + "x\n" * 101
    report = upload(client, text, str(uuid4())).json()
    assert (report["ingested_count"], report["created_count"]) == (10_001, 10_001)
    assert (len(report["trace_ids"]), report["trace_ids_truncated"]) == (10_000, True)
    assert (len(report["rejected"]), report["rejected_count"]) == (100, 101)


@pytest.mark.parametrize("content", ["", "\n\n", "x\n", "{}\n[]\n"])
def test_a_file_without_a_trace_is_refused(client: httpx2.Client, content: str) -> None:
    detail = words(upload(client, content, str(uuid4())), 400)
    assert "upload.jsonl" in detail
    assert "/tmp" not in detail  # noqa: S108 - where it must not say that it lies


@pytest.mark.parametrize("query", ["", "?source_name="])
def test_lines_need_a_source(client: httpx2.Client, query: str) -> None:
    [item] = items(client.post(f"/api/datasets/ingest{query}", content="{}\n", headers=NDJSON))
    assert (item["type"], item["loc"]) == ("missing", ["query", "source_name"])


def test_uploads_have_limits(
    start_server: StartServer, make_trace: MakeTrace, tmp_path: Path
) -> None:
    text = lines([make_trace(n) for n in range(100)])
    environment = {
        "TUNIX_HTTP_MAX_UPLOAD_BYTES": str(len(text)),
        "TUNIX_HTTP_MAX_LINE_BYTES": "2000",
        "TUNIX_HTTP_MAX_BODY_BYTES": "1024",
    }
    with start_server(tmp_path, environment=environment) as server:
        fits = upload(server.client, text, "a")
        too_large = [
            upload(server.client, text + "\n", "b"),
            upload(server.client, iter([text.encode(), b"\n"]), "c"),
            upload(server.client, "x" * 2001, "d"),
        ]
    assert fits.json()["ingested_count"] == 100
    for answer in too_large:
        assert "exceeds maximum" in words(answer, 413)


@pytest.fixture
def folder(server: Any) -> Path:
    """The server's working directory."""
    return Path(server.folder)


def ingest_file(client: httpx2.Client, path: str, source: str = "files") -> httpx2.Response:
    wanted = {"path": path, "source_name": source}
    return client.post("/api/datasets/ingest", json=wanted)


@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_of_the_server_is_taken_in(
    client: httpx2.Client, make_trace: MakeTrace, folder: Path, absolute: bool
) -> None:
    path = folder / f"{uuid4()}.jsonl"
    path.write_text(lines([make_trace(n) for n in range(1500)]))
    answer = ingest_file(client, str(path) if absolute else path.name, path.stem)
    assert answer.status_code == 201, answer.text
    ids = answer.json()["trace_ids"]
    assert answer.json()["ingested_count"] == len(ids) == 1500
    meta = client.get(f"/api/traces/{ids[7]}").json()["payload"]["meta"]
    assert (meta["source"], meta["ingest_source_file"]) == (path.stem, path.name)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x.jsonl", "a/../../x", "no such file", "", ".", "/", "a\0b", "n" * 5000],
)
def test_no_other_file_is_read(client: httpx2.Client, path: str) -> None:
    words(ingest_file(client, path), 400)


def test_a_link_to_another_place_is_not_followed(
    client: httpx2.Client, make_trace: MakeTrace, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text(lines([make_trace(1)]))
    link = folder / f"{uuid4()}.jsonl"
    link.symlink_to(outside)
    (folder / f"{link.stem}-folder").symlink_to(tmp_path)
    loop = folder / f"{link.stem}-loop"
    loop.symlink_to(loop)
    for path in (link.name, f"{link.stem}-folder/outside.jsonl", loop.name):
        words(ingest_file(client, path), 400)


def test_taking_in_a_file_writes_nothing_beside_it(
    client: httpx2.Client, make_trace: MakeTrace, folder: Path
) -> None:
    path = folder / f"{uuid4()}.jsonl"
    path.write_text("x\n" + lines([make_trace(1)]))
    before = sorted(folder.iterdir())
    assert ingest_file(client, path.name, path.stem).json()["rejected_count"] == 1
    assert sorted(folder.iterdir()) == before


def test_a_file_without_a_trace_is_named_as_the_client_did(
    client: httpx2.Client, folder: Path
) -> None:
    for content in (b"", b"\xff\n", b"x"):
        path = folder / f"{uuid4()}.jsonl"
        path.write_bytes(content)
        detail = words(ingest_file(client, path.name), 400)
        assert path.name in detail
        assert str(folder) not in detail


def test_files_are_read_below_the_roots_alone(
    start_server: StartServer, make_trace: MakeTrace, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        root.mkdir()
        (root / f"{root.name}.jsonl").write_text(lines([make_trace(1)]))
    (tmp_path / "here.jsonl").write_text(lines([make_trace(1)]))
    roots = {"TUNIX_HTTP_INGEST_ROOTS": f"{first},{second}"}
    with start_server(tmp_path, environment=roots) as server:
        for path in ("first.jsonl", "second.jsonl", str(second / "second.jsonl")):
            assert ingest_file(server.client, path).status_code == 201
        words(ingest_file(server.client, "here.jsonl"), 400)


def test_off_loopback_no_file_is_read_and_no_path_told(
    start_server: StartServer, make_trace: MakeTrace, tmp_path: Path
) -> None:
    (tmp_path / "here.jsonl").write_text(lines([make_trace(1)]))
    options = ("--host", "0.0.0.0", "--token", TOKEN)  # noqa: S104 - what is tested
    with start_server(tmp_path, *options) as server:
        port = server.url.rpartition(":")[2]
        address = f"http://127.0.0.1:{port}"
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        with httpx2.Client(base_url=address, headers=bearer) as client:
            assert "x-ndjson" in words(ingest_file(client, "here.jsonl"), 400)
            assert upload(client, lines([make_trace(1)]), "a").status_code == 201
            wanted = {"dataset_name": "d", "dataset_version": "v1"}
            built = client.post("/api/datasets/build", json=wanted)
    assert built.json()["manifest_path"] == "datasets/d-v1/manifest.json"


def test_ingesting_needs_both_fields(client: httpx2.Client) -> None:
    found = items(client.post("/api/datasets/ingest", json={}))
    assert [item["loc"] for item in found] == [["body", "path"], ["body", "source_name"]]
