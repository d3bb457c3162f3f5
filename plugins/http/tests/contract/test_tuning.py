"""The group ``tuning`` over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

Answer = Callable[..., dict[str, Any]]
StartServer = Callable[..., AbstractContextManager[Any]]

JOBS = "/api/tuning/jobs"
STEPS = {"type": "choice", "values": [3, 4]}


def job(client: httpx2.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(JOBS, json=request(**fields))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def request(**fields: Any) -> dict[str, Any]:
    return {
        "name": "a job",
        "dataset_key": "any",
        "base_model_id": "some-model",
        "search_space": {"steps": STEPS},
        **fields,
    }


def test_a_job_is_written_down(client: httpx2.Client) -> None:
    made = job(client)
    assert str(UUID(made["id"])) == made["id"]
    assert made["created_at"].endswith("Z")
    assert made == {
        "id": made["id"],
        "name": "a job",
        "status": "created",
        "dataset_key": "any",
        "base_model_id": "some-model",
        "mode": "local",
        "metric_name": "score",
        "metric_mode": "max",
        "num_samples": 1,
        "max_concurrent_trials": 1,
        "search_space_json": {"steps": STEPS},
        "best_run_id": None,
        "best_params_json": None,
        "created_at": made["created_at"],
        "started_at": None,
        "completed_at": None,
        "error": None,
        "trials": None,
    }
    read = client.get(f"{JOBS}/{made['id']}")
    assert (read.status_code, read.json()) == (200, {**made, "trials": []})


def test_jobs_are_listed_newest_first(client: httpx2.Client) -> None:
    made = [job(client, name=f"listed {number}") for number in range(3)]
    listed = client.get(JOBS)
    assert listed.status_code == 200
    assert listed.json()[:3] == made[::-1]
    part = client.get(JOBS, params={"limit": 1, "offset": 1}).json()
    assert part == [made[1]]
    assert len(client.get(JOBS, params={"limit": 2**63 - 1}).json()) >= 3


@pytest.mark.parametrize(
    ("query", "count"), [({"limit": 0}, 0), ({"limit": 1, "offset": -5}, 1), ({"limit": -1}, 2)]
)
def test_a_part_has_no_bounds(client: httpx2.Client, query: dict[str, int], count: int) -> None:
    for _ in range(2):
        job(client)
    listed = client.get(JOBS, params=query)
    assert listed.status_code == 200
    everything = client.get(JOBS, params={"limit": 10_000}).json()
    assert listed.json() == (everything if query == {"limit": -1} else everything[:count])


@pytest.mark.parametrize(
    "query", [{"limit": 1.5}, {"limit": "x"}, {"offset": 2**63}, {"limit": -(2**63) - 1}]
)
def test_a_part_that_there_cannot_be_is_refused(
    client: httpx2.Client, query: dict[str, Any]
) -> None:
    assert client.get(JOBS, params=query).status_code == 422


def uniform(low: Any, high: Any, kind: str = "uniform") -> dict[str, Any]:
    return {"x": {"type": kind, "min": low, "max": high}}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("name", ["n", "n" * 256, "\x00"], ["", "n" * 257, None]),
        ("dataset_key", ["", "k" * 256], ["k" * 257, None]),
        ("base_model_id", ["", "k" * 256], ["k" * 257, None]),
        ("metric_name", ["anything"], [None, 1]),
        ("metric_mode", ["max", "min"], ["MAX", None]),
        ("num_samples", [1, 100, "5"], [0, 101, 1.5]),
        ("max_concurrent_trials", [1, 10], [0, 11]),
        ("seed", [0, -1, 2**63 - 1], [2**63]),
        ("settings", [{}, {"steps": 1}], [None, [], {"x": "\ud800"}]),
        (
            "search_space",
            [
                {"x": {"type": "choice", "values": [None, "a", [1]]}},
                uniform(-1, 1),
                uniform(1e-9, 1, "loguniform"),
                uniform(0, 1, "randint"),
                {"\x00": STEPS},
            ],
            [
                {},
                None,
                [],
                {"x": {"type": "choice", "values": []}},
                {"x": {"type": "choice"}},
                {"x": {"type": "choice", "values": ["\ud800"]}},
                {"\ud800": STEPS},
                {"x": {"type": "normal", "min": 0, "max": 1}},
                {"x": 1},
                {"": STEPS},
                uniform(1, -5),
                uniform(1, 1),
                uniform(0, 1, "loguniform"),
                uniform(0.5, 1, "randint"),
                uniform(0, 2**63, "randint"),
                uniform(-1e308, 1e308),
            ],
        ),
    ],
)
def test_the_limits_of_a_job(
    client: httpx2.Client, field: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        job(client, **{field: value})
    for value in bad:
        # ASCII, so that what UTF-8 cannot say reaches the server.
        content = json.dumps(request(**{field: value}))
        answer = client.post(JOBS, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (value, answer.text)
        assert isinstance(answer.json()["detail"], list)


def test_an_unknown_job_is_not_found(client: httpx2.Client) -> None:
    for answer in (
        client.get(f"{JOBS}/{uuid4()}"),
        client.post(f"{JOBS}/{uuid4()}/start"),
    ):
        assert answer.status_code == 404
        assert "not found" in answer.json()["detail"]
    assert client.get(f"{JOBS}/no-uuid").status_code == 422


def test_a_started_job_finds_its_best_trial(
    client: httpx2.Client, same_dataset: str, wait_for: Answer
) -> None:
    made = job(client, dataset_key=same_dataset, num_samples=2, seed=1)
    path = f"{JOBS}/{made['id']}"
    started = client.post(f"{path}/start")
    assert started.status_code == 200
    assert started.json()["job_id"] == made["id"]
    assert started.json()["status"] == "running"
    assert isinstance(started.json()["message"], str)
    again = client.post(f"{path}/start")
    assert again.status_code == 400
    ended = wait_for(client, path, "completed", "failed")
    assert ended["status"] == "completed"
    assert made["created_at"] <= ended["started_at"] <= ended["completed_at"]
    trials = ended["trials"]
    assert len(trials) == 2
    for trial in trials:
        assert trial["tuning_job_id"] == made["id"]
        assert (trial["status"], trial["metric_value"], trial["error"]) == (
            "completed",
            100.0,
            None,
        )
        assert trial["params_json"]["steps"] in (3, 4)
        run = client.get(f"/api/tunix/runs/{trial['run_id']}").json()
        assert run["status"] == "completed"
    assert ended["best_run_id"] == trials[0]["run_id"]
    assert ended["best_params_json"] == trials[0]["params_json"]


@pytest.mark.parametrize(
    "fields",
    [
        {"metric_name": "no-such-metric"},
        {"search_space": {"no_such_setting": STEPS}},
        {"trainer": "no-such-trainer"},
    ],
)
def test_a_job_that_cannot_work_is_not_started(
    client: httpx2.Client, same_dataset: str, fields: dict[str, Any]
) -> None:
    made = job(client, **{"dataset_key": same_dataset, **fields})
    answer = client.post(f"{JOBS}/{made['id']}/start")
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    assert client.get(f"{JOBS}/{made['id']}").json()["status"] == "created"


def test_a_job_whose_trials_fail_fails_and_may_be_started_again(
    client: httpx2.Client, wait_for: Answer
) -> None:
    made = job(client, dataset_key="no-such-dataset")
    path = f"{JOBS}/{made['id']}"
    client.post(f"{path}/start").raise_for_status()
    ended = wait_for(client, path, "completed", "failed")
    assert ended["status"] == "failed"
    assert ended["error"]
    assert ended["best_run_id"] is None
    assert [trial["status"] for trial in ended["trials"]] == ["failed"]
    assert ended["trials"][0]["metric_value"] is None
    assert ended["trials"][0]["error"]
    assert client.post(f"{path}/start").status_code == 200
    wait_for(client, path, "failed")


def test_a_job_by_a_tuner_that_is_missing_is_not_started(client: httpx2.Client) -> None:
    made = job(client, tuner="no-such-tuner")
    answer = client.post(f"{JOBS}/{made['id']}/start")
    assert answer.status_code == 400
    assert "known: optuna" in answer.json()["detail"]


@pytest.fixture(scope="module")
def bare(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """A server without tuners."""
    environment = {"TUNIX_PLUGINS": "-tunix-tune"}
    with start_server(tmp_path_factory.mktemp("bare"), environment=environment) as started:
        yield started.client


def test_without_a_tuner_nothing_is_started_not_even_an_unknown_job(bare: httpx2.Client) -> None:
    made = job(bare)
    for job_id in (made["id"], str(uuid4())):
        answer = bare.post(f"{JOBS}/{job_id}/start")
        assert answer.status_code == 501
        assert "not installed" in answer.json()["detail"]
