"""What holds for every operation: methods, slashes, bodies, ids, other origins."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from .answers import items

ID = "2f1c3c2e-6c1f-4f0a-9d3e-0a7b5f1d2c3b"
RUN = f"/api/tunix/runs/{ID}"
GETS = [
    "/api/health",
    "/api/redi/health",
    "/metrics",
    "/api/traces",
    "/api/traces/compare",
    f"/api/traces/{ID}",
    "/api/ungar/status",
    "/api/ungar/high-card-duel/export.jsonl",
    "/api/datasets/some-v1/export.jsonl",
    "/api/tunix/status",
    "/api/tunix/runs",
    RUN,
    f"{RUN}/status",
    f"{RUN}/logs",
    f"{RUN}/artifacts",
    f"{RUN}/artifacts/metrics.jsonl/download",
    f"{RUN}/metrics",
    f"{RUN}/evaluation",
    "/api/tunix/evaluations",
    "/api/tuning/jobs",
    f"/api/tuning/jobs/{ID}",
    "/api/models",
    f"/api/models/{ID}",
    f"/api/models/versions/{ID}",
    f"/api/models/versions/{ID}/download",
]
# With the type of the item that a text instead of JSON gives; None where no body is needed.
POSTS = {
    "/api/traces": "model_attributes_type",
    "/api/traces/batch": "list_type",
    f"/api/traces/{ID}/score": "model_attributes_type",
    "/api/ungar/high-card-duel/generate": "model_attributes_type",
    "/api/datasets/build": "model_attributes_type",
    "/api/datasets/ingest": "model_attributes_type",
    "/api/tunix/sft/export": "model_attributes_type",
    "/api/tunix/sft/manifest": "model_attributes_type",
    "/api/tunix/run": "model_attributes_type",
    f"{RUN}/cancel": None,
    f"{RUN}/evaluate": None,
    "/api/regression/baselines": "model_attributes_type",
    "/api/regression/check": "model_attributes_type",
    "/api/tuning/jobs": "model_attributes_type",
    f"/api/tuning/jobs/{ID}/start": None,
    "/api/models": "model_attributes_type",
    f"/api/models/{ID}/versions/promote": "model_attributes_type",
}
WITH_BODY = {path: kind for path, kind in POSTS.items() if kind}
ORIGINS = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (5173, 4173)]


def test_there_are_42_operations(client: httpx2.Client) -> None:
    assert len(GETS) + len(POSTS) == 42
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert (described["info"]["title"], described["info"]["version"]) == (
        "Tunix RT Backend",
        "0.1.0",
    )
    assert sum(len(methods) for methods in described["paths"].values()) == 42


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_only_what_there_is_may_be_asked_for(client: httpx2.Client, path: str) -> None:
    allowed = [name for name, paths in (("GET", GETS), ("POST", POSTS)) if path in paths]
    for method in {"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} - {*allowed}:
        answer = client.request(method, path)
        assert answer.status_code == 405, (method, answer.text)
        assert answer.headers["allow"] == ", ".join(allowed)
        assert method == "HEAD" or answer.json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_a_slash_too_many_leads_to_the_path_without(client: httpx2.Client, path: str) -> None:
    method = "GET" if path in GETS else "POST"
    answer = client.request(method, f"{path}/?limit=3", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"{path}?limit=3")


@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_that_is_missing_or_no_json_is_refused(client: httpx2.Client, path: str) -> None:
    assert items(client.post(path)) == [
        {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
    ]
    for media_type in ("application/json", "application/problem+json", "Application/JSON;a=b"):
        [item] = items(client.post(path, content='{"a": }', headers={"Content-Type": media_type}))
        assert (item["type"], item["loc"]) == ("json_invalid", ["body", 6])
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "text/json"):
        [item] = items(client.post(path, content="{}", headers={"Content-Type": media_type}))
        assert (item["type"], item["loc"]) == (WITH_BODY[path], ["body"])
        assert item["input"] == "{}"


def test_a_body_without_a_type_is_json(client: httpx2.Client) -> None:
    request = client.build_request("POST", "/api/models", content=b'{"name": "untyped"}')
    assert "content-type" not in request.headers
    assert client.send(request).status_code == 201


@pytest.mark.parametrize("path", sorted(set(WITH_BODY) - {"/api/traces", "/api/traces/batch"}))
def test_a_body_has_a_limit(client: httpx2.Client, path: str) -> None:
    content = b'{"text": "%b"}' % (b"x" * 2**20)
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "exceeds maximum" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        ("/api/regression/baselines", {"name": "b", "run_id": ID}, "run_id"),
        ("/api/regression/check", {"baseline_name": "b", "run_id": ID}, "run_id"),
        (f"/api/models/{ID}/versions/promote", {"source_run_id": ID}, "source_run_id"),
    ],
)
def test_an_id_in_a_body_has_every_spelling(
    client: httpx2.Client, path: str, body: dict[str, Any], loc: str
) -> None:
    usual = client.post(path, json=body)
    assert usual.status_code in (400, 404)
    for spelling in (ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", ID.upper()):
        answer = client.post(path, json={**body, loc: spelling})
        assert (answer.status_code, answer.text) == (usual.status_code, usual.text)
    [item] = items(client.post(path, json={**body, loc: "x"}))
    assert (item["type"], item["loc"], item["input"]) == ("uuid_parsing", ["body", loc], "x")


def test_values_are_converted_and_unknown_fields_dropped(
    client: httpx2.Client, numbers_dataset: str
) -> None:
    lax = {
        "dataset_key": numbers_dataset,
        "model_id": "m",
        "output_dir": "out",
        "learning_rate": "1e-3",
        "num_epochs": "3",
        "batch_size": 4.0,
        "of_no_meaning": [1],
    }
    written = client.post("/api/tunix/sft/manifest", json=lax)
    assert written.status_code == 201
    assert (
        "learning_rate: 0.001\n  weight_decay: 0.01\n  num_epochs: 3\n  batch_size: 4\n"
        in (written.json()["manifest_yaml"])
    )
    answer = client.post("/api/ungar/high-card-duel/generate", json={"count": 1, "persist": "no"})
    assert answer.status_code == 201
    [trace_id] = answer.json()["trace_ids"]
    assert client.get(f"/api/traces/{trace_id}").status_code == 404


def test_what_is_no_json_number_is_null(client: httpx2.Client, numbers_dataset: str) -> None:
    settings = '{"learning_rate": NaN, "x": [Infinity, -Infinity, 1e999]}'
    body = (
        f'{{"dataset_key": {json.dumps(numbers_dataset)}, "base_model_id": "m", "name": "n", '
        f'"search_space": {{"x": {{"type": "choice", "values": [NaN, 1]}}}}, '
        f'"settings": {settings}}}'
    )
    made = client.post(
        "/api/tuning/jobs", content=body, headers={"Content-Type": "application/json"}
    )
    assert made.status_code == 201, made.text
    assert made.json()["search_space_json"]["x"]["values"] == [None, 1]


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_pages_of_the_contract_may_ask(client: httpx2.Client, origin: str) -> None:
    answers = [
        client.get("/api/health", headers={"Origin": origin}),
        client.get(f"/api/traces/{uuid4()}", headers={"Origin": origin}),
        client.post("/api/traces", json={}, headers={"Origin": origin}),
        client.delete("/api/traces", headers={"Origin": origin}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 422, 405]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]
    ask = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-any"}
    told = client.options("/api/traces", headers={"Origin": origin, **ask})
    assert told.status_code == 200
    assert told.headers["access-control-allow-origin"] == origin
    assert told.headers["access-control-allow-headers"] == "x-any"
    assert "PUT" in told.headers["access-control-allow-methods"]
    assert told.headers["access-control-max-age"] == "600"


@pytest.mark.parametrize(
    "origin", ["null", "http://localhost:5174", "https://localhost:5173", "http://evil.example"]
)
def test_other_pages_may_not(client: httpx2.Client, origin: str) -> None:
    # A form or a beacon needs no leave to be sent; that is why it is refused here.
    for path in POSTS:
        request = client.build_request("POST", path, content=b"{}", headers={"Origin": origin})
        assert client.send(request).status_code == 403
    read = client.get("/api/health", headers={"Origin": origin})
    assert "access-control-allow-origin" not in read.headers
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert client.options("/api/traces", headers=ask).status_code == 400
