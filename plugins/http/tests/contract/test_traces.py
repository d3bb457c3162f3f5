"""The group ``traces`` over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from .answers import items

MakeTrace = Callable[..., dict[str, Any]]
StartServer = Callable[..., AbstractContextManager[Any]]

HUGE = 2**63
NOBODY = "00000000-0000-4000-8000-000000000000"
SURROGATE = b"\\ud800"


def step(**fields: Any) -> dict[str, Any]:
    return {"i": 0, "type": "compute", "content": "1 + 1 = 2", **fields}


def store(client: httpx2.Client, trace: dict[str, Any]) -> str:
    answer = client.post("/api/traces", json=trace)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_trace_is_stored_and_read_back(client: httpx2.Client, make_trace: MakeTrace) -> None:
    sent = make_trace(1, prompt='Größe "¥" \\ 😀\n?', meta={"deep": [{"é": None}], "n": 1.5})
    created = client.post("/api/traces", json=sent)
    assert created.status_code == 201
    entry = created.json()
    assert entry.keys() == {"id", "created_at", "trace_version"}
    assert str(UUID(entry["id"])) == entry["id"]
    assert entry["created_at"].endswith("Z")

    read = client.get(f"/api/traces/{entry['id']}")
    assert read.status_code == 200
    assert read.json() == {**entry, "payload": sent}


def test_a_missing_meta_is_answered_as_null(client: httpx2.Client, make_trace: MakeTrace) -> None:
    sent = make_trace(1)
    del sent["meta"]
    read = client.get(f"/api/traces/{store(client, sent)}")
    assert read.json()["payload"] == {**sent, "meta": None}


@pytest.mark.parametrize(
    "spelling", [str, lambda i: UUID(i).hex, lambda i: f"{{{i}}}", lambda i: UUID(i).urn, str.upper]
)
def test_an_id_is_known_in_every_spelling(
    client: httpx2.Client, make_trace: MakeTrace, spelling: Callable[[str], str]
) -> None:
    trace_id = store(client, make_trace(2))
    answer = client.get(f"/api/traces/{spelling(trace_id)}")
    assert (answer.status_code, answer.json()["id"]) == (200, trace_id)


def test_an_unknown_trace_is_not_found(client: httpx2.Client) -> None:
    for answer in (
        client.get(f"/api/traces/{uuid4()}"),
        client.post(f"/api/traces/{uuid4()}/score", json={}),
    ):
        assert answer.status_code == 404
        assert "not found" in answer.json()["detail"].lower()


@pytest.mark.parametrize("trace_id", ["x", "1", "%00", "0" * 31, "%F0%9F%98%80", "a" * 5000])
def test_what_is_no_id_is_refused(client: httpx2.Client, trace_id: str) -> None:
    [item] = items(client.get(f"/api/traces/{trace_id}"))
    assert (item["type"], item["loc"]) == ("uuid_parsing", ["path", "trace_id"])
    assert items(client.post(f"/api/traces/{trace_id}/score", json={}))


AT_THE_BOUNDS = {
    "shortest": {"trace_version": "v", "prompt": "p", "final_answer": "a"},
    "longest version": {"trace_version": "v" * 64},
    "longest prompt": {"prompt": "😀" * 50_000},
    "longest answer": {"final_answer": "a" * 50_000},
    "most steps": {"steps": [step(i=i) for i in range(1000)]},
    "longest step": {"steps": [step(type="t" * 64, content="c" * 20_000)]},
    "indices in any order": {"steps": [step(i=7), step(i=2), step(i=HUGE)]},
    "empty meta": {"meta": {}},
    "NUL": {"prompt": "a\0b", "meta": {"\0": "\0"}},
    "huge numbers in meta": {"meta": {"n": 10**400, "m": -HUGE * 4}},
}


@pytest.mark.parametrize("fields", AT_THE_BOUNDS.values(), ids=AT_THE_BOUNDS.keys())
def test_a_trace_at_the_bounds_is_stored_as_it_is(
    client: httpx2.Client, make_trace: MakeTrace, fields: dict[str, Any]
) -> None:
    sent = make_trace(1, **fields)
    assert client.get(f"/api/traces/{store(client, sent)}").json()["payload"] == sent


BEYOND_THE_BOUNDS: dict[str, tuple[dict[str, Any], str, list[str | int]]] = {
    "empty version": ({"trace_version": ""}, "string_too_short", ["trace_version"]),
    "long version": ({"trace_version": "v" * 65}, "string_too_long", ["trace_version"]),
    "empty prompt": ({"prompt": ""}, "string_too_short", ["prompt"]),
    "long prompt": ({"prompt": "😀" * 50_001}, "string_too_long", ["prompt"]),
    "long answer": ({"final_answer": "a" * 50_001}, "string_too_long", ["final_answer"]),
    "prompt of another type": ({"prompt": 7}, "string_type", ["prompt"]),
    "no steps": ({"steps": []}, "too_short", ["steps"]),
    "too many steps": ({"steps": [step(i=i) for i in range(1001)]}, "too_long", ["steps"]),
    "steps that are no list": ({"steps": "one"}, "list_type", ["steps"]),
    "negative index": ({"steps": [step(i=-1)]}, "greater_than_equal", ["steps", 0, "i"]),
    "broken index": ({"steps": [step(i=0.5)]}, "int_from_float", ["steps", 0, "i"]),
    "empty type": ({"steps": [step(type="")]}, "string_too_short", ["steps", 0, "type"]),
    "long type": ({"steps": [step(type="t" * 65)]}, "string_too_long", ["steps", 0, "type"]),
    "empty step": ({"steps": [step(content="")]}, "string_too_short", ["steps", 0, "content"]),
    "long step": (
        {"steps": [step(), step(i=1, content="c" * 20_001)]},
        "string_too_long",
        ["steps", 1, "content"],
    ),
    "meta that is no object": ({"meta": [1]}, "dict_type", ["meta"]),
}


@pytest.mark.parametrize(
    ("fields", "kind", "place"), BEYOND_THE_BOUNDS.values(), ids=BEYOND_THE_BOUNDS.keys()
)
def test_a_trace_beyond_the_bounds_is_refused(
    client: httpx2.Client,
    make_trace: MakeTrace,
    fields: dict[str, Any],
    kind: str,
    place: list[str | int],
) -> None:
    sent = make_trace(1, **fields)
    [item] = items(client.post("/api/traces", json=sent))
    assert (item["type"], item["loc"]) == (kind, ["body", *place])
    [item] = items(client.post("/api/traces/batch", json=[make_trace(0), sent]))
    assert (item["type"], item["loc"]) == (kind, ["body", 1, *place])


@pytest.mark.parametrize("field", ["trace_version", "prompt", "final_answer", "steps"])
def test_a_missing_field_is_named(client: httpx2.Client, make_trace: MakeTrace, field: str) -> None:
    sent = make_trace(1)
    del sent[field]
    [item] = items(client.post("/api/traces", json=sent))
    assert (item["type"], item["loc"]) == ("missing", ["body", field])
    [item] = items(client.post("/api/traces/batch", json=[sent]))
    assert (item["type"], item["loc"]) == ("missing", ["body", 0, field])


def test_repeated_step_indices_are_refused(client: httpx2.Client, make_trace: MakeTrace) -> None:
    [item] = items(client.post("/api/traces", json=make_trace(1, steps=[step(), step()])))
    assert (item["type"], item["loc"]) == ("value_error", ["body", "steps"])
    assert "unique" in item["msg"]


def test_lax_values_are_converted_and_unknown_fields_dropped(
    client: httpx2.Client, make_trace: MakeTrace
) -> None:
    loose = make_trace(1, steps=[step(i="3", note="x"), step(i=4.0)], extra=1)
    read = client.get(f"/api/traces/{store(client, loose)}").json()["payload"]
    assert read == make_trace(1, steps=[step(i=3), step(i=4)])
    created = client.post("/api/traces/batch", json=[loose]).json()["traces"][0]["id"]
    assert client.get(f"/api/traces/{created}").json()["payload"] == read


def test_what_json_cannot_say_comes_back_as_null(
    client: httpx2.Client, make_trace: MakeTrace
) -> None:
    body = json.dumps(make_trace(1, meta={"a": float("nan"), "b": [float("-inf")]}))
    created = client.post("/api/traces", content=body)
    assert created.status_code == 201
    read = client.get(f"/api/traces/{created.json()['id']}").json()["payload"]
    assert read["meta"] == {"a": None, "b": [None]}


PLACES = {
    "prompt": '"prompt": "@"',
    "step": '"steps": [{"i": 0, "type": "t", "content": "@"}]',
    "meta value": '"meta": {"a": "@"}',
    "meta key": '"meta": {"@": 1}',
    "deep": '"meta": {"a": [{"b": "@"}]}',
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_half_a_character_is_refused(
    client: httpx2.Client, make_trace: MakeTrace, place: str
) -> None:
    name = place.partition('"')[2].partition('"')[0]
    whole = make_trace(1)
    del whole[name]
    body = json.dumps(whole)[:-1].encode() + b", " + place.encode().replace(b"@", SURROGATE) + b"}"
    assert items(client.post("/api/traces", content=body))
    assert items(client.post("/api/traces/batch", content=b"[" + body + b"]"))


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "missing"),
    "no JSON": (b"{", "json_invalid"),
    "no UTF-8": (b'{"prompt": "\xff"}', "json_invalid"),
    "thousands of digits": (b'{"n": ' + b"9" * 5000 + b"}", "json_invalid"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "json_invalid"),
    "text": (b'"trace"', "model_attributes_type"),
    "list": (b"[]", "model_attributes_type"),
    "null": (b"null", "model_attributes_type"),
}


@pytest.mark.parametrize(("body", "kind"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_no_object_is_refused(client: httpx2.Client, body: bytes, kind: str) -> None:
    item = items(client.post("/api/traces", content=body))[0]
    assert (item["type"], item["loc"][0]) == (kind, "body")


def test_a_body_of_another_type_is_text(client: httpx2.Client, make_trace: MakeTrace) -> None:
    body = json.dumps(make_trace(1))
    sent = client.post("/api/traces", content=body, headers={"Content-Type": "text/plain"})
    assert items(sent)[0]["type"] == "model_attributes_type"
    typed = {"Content-Type": "application/vnd.trace+json; charset=utf-8"}
    assert client.post("/api/traces", content=body, headers=typed).status_code == 201


def sized(make_trace: MakeTrace, size: int) -> bytes:
    """A trace whose JSON has ``size`` bytes."""
    base = len(json.dumps(make_trace(1, meta={"pad": ""})))
    return json.dumps(make_trace(1, meta={"pad": "x" * (size - base)})).encode()


def test_a_trace_may_have_a_mebibyte(client: httpx2.Client, make_trace: MakeTrace) -> None:
    assert client.post("/api/traces", content=sized(make_trace, 2**20)).status_code == 201
    for content in (sized(make_trace, 2**20 + 1), _chunked(sized(make_trace, 2**20 + 1))):
        answer = client.post("/api/traces", content=content)
        assert answer.status_code == 413
        assert "exceeds maximum" in answer.json()["detail"]


def _chunked(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


def test_the_size_of_a_trace_is_a_setting(
    start_server: StartServer, make_trace: MakeTrace, tmp_path: Path
) -> None:
    with start_server(tmp_path, environment={"TRACE_MAX_BYTES": "1024"}) as server:
        fits = server.client.post("/api/traces", content=sized(make_trace, 1024))
        too_large = server.client.post("/api/traces", content=sized(make_trace, 1025))
        batch = server.client.post("/api/traces/batch", content=sized(make_trace, 2000))
    assert (fits.status_code, too_large.status_code) == (201, 413)
    # The limit is that of a single trace.
    assert batch.status_code == 422


def test_a_batch_is_stored_in_its_order(client: httpx2.Client, make_trace: MakeTrace) -> None:
    sent = [make_trace(n, trace_version=f"1.{n}") for n in range(1000)]
    answer = client.post("/api/traces/batch", json=sent)
    assert answer.status_code == 201
    created = answer.json()
    assert created.keys() == {"created_count", "traces"}
    assert created["created_count"] == 1000
    assert [entry["trace_version"] for entry in created["traces"]] == [
        trace["trace_version"] for trace in sent
    ]
    for place in (0, 499, 999):
        read = client.get(f"/api/traces/{created['traces'][place]['id']}").json()
        assert read == {**created["traces"][place], "payload": sent[place]}


@pytest.mark.parametrize(("size", "fragment"), [(0, "at least one"), (1001, "exceeds maximum")])
def test_a_batch_has_one_to_a_thousand_traces(
    client: httpx2.Client, make_trace: MakeTrace, size: int, fragment: str
) -> None:
    answer = client.post("/api/traces/batch", json=[make_trace(n) for n in range(size)])
    assert answer.status_code == 400
    assert fragment in answer.json()["detail"]


def test_a_bad_batch_stores_nothing(client: httpx2.Client, make_trace: MakeTrace) -> None:
    newest = client.get("/api/traces", params={"limit": 1}).json()["data"]
    bad = json.dumps(make_trace(2, meta={"a": "@"})).replace("@", "\\ud800")
    sent = f"[{json.dumps(make_trace(1))}, {bad}]"
    assert items(client.post("/api/traces/batch", content=sent))
    assert items(client.post("/api/traces/batch", json=[make_trace(1), {}]))
    assert client.get("/api/traces", params={"limit": 1}).json()["data"] == newest


def test_a_batch_of_a_million_mistakes_is_refused_at_once(
    own_server: Any, most_memory: Callable[[], int]
) -> None:
    client: httpx2.Client = own_server.client
    trace = '{"steps": [' + ",".join(["{}"] * 1000) + "]}"
    refused = items(client.post("/api/traces/batch", content="[" + ",".join([trace] * 1000) + "]"))
    assert refused[0]["loc"] == ["body", 0, "trace_version"]
    assert ["body", 0, "steps", 0, "i"] in [item["loc"] for item in refused]
    assert len(refused) == 100
    # In every one of the traces it is told, as long as there is room.
    assert ["body", 1, "prompt"] in [item["loc"] for item in refused]
    assert most_memory() < 500 * 2**20


@pytest.mark.parametrize("text", ["[{}]", "[[],{}]"])
def test_a_body_of_too_many_lists_is_refused_before_it_is_one(
    own_server: Any, most_memory: Callable[[], int], text: str
) -> None:
    client: httpx2.Client = own_server.client
    content = "[" + ",".join([text] * 3_000_000)[: 2**24 - 2] + "]"
    [item] = items(client.post("/api/traces/batch", content=content))
    assert (item["type"], item["loc"]) == ("json_invalid", ["body", 0])
    assert "lists and objects" in item["ctx"]["error"]
    assert most_memory() < 500 * 2**20


def test_brackets_in_a_text_are_no_lists(client: httpx2.Client, make_trace: MakeTrace) -> None:
    trace = make_trace(1, meta={"text": '\\"[{' * 600_000})
    assert client.post("/api/traces/batch", json=[trace]).status_code == 201


def test_a_batch_is_a_list(client: httpx2.Client, make_trace: MakeTrace) -> None:
    [item] = items(client.post("/api/traces/batch", json=make_trace(1)))
    assert (item["type"], item["loc"]) == ("list_type", ["body"])


def test_pages_cover_all_traces_newest_first(
    start_server: StartServer, make_trace: MakeTrace, tmp_path: Path
) -> None:
    with start_server(tmp_path) as server:
        client = server.client
        empty = client.get("/api/traces").json()
        ids = [store(client, make_trace(n)) for n in range(5)]
        pages = [client.get("/api/traces", params={"limit": 2, "offset": n}) for n in (0, 2, 4, 6)]
        usual = client.get("/api/traces").json()
    assert empty == {"data": [], "pagination": {"limit": 20, "offset": 0, "next_offset": None}}
    listed = [entry for page in pages for entry in page.json()["data"]]
    assert [entry["id"] for entry in listed] == ids[::-1]
    assert all(entry.keys() == {"id", "created_at", "trace_version"} for entry in listed)
    assert [page.json()["pagination"]["next_offset"] for page in pages] == [2, 4, None, None]
    assert usual["pagination"] == {"limit": 20, "offset": 0, "next_offset": None}


@pytest.mark.parametrize("query", ["limit=1", "limit=100", "offset=0", f"offset={HUGE - 1}"])
def test_a_page_at_the_bounds_is_answered(client: httpx2.Client, query: str) -> None:
    assert client.get(f"/api/traces?{query}").status_code == 200


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", f"limit={10**30}", "offset=-1", f"offset={HUGE}"]
)
def test_a_page_beyond_the_bounds_is_refused_in_words(client: httpx2.Client, query: str) -> None:
    answer = client.get(f"/api/traces?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("value", ["x", "", "1.5", "%00", "9" * 5000])
@pytest.mark.parametrize("name", ["limit", "offset"])
def test_a_page_that_is_no_number_is_refused(client: httpx2.Client, name: str, value: str) -> None:
    [item] = items(client.get(f"/api/traces?{name}={value}"))
    assert item["loc"] == ["query", name]


def test_two_traces_are_compared(client: httpx2.Client, make_trace: MakeTrace) -> None:
    short, long = make_trace(1), make_trace(1, steps=[step(i=i) for i in range(10)])
    base, other = store(client, short), store(client, long)
    answer = client.get("/api/traces/compare", params={"base": base, "other": other})
    assert answer.status_code == 200
    found = answer.json()
    assert found.keys() == {"base", "other"}
    assert found["base"].keys() == {"id", "created_at", "score", "trace_version", "payload"}
    assert (found["base"]["id"], found["other"]["id"]) == (base, other)
    assert (found["base"]["payload"], found["other"]["payload"]) == (short, long)
    # 1 and 10 steps of 9 characters each.
    assert (found["base"]["score"], found["other"]["score"]) == (5.9, 50.9)


def test_comparing_says_which_trace_is_unknown(
    client: httpx2.Client, make_trace: MakeTrace
) -> None:
    known, unknown = store(client, make_trace(1)), str(uuid4())
    for base, other, which in (
        (unknown, unknown, "Base trace"),
        (unknown, known, "Base trace"),
        (known, unknown, "Other trace"),
    ):
        answer = client.get("/api/traces/compare", params={"base": base, "other": other})
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith(which)


def test_comparing_needs_two_ids(client: httpx2.Client) -> None:
    found = items(client.get("/api/traces/compare", params={"other": "x"}))
    assert [(item["type"], item["loc"]) for item in found] == [
        ("missing", ["query", "base"]),
        ("uuid_parsing", ["query", "other"]),
    ]


@pytest.mark.parametrize("body", [{}, {"criteria": "baseline"}, {"other": 1}])
def test_a_trace_is_scored(
    client: httpx2.Client, make_trace: MakeTrace, body: dict[str, Any]
) -> None:
    trace_id = store(client, make_trace(1, steps=[step(i=i, content="x" * 50) for i in range(3)]))
    answer = client.post(f"/api/traces/{trace_id}/score", json=body)
    assert answer.status_code == 201
    scored = answer.json()
    assert scored["details"].pop("scored_at").endswith("Z")
    assert scored == {
        "trace_id": trace_id,
        "score": 20.0,
        "details": {
            "step_count": 3,
            "avg_step_length": 50.0,
            "total_chars": 150,
            "step_score": 15.0,
            "length_score": 5.0,
            "criteria": "baseline",
        },
    }


def test_scoring_needs_a_body_and_knows_one_criterion(
    client: httpx2.Client, make_trace: MakeTrace
) -> None:
    path = f"/api/traces/{store(client, make_trace(1))}/score"
    [item] = items(client.post(path))
    assert (item["type"], item["loc"]) == ("missing", ["body"])
    [item] = items(client.post(path, json={"criteria": "other"}))
    assert (item["type"], item["loc"]) == ("literal_error", ["body", "criteria"])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/traces", "GET, POST"),
        ("GET", "/api/traces/batch", "POST"),
        ("POST", "/api/traces/compare", "GET"),
        ("PUT", f"/api/traces/{NOBODY}", "GET"),
        ("GET", f"/api/traces/{NOBODY}/score", "POST"),
    ],
)
def test_another_method_is_not_allowed(
    client: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json() == {"detail": "Method Not Allowed"}
