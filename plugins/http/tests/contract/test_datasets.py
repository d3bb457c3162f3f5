"""The group ``datasets`` over a socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest

from .answers import items, lines, upload, words

MakeTrace = Callable[..., dict[str, Any]]
StartServer = Callable[..., AbstractContextManager[Any]]

FORMATS = ["trace", "tunix_sft", "training_example", "show_your_work"]
HUGE = 2**63


def build(client: httpx2.Client, **fields: Any) -> httpx2.Response:
    wanted = {"dataset_name": str(uuid4()), "dataset_version": "v1", **fields}
    return client.post("/api/datasets/build", json=wanted)


@pytest.fixture
def source(client: httpx2.Client, make_trace: MakeTrace) -> str:
    """A source of five traces on the server, whose topics are 0, 1, 2, 0, 1."""
    name = f"source {uuid4()}"
    answer = upload(client, lines([make_trace(n) for n in range(5)]), name)
    assert answer.status_code == 201, answer.text
    return name


def test_a_dataset_is_built_of_the_newest_that_match(client: httpx2.Client, source: str) -> None:
    name = f"a b/{uuid4()}"
    filters = {"source": source, "topic": 0}
    answer = build(client, dataset_name=name, dataset_version="v 1", filters=filters)
    assert answer.status_code == 201
    built = answer.json()
    assert built.keys() == {"dataset_key", "build_id", "trace_count", "manifest_path"}
    assert built["dataset_key"] == f"{name.replace(' ', '_').replace('/', '_')}-v_1"
    assert str(UUID(built["build_id"])) == built["build_id"]
    assert built["trace_count"] == 2
    exported = client.get(f"/api/datasets/{built['dataset_key']}/export.jsonl")
    prompts = [json.loads(line)["prompts"] for line in exported.text.splitlines()]
    assert prompts == ["What follows 3?", "What follows 0?"]


def test_the_manifest_says_how_it_was_built(client: httpx2.Client, source: str) -> None:
    fields: dict[str, Any] = {
        "filters": {"source": source},
        "selection_strategy": "random",
        "seed": -HUGE,
        "limit": 3,
        "session_id": "s" * 128,
        "parent_dataset_id": "p" * 256,
        "training_run_id": "t" * 128,
    }
    answer = build(client, **fields, provenance={"source": "me", "NUL": "\0"})
    manifest = json.loads(Path(answer.json()["manifest_path"]).read_bytes())
    assert {key: manifest[key] for key in fields if key != "limit"} == {
        key: value for key, value in fields.items() if key != "limit"
    }
    assert manifest["trace_count"] == len(manifest["trace_ids"]) == 3
    assert manifest["dataset_schema_version"] == "1.1"
    assert manifest["provenance"]["source"] == "me"
    assert manifest["provenance"]["NUL"] == "\0"
    assert manifest["provenance"]["selection_strategy"] == "random"


def test_a_random_dataset_follows_from_its_seed(client: httpx2.Client, source: str) -> None:
    def chosen(seed: int) -> list[str]:
        wanted = {"source": source}, "random"
        answer = build(client, filters=wanted[0], selection_strategy=wanted[1], seed=seed, limit=3)
        manifest = json.loads(Path(answer.json()["manifest_path"]).read_bytes())
        return list(manifest["trace_ids"])

    assert chosen(1) == chosen(1)
    assert len({tuple(chosen(seed)) for seed in range(8)}) > 1


def test_building_again_answers_what_is_there(client: httpx2.Client, source: str) -> None:
    name = str(uuid4())
    first = build(client, dataset_name=name, filters={"source": source})
    again = build(client, dataset_name=name, filters={"source": source})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = build(client, dataset_name=name, filters={"source": source}, limit=1)
    assert name in words(other, 409)


def test_filters_pass_over_traces_without_meta(
    client: httpx2.Client, make_trace: MakeTrace, source: str
) -> None:
    created = client.post("/api/traces", json=make_trace(1, meta=None))
    assert created.status_code == 201
    assert build(client, filters={"source": source}).json()["trace_count"] == 5


def test_nothing_that_matches_is_refused(client: httpx2.Client) -> None:
    for filters in ({"source": str(uuid4())}, {"no such key": None}, {"source": {"a": [1]}}):
        assert "empty" in words(build(client, filters=filters), 422)


def test_a_random_dataset_needs_a_seed(client: httpx2.Client, source: str) -> None:
    answer = build(client, selection_strategy="random", filters={"source": source})
    assert "seed" in words(answer, 422)


@pytest.mark.parametrize(
    "name", ["../..", "..", ".hidden", "a\0b", "ä", "a\\b", "C:", "a\nb", "*", "\u202e"]
)
def test_a_key_that_is_no_safe_name_is_refused(
    client: httpx2.Client, source: str, name: str
) -> None:
    assert "dataset key" in words(build(client, dataset_name=name, filters={"source": source}), 422)


AT_THE_BOUNDS: dict[str, dict[str, Any]] = {
    "one": {"limit": 1},
    "ten thousand": {"limit": 10_000},
    "longest name": {"dataset_name": "n" * 127, "dataset_version": "v" * 64},
    "largest seed": {"seed": HUGE - 1},
    "lax": {"limit": "3", "seed": 4.0},
    "nulls": {"seed": None, "session_id": None, "parent_dataset_id": None},
    "unknown fields": {"colour": "red"},
}


@pytest.mark.parametrize("fields", AT_THE_BOUNDS.values(), ids=AT_THE_BOUNDS.keys())
def test_a_request_at_the_bounds_is_built(
    client: httpx2.Client, source: str, fields: dict[str, Any]
) -> None:
    if "dataset_name" in fields:
        fields = {**fields, "dataset_name": str(uuid4()) + fields["dataset_name"][36:]}
    assert build(client, filters={"source": source}, **fields).status_code == 201


BEYOND_THE_BOUNDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "empty name": ({"dataset_name": ""}, "dataset_name", "string_too_short"),
    "long name": ({"dataset_name": "n" * 129}, "dataset_name", "string_too_long"),
    "empty version": ({"dataset_version": ""}, "dataset_version", "string_too_short"),
    "long version": ({"dataset_version": "v" * 65}, "dataset_version", "string_too_long"),
    "no traces": ({"limit": 0}, "limit", "greater_than_equal"),
    "too many traces": ({"limit": 10_001}, "limit", "less_than_equal"),
    "unknown strategy": ({"selection_strategy": "best"}, "selection_strategy", "literal_error"),
    "huge seed": ({"seed": HUGE}, "seed", "less_than_equal"),
    "tiny seed": ({"seed": -HUGE - 1}, "seed", "greater_than_equal"),
    "long session": ({"session_id": "s" * 129}, "session_id", "string_too_long"),
    "long parent": ({"parent_dataset_id": "p" * 257}, "parent_dataset_id", "string_too_long"),
    "long run": ({"training_run_id": "t" * 129}, "training_run_id", "string_too_long"),
    "filters of another type": ({"filters": []}, "filters", "dict_type"),
    "provenance of another type": ({"provenance": 1}, "provenance", "dict_type"),
}


@pytest.mark.parametrize(
    ("fields", "name", "kind"), BEYOND_THE_BOUNDS.values(), ids=BEYOND_THE_BOUNDS.keys()
)
def test_a_request_beyond_the_bounds_is_refused(
    client: httpx2.Client, fields: dict[str, Any], name: str, kind: str
) -> None:
    [item] = items(build(client, **fields))
    assert (item["loc"], item["type"]) == (["body", name], kind)


@pytest.mark.parametrize("field", ["filters", "provenance"])
def test_half_a_character_is_refused(client: httpx2.Client, source: str, field: str) -> None:
    fields = {"dataset_name": str(uuid4()), "dataset_version": "v1", "filters": {"source": source}}
    body = json.dumps({**fields, field: {"a": ["@"]}}).replace("@", "\\ud800")
    assert items(client.post("/api/datasets/build", content=body))


def test_name_and_version_are_needed(client: httpx2.Client) -> None:
    found = items(client.post("/api/datasets/build", json={}))
    assert [(item["type"], item["loc"][1]) for item in found] == [
        ("missing", "dataset_name"),
        ("missing", "dataset_version"),
    ]


def test_an_export_holds_the_traces_in_order(client: httpx2.Client, numbers_dataset: str) -> None:
    answer = client.get(f"/api/datasets/{numbers_dataset}/export.jsonl")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "content-disposition" not in answer.headers
    assert answer.text.endswith("}\n")
    held = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["final_answer"] for line in held] == [str(n) for n in range(20, 0, -1)]
    first = held[0]
    assert list(first) == ["id", "prompts", "trace_steps", "final_answer", "metadata"]
    assert first["trace_steps"] == ["19 + 1 = 20"]
    assert first["metadata"].keys() >= {"created_at", "trace_version", "source", "topic"}
    assert answer.text == "".join(json.dumps(line) + "\n" for line in held)


def test_sft_lines_hold_the_chat(client: httpx2.Client, numbers_dataset: str) -> None:
    address = f"/api/datasets/{numbers_dataset}/export.jsonl"
    first = json.loads(client.get(address, params={"format": "tunix_sft"}).text.splitlines()[0])
    assert list(first) == ["id", "prompts", "final_answer", "metadata"]
    assert first["metadata"]["format"] == "tunix_sft"
    assert first["prompts"] == (
        "<start_of_turn>user\nWhat follows 19?<end_of_turn>\n<start_of_turn>model\n"
        "Reasoning:\n1. 19 + 1 = 20\nAnswer: 20<end_of_turn>"
    )


def test_examples_ask_for_the_steps(client: httpx2.Client, numbers_dataset: str) -> None:
    address = f"/api/datasets/{numbers_dataset}/export.jsonl"
    text = client.get(address, params={"format": "training_example"}).text
    first = json.loads(text.splitlines()[0])
    assert list(first) == ["id", "prompt", "response", "metadata"]
    assert "show your reasoning steps" in first["prompt"].lower()
    assert first["response"] == "Reasoning:\n1. 19 + 1 = 20\nAnswer: 20"
    assert UUID(first["metadata"]["source_trace_id"]) != UUID(first["id"])


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_is_the_same_every_time(
    client: httpx2.Client, numbers_dataset: str, form: str
) -> None:
    address = f"/api/datasets/{numbers_dataset}/export.jsonl"
    answers = [client.get(address, params={"format": form}) for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    assert len(answers[0].text.splitlines()) == 20


@pytest.mark.parametrize("form", ["", "csv", "TRACE", "trace "])
def test_an_unknown_format_is_refused(
    client: httpx2.Client, numbers_dataset: str, form: str
) -> None:
    address = f"/api/datasets/{numbers_dataset}/export.jsonl"
    [item] = items(client.get(address, params={"format": form}))
    assert (item["loc"], item["type"]) == (["query", "format"], "literal_error")


@pytest.mark.parametrize("key", ["unknown-v1", "..", "%2e%2e", "a%00b", "ä", "k" * 5000, " "])
def test_an_unknown_dataset_is_not_found(client: httpx2.Client, server: Any, key: str) -> None:
    before = sorted((server.workspace / "datasets").iterdir())
    answer = client.get(f"/api/datasets/{key}/export.jsonl")
    assert "not found" in words(answer, 404).lower()
    assert sorted((server.workspace / "datasets").iterdir()) == before


def test_an_export_of_many_blocks_is_whole(client: httpx2.Client, make_trace: MakeTrace) -> None:
    name = str(uuid4())
    sent = [make_trace(n, final_answer=f"{n} " + "é" * 2000) for n in range(500)]
    assert upload(client, lines(sent), name).status_code == 201
    key = build(client, filters={"source": name}, limit=500).json()["dataset_key"]
    answer = client.get(f"/api/datasets/{key}/export.jsonl")
    answers = [json.loads(line)["final_answer"] for line in answer.text.splitlines()]
    assert answers == [trace["final_answer"] for trace in reversed(sent)]


def test_readers_that_stall_hold_up_nobody(
    own_server: Any, most_memory: Callable[[], int], make_trace: MakeTrace
) -> None:
    client: httpx2.Client = own_server.client
    name = str(uuid4())
    # More than the buffers of both sides take.
    sent = [make_trace(n, final_answer="x" * 50_000) for n in range(400)]
    assert upload(client, lines(sent), name).status_code == 201
    key = build(client, filters={"source": name}, limit=400).json()["dataset_key"]
    address = urlsplit(own_server.url)
    request = f"GET /api/datasets/{key}/export.jsonl HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(50):
            reader = socket.create_connection((address.hostname, address.port))
            stack.enter_context(reader)
            reader.sendall(request.encode())
            assert reader.recv(15) == b"HTTP/1.1 200 OK"
        assert _connections(own_server) >= 50
        assert client.get(f"/api/datasets/{key}/export.jsonl").text.count("\n") == 400
        assert client.get("/api/traces").status_code == 200
    assert most_memory() < 500 * 2**20
    deadline = time.monotonic() + 20
    # Those that are left are the threads' own.
    while _connections(own_server) > 20:
        assert time.monotonic() < deadline, "connections to the database were left open"
        time.sleep(0.05)


def _connections(server: Any) -> int:
    """How many connections to its database the server has.

    SQLite closes the database's own file late, the log beside it at once.
    """
    opened = Path(f"/proc/{server.process.pid}/fd").iterdir()
    return sum(_target(path) == str(server.workspace / "tunix.db-wal") for path in opened)


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def test_a_changed_dataset_is_not_exported(client: httpx2.Client, source: str) -> None:
    built = build(client, filters={"source": source}).json()
    [data] = Path(built["manifest_path"]).parent.glob("*.jsonl")
    data.chmod(0o644)
    data.write_bytes(data.read_bytes().replace(b"What follows 1?", b"What follows 7?"))
    answer = client.get(f"/api/datasets/{built['dataset_key']}/export.jsonl")
    assert built["dataset_key"] in words(answer, 500)
