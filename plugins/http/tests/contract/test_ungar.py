"""The group ``ungar`` over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from .answers import items

MakeTrace = Callable[..., dict[str, Any]]
StartServer = Callable[..., AbstractContextManager[Any]]

GENERATE = "/api/ungar/high-card-duel/generate"
EXPORT = "/api/ungar/high-card-duel/export.jsonl"
HUGE = 2**63

NOBODY = "00000000-0000-4000-8000-000000000000"


def play(client: httpx2.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(GENERATE, json=fields)
    assert answer.status_code == 201, answer.text
    generated: dict[str, Any] = answer.json()
    return generated


def payload(client: httpx2.Client, trace_id: str) -> dict[str, Any]:
    held: dict[str, Any] = client.get(f"/api/traces/{trace_id}").json()["payload"]
    return held


def exported(client: httpx2.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(EXPORT, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_game_is_available_out_of_the_box(client: httpx2.Client) -> None:
    answer = client.get("/api/ungar/status")
    assert answer.status_code == 200
    assert answer.json().keys() == {"available", "version"}
    assert answer.json()["available"] is True
    assert answer.json()["version"]


def test_episodes_are_stored_with_a_preview(client: httpx2.Client) -> None:
    generated = play(client, count=5, seed=7)
    assert generated.keys() == {"trace_ids", "preview"}
    assert len(set(generated["trace_ids"])) == 5
    traces = [payload(client, trace_id) for trace_id in generated["trace_ids"]]
    assert [trace["meta"]["episode_index"] for trace in traces] == [0, 1, 2, 3, 4]
    assert generated["preview"] == [
        {
            "trace_id": trace_id,
            "game": "high_card_duel",
            "result": trace["meta"]["result"],
            "my_card": trace["meta"]["my_card"],
        }
        for trace_id, trace in zip(generated["trace_ids"][:3], traces, strict=False)
    ]


def test_a_trace_has_the_form_of_the_contract(client: httpx2.Client) -> None:
    [trace_id] = play(client, count=1, seed=3)["trace_ids"]
    trace = payload(client, trace_id)
    meta = trace["meta"]
    assert (trace["trace_version"], trace["final_answer"]) == ("1.0", "reveal")
    assert [(step["i"], step["type"], step["content"]) for step in trace["steps"]] == [
        (0, "legal_moves", "Legal moves: [reveal]"),
        (1, "observation", f"My hand: {meta['my_card']}"),
        (2, "unseen", "Unseen cards: 51"),
        (3, "decision", "Action chosen: reveal"),
    ]
    assert meta.keys() == {
        "source",
        "game",
        "episode_index",
        "my_card",
        "opponent_card",
        "result",
        "seed",
    }
    assert (meta["source"], meta["game"], meta["seed"]) == ("ungar", "high_card_duel", 3)


def test_a_seed_gives_the_same_episodes(client: httpx2.Client) -> None:
    def cards(**fields: Any) -> list[str]:
        found = [payload(client, i) for i in play(client, count=8, **fields)["trace_ids"]]
        return [trace["meta"]["my_card"] + trace["meta"]["opponent_card"] for trace in found]

    assert cards(seed=1) == cards(seed=1)
    # Neighbouring seeds share no run of episodes.
    assert cards(seed=1)[1:] != cards(seed=2)[:-1]
    assert cards() != cards()


def test_without_a_seed_none_is_recorded(client: httpx2.Client) -> None:
    for fields in ({"count": 1}, {"count": 1, "seed": None}):
        [trace_id] = play(client, **fields)["trace_ids"]
        assert "seed" not in payload(client, trace_id)["meta"]


def test_episodes_need_not_be_stored(client: httpx2.Client) -> None:
    newest = client.get("/api/traces", params={"limit": 1}).json()["data"]
    generated = play(client, count=4, persist=False)
    assert len(generated["preview"]) == 3
    for trace_id in generated["trace_ids"]:
        assert str(UUID(trace_id)) == trace_id
        assert client.get(f"/api/traces/{trace_id}").status_code == 404
    assert client.get("/api/traces", params={"limit": 1}).json()["data"] == newest


@pytest.mark.parametrize(
    "fields",
    [
        {"count": 1},
        {"count": 100},
        {"count": "2", "persist": "false"},
        {"count": 1, "seed": HUGE - 1},
        {"count": 1, "seed": -HUGE},
    ],
)
def test_a_request_at_the_bounds_is_played(client: httpx2.Client, fields: dict[str, Any]) -> None:
    assert len(play(client, **fields)["trace_ids"]) == int(fields["count"])


@pytest.mark.parametrize(
    ("fields", "name", "kind"),
    [
        ({}, "count", "missing"),
        ({"count": 0}, "count", "greater_than_equal"),
        ({"count": 101}, "count", "less_than_equal"),
        ({"count": 1.5}, "count", "int_from_float"),
        ({"count": 1, "seed": HUGE}, "seed", "less_than_equal"),
        ({"count": 1, "seed": -HUGE - 1}, "seed", "greater_than_equal"),
        ({"count": 1, "seed": "x"}, "seed", "int_parsing"),
        ({"count": 1, "persist": 2}, "persist", "bool_parsing"),
    ],
)
def test_a_request_beyond_the_bounds_is_refused(
    client: httpx2.Client, fields: dict[str, Any], name: str, kind: str
) -> None:
    [item] = items(client.post(GENERATE, json=fields))
    assert (item["loc"], item["type"]) == (["body", name], kind)


def test_the_newest_episodes_are_exported(client: httpx2.Client, make_trace: MakeTrace) -> None:
    ids = play(client, count=3)["trace_ids"]
    for meta in (None, {}, {"source": "other"}):
        assert client.post("/api/traces", json=make_trace(1, meta=meta)).status_code == 201
    lines = exported(client, limit=2)
    assert [line["id"] for line in lines] == [ids[2], ids[1]]
    assert list(lines[0]) == ["id", "prompts", "trace_steps", "final_answer", "metadata"]
    assert all(line["metadata"]["source"] == "ungar" for line in exported(client))


def test_episodes_are_exported_in_the_order_asked_for(
    client: httpx2.Client, make_trace: MakeTrace
) -> None:
    first, second, third = play(client, count=3)["trace_ids"]
    other = client.post("/api/traces", json=make_trace(1)).json()["id"]
    wanted = [second, str(uuid4()), third.upper(), other, first]
    lines = exported(client, trace_ids=",".join(wanted))
    assert [line["id"] for line in lines] == [second, third, first]
    lines = exported(client, trace_ids=", ".join(wanted), limit=1)
    assert [line["id"] for line in lines] == [second]


def test_nothing_to_export_is_an_empty_answer(client: httpx2.Client) -> None:
    assert exported(client, trace_ids=str(uuid4())) == []
    assert exported(client, limit=0) == []


def test_a_hundred_episodes_are_exported_by_default(client: httpx2.Client) -> None:
    for _ in range(2):
        play(client, count=60)
    assert len(exported(client)) == len(exported(client, trace_ids="")) == 100
    assert len(exported(client, limit=HUGE - 1)) >= 120


@pytest.mark.parametrize("limit", [-1, HUGE, 10**30, "x", ""])
def test_a_bad_limit_is_refused(client: httpx2.Client, limit: Any) -> None:
    [item] = items(client.get(EXPORT, params={"limit": limit}))
    assert item["loc"] == ["query", "limit"]


@pytest.mark.parametrize("ids", ["x", f"{NOBODY},", f"{NOBODY},x", ",", "\0"])
def test_what_is_no_id_is_refused(client: httpx2.Client, ids: str) -> None:
    found = items(client.get(EXPORT, params={"trace_ids": ids}))
    assert {(item["type"], *item["loc"][:2]) for item in found} == {
        ("uuid_parsing", "query", "trace_ids")
    }


def test_without_the_plugin_the_game_is_not_installed(
    start_server: StartServer, tmp_path: Path
) -> None:
    with start_server(tmp_path, environment={"TUNIX_PLUGINS": "-tunix-ungar"}) as server:
        status = server.client.get("/api/ungar/status")
        refused = server.client.post(GENERATE, json={"count": 1})
        assert items(server.client.post(GENERATE, json={"count": 0}))
        lines = exported(server.client)
    assert (status.status_code, status.json()) == (200, {"available": False, "version": None})
    assert refused.status_code == 501
    assert "not installed" in refused.json()["detail"]
    assert lines == []
