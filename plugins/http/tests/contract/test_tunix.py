"""The group ``tunix`` over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

import tunix_core

StartServer = Callable[..., AbstractContextManager[Any]]
Answer = Callable[..., dict[str, Any]]


def state_of(run: dict[str, Any]) -> str:
    return f"/api/tunix/runs/{run['run_id']}/status"


@pytest.fixture(scope="module")
def bare(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """A server without the trainer that it should use, and with a short time for runs."""
    environment = {
        "TUNIX_HTTP_DEFAULT_TRAINER": "no-such",
        "TUNIX_HTTP_RUN_TIME_LIMIT_S": "1",
        "TUNIX_HTTP_WORKERS": "1",
    }
    with start_server(tmp_path_factory.mktemp("bare"), environment=environment) as started:
        yield started.client


def test_the_status_says_what_can_train(client: httpx2.Client) -> None:
    answer = client.get("/api/tunix/status")
    assert answer.status_code == 200
    status = answer.json()
    assert (status["available"], status["runtime_required"]) == (True, False)
    assert status["version"] == "1.0"
    assert "counting" in status["message"]


def test_the_status_says_what_is_missing(bare: httpx2.Client) -> None:
    status = bare.get("/api/tunix/status").json()
    assert (status["available"], status["runtime_required"]) == (False, True)
    assert status["version"] is None
    assert "dry-run" in status["message"]
    assert "install" in status["message"]


def test_a_dataset_is_exported_in_its_order(client: httpx2.Client, numbers_dataset: str) -> None:
    answer = client.post("/api/tunix/sft/export", json={"dataset_key": numbers_dataset})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len(lines) == 20
    assert list(lines[0]) == ["id", "prompts", "final_answer", "metadata"]
    assert lines[0]["prompts"].startswith("<start_of_turn>user\n")
    assert lines[0]["metadata"]["format"] == "tunix_sft"
    same = client.get(
        f"/api/datasets/{numbers_dataset}/export.jsonl", params={"format": "tunix_sft"}
    )
    assert same.text == answer.text
    few = client.post("/api/tunix/sft/export", json={"dataset_key": numbers_dataset, "limit": 3})
    assert few.text.splitlines() == answer.text.splitlines()[:3]


def test_named_traces_are_exported_in_the_order_of_their_names(
    client: httpx2.Client, numbers_dataset: str
) -> None:
    exported = client.post("/api/tunix/sft/export", json={"dataset_key": numbers_dataset}).text
    ids = [json.loads(line)["id"] for line in exported.splitlines()]
    wanted = [ids[7], str(uuid4()), ids[2].replace("-", "").upper()]
    answer = client.post("/api/tunix/sft/export", json={"trace_ids": wanted})
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == [ids[7], ids[2]]
    both = {"trace_ids": wanted, "dataset_key": numbers_dataset}
    assert client.post("/api/tunix/sft/export", json=both).text == exported
    unknown = client.post("/api/tunix/sft/export", json={"trace_ids": [str(uuid4())]})
    assert (unknown.status_code, unknown.text) == (200, "")


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        ({}, 400, "dataset_key or trace_ids"),
        ({"trace_ids": []}, 400, "dataset_key or trace_ids"),
        ({"trace_ids": ["no-uuid"]}, 400, "UUID"),
        ({"trace_ids": ["\x00"]}, 400, "UUID"),
        ({"dataset_key": "no-such"}, 404, "not found"),
        ({"dataset_key": "../.."}, 404, "not found"),
        ({"dataset_key": "a\x00b"}, 404, "not found"),
        ({"dataset_key": ""}, 422, "dataset_key"),
        ({"dataset_key": "k" * 256}, 404, "not found"),
        ({"dataset_key": "k" * 257}, 422, "dataset_key"),
        ({"dataset_key": "no-such", "limit": 0}, 422, "limit"),
        ({"dataset_key": "no-such", "limit": 10_001}, 422, "limit"),
        ({"dataset_key": "no-such", "limit": 10_000}, 404, "not found"),
        ({"dataset_key": "no-such", "limit": 10**30}, 422, "limit"),
    ],
)
def test_exports_that_are_refused(
    client: httpx2.Client, body: dict[str, Any], status: int, fragment: str
) -> None:
    answer = client.post("/api/tunix/sft/export", json=body)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert isinstance(detail, list if status == 422 else str)
    assert fragment in json.dumps(detail)


def manifest_request(**fields: Any) -> dict[str, Any]:
    return {"dataset_key": "no-such", "model_id": "m", "output_dir": "out", **fields}


def test_a_training_is_written_down_as_yaml(client: httpx2.Client, numbers_dataset: str) -> None:
    body = manifest_request(dataset_key=numbers_dataset, num_epochs="2", learning_rate=0.5)
    answer = client.post("/api/tunix/sft/manifest", json=body)
    assert answer.status_code == 201
    written = answer.json()
    assert (written["dataset_key"], written["model_id"]) == (numbers_dataset, "m")
    assert written["format"] == "tunix_sft"
    assert "manifest" in written["message"].lower()
    assert written["manifest_yaml"] == (
        'version: "1.0"\nrunner: "tunix"\nmode: "sft"\nmodel:\n  model_id: "m"\n'
        f'dataset:\n  format: "tunix_sft"\n  path: "./datasets/{numbers_dataset}.jsonl"\n'
        "training:\n  learning_rate: 0.5\n  weight_decay: 0.01\n  num_epochs: 2\n"
        '  batch_size: 8\n  max_seq_length: 2048\n  device: "auto"\n'
        'output:\n  output_dir: "out"\n'
    )


def test_an_unknown_dataset_cannot_be_written_down(client: httpx2.Client) -> None:
    answer = client.post("/api/tunix/sft/manifest", json=manifest_request())
    assert answer.status_code == 404
    assert "not found" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("dataset_key", ["k", "k" * 256], ["", "k" * 257, None, 1]),
        ("model_id", ["m", "m" * 256], ["", "m" * 257, None]),
        ("output_dir", ["o", "o" * 512], ["", "o" * 513, None]),
        ("learning_rate", [1e-300, 1, "0.5"], [0, -1, 1.0001, "x"]),
        ("weight_decay", [0, 1], [-0.001, 1.001]),
        ("num_epochs", [1, 100, "3", 3.0], [0, 101, 1.5, 10**400]),
        ("batch_size", [1, 512], [0, 513]),
        ("max_seq_length", [128, 32768], [127, 32769]),
        ("device", ["cpu", "cuda", "auto"], ["tpu", "", None]),
    ],
)
def test_the_limits_of_a_training(
    client: httpx2.Client, field: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        answer = client.post("/api/tunix/sft/manifest", json=manifest_request(**{field: value}))
        assert answer.status_code == 404, (value, answer.text)
    for value in bad:
        answer = client.post("/api/tunix/sft/manifest", json=manifest_request(**{field: value}))
        assert answer.status_code == 422, (value, answer.text)
        assert answer.json()["detail"][0]["loc"] == ["body", field]


def test_a_dry_run_is_the_default_and_finds_nothing_wrong(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    answered = start_run(client, numbers_dataset)
    assert str(UUID(answered["run_id"])) == answered["run_id"]
    assert (answered["mode"], answered["status"]) == ("dry-run", "completed")
    assert answered["message"] == "Dry-run validation successful"
    assert answered["exit_code"] == 0
    assert "validation completed successfully" in answered["stdout"]
    assert answered["stderr"] == ""
    assert answered["duration_seconds"] >= 0
    assert answered["started_at"] <= answered["completed_at"]
    assert client.get(f"/api/tunix/runs/{answered['run_id']}").json() == answered


def test_a_dry_run_names_the_step_that_failed(client: httpx2.Client, start_run: Answer) -> None:
    answered = start_run(client, "no-such-dataset")
    assert (answered["status"], answered["exit_code"]) == ("failed", None)
    assert "dataset not found" in answered["message"].lower()
    assert "no-such-dataset" in answered["stderr"]


def test_a_local_run_trains(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer, wait_for: Answer
) -> None:
    answered = start_run(client, numbers_dataset, dry_run=False, settings={"steps": 4})
    assert (answered["mode"], answered["status"]) == ("local", "completed")
    assert "Local execution completed successfully" in answered["message"]
    assert answered["exit_code"] == 0
    assert answered["output_dir"] == f"runs/{answered['run_id']}"
    assert wait_for(client, state_of(answered), "completed")["step"] == 4


def test_a_local_run_that_fails_says_why(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    answered = start_run(client, numbers_dataset, dry_run=False, settings={"fail_at": 2})
    assert (answered["status"], answered["exit_code"]) == ("failed", 1)
    assert "exit code 1" in answered["message"]
    assert "the loss is not a number" in answered["stdout"] + answered["stderr"]


def test_where_a_trainer_broke_is_told_but_not_where_it_is_installed(
    client: httpx2.Client, trainer_site: Path, numbers_dataset: str, start_run: Answer
) -> None:
    broken = {"step_seconds": -1.0}
    answered = start_run(client, numbers_dataset, dry_run=False, settings=broken)
    assert answered["status"] == "failed"
    log = client.get(f"/api/tunix/runs/{answered['run_id']}/logs").text
    for told in (answered["stdout"], log):
        assert "counting_trainer.py" in told
        assert "ValueError: sleep length" in told
        assert str(trainer_site) not in told
        assert str(Path(tunix_core.__file__).parents[1]) not in told


@pytest.mark.parametrize("fields", [{"dry_run": False, "settings": {"steps": 2}}, {}])
def test_an_asynchronous_run_is_pending_until_a_worker_takes_it(
    client: httpx2.Client,
    numbers_dataset: str,
    fields: dict[str, Any],
    start_run: Answer,
    wait_for: Answer,
) -> None:
    answered = start_run(client, numbers_dataset, "async", **fields)
    assert answered["status"] == "pending"
    assert "pending" in answered["message"]
    assert (answered["exit_code"], answered["completed_at"]) == (None, None)
    assert wait_for(client, state_of(answered), "completed")["exit_code"] == 0


def test_any_other_mode_waits_for_the_end(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    assert start_run(client, numbers_dataset, "ASYNC")["status"] == "completed"


@pytest.mark.parametrize(
    "output_dir", ["/etc", "../up", "a/../../b", "..", ".", "", "a\x00b", "o" * 513, "/", "./.."]
)
def test_an_output_dir_outside_its_root_is_refused(
    client: httpx2.Client, numbers_dataset: str, output_dir: str
) -> None:
    body = {"dataset_key": numbers_dataset, "model_id": "m", "output_dir": output_dir}
    for mode in ("", "async"):
        answer = client.post("/api/tunix/run", params={"mode": mode}, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"] == ["body", "output_dir"]


def test_a_local_run_is_found_under_its_output_dir(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    fields = {"dry_run": False, "settings": {"steps": 1}, "output_dir": "./output/named"}
    answered = start_run(client, numbers_dataset, **fields)
    assert answered["output_dir"] == "output/named"
    shown = client.get(f"/api/tunix/runs/{answered['run_id']}").json()
    assert shown["output_dir"] == "output/named"


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("output_dir", [None, "o"], [1]),
        ("dry_run", [True, "true", 1], ["maybe", None]),
        ("seed", [0, -1, 2**63 - 1], [2**63, "x", 1.5]),
        ("time_budget_s", [None, 0.5, 3600], [0, -1, 10**400]),
        ("settings", [{}], [None, [], "x", {"deep": "\ud800"}]),
        ("trainer", [None, "counting", "counting-trainer/counting"], ["", 1, "t" * 257]),
        ("eval_dataset_key", [None], ["", "k" * 257]),
    ],
)
def test_the_limits_of_a_run(
    client: httpx2.Client,
    numbers_dataset: str,
    field: str,
    good: list[Any],
    bad: list[Any],
    start_run: Answer,
) -> None:
    for value in good:
        assert start_run(client, numbers_dataset, **{field: value})["status"] == "completed", value
    for value in bad:
        body = {"dataset_key": numbers_dataset, "model_id": "m", field: value}
        # ASCII, so that what UTF-8 cannot say reaches the server.
        answer = client.post(
            "/api/tunix/run",
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 422, (value, answer.text)


def test_the_text_of_a_run_may_be_any(client: httpx2.Client, start_run: Answer) -> None:
    answered = start_run(client, "\x00 ' ; -- ../..", model_id="\x00\u2028 <b>")
    assert answered["status"] == "failed"
    assert client.get("/api/tunix/runs", params={"limit": 1}).json()["data"][0] == {
        **{k: answered[k] for k in ("run_id", "dataset_key", "model_id", "mode", "status")},
        **{k: answered[k] for k in ("started_at", "duration_seconds")},
        "metrics": None,
    }


def test_without_a_trainer_nothing_is_trained(bare: httpx2.Client) -> None:
    body = {"dataset_key": "any", "model_id": "m", "dry_run": False}
    answer = bare.post("/api/tunix/run", json=body)
    assert answer.status_code == 501
    assert "Tunix runtime not available" in answer.json()["detail"]
    assert bare.get("/api/tunix/runs").json()["data"] == []


def test_without_a_trainer_an_asynchronous_run_fails_when_it_is_executed(
    bare: httpx2.Client, start_run: Answer, wait_for: Answer
) -> None:
    answered = start_run(bare, "any", "async", dry_run=False)
    assert answered["status"] == "pending"
    wait_for(bare, state_of(answered), "failed")


def test_a_run_that_takes_too_long_is_stopped(
    bare: httpx2.Client, make_trace: Callable[..., dict[str, Any]], start_run: Answer
) -> None:
    bare.post("/api/traces/batch", json=[make_trace(n) for n in range(3)])
    bare.post(
        "/api/datasets/build", json={"dataset_name": "slow", "dataset_version": "v1"}
    ).raise_for_status()
    settings = {"steps": 1000, "step_seconds": 0.1}
    answered = start_run(bare, "slow-v1", dry_run=False, trainer="counting", settings=settings)
    assert answered["status"] == "timeout"
    assert "timed out" in answered["message"]
    assert "1 s" in answered["stderr"]
