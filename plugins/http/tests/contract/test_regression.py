"""The group ``regression`` over a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

Answer = Callable[..., dict[str, Any]]

BASELINES = "/api/regression/baselines"
CHECK = "/api/regression/check"


def judged(client: httpx2.Client, dataset: str, start_run: Answer, **settings: Any) -> str:
    """Id of a run that was trained and judged."""
    run = start_run(client, dataset, dry_run=False, settings={"steps": 3, **settings})
    answer = client.post(f"/api/tunix/runs/{run['run_id']}/evaluate")
    assert answer.status_code == 201, answer.text
    return str(run["run_id"])


@pytest.fixture(scope="module")
def good(client: httpx2.Client, same_dataset: str, start_run: Answer) -> str:
    """A run that gives every answer right."""
    return judged(client, same_dataset, start_run)


@pytest.fixture(scope="module")
def bad(client: httpx2.Client, same_dataset: str, start_run: Answer) -> str:
    """A run that gives none right."""
    return judged(client, same_dataset, start_run, fail_at=1)


def set_baseline(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(BASELINES, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def check(client: httpx2.Client, run_id: str, name: str) -> dict[str, Any]:
    answer = client.post(CHECK, json={"run_id": run_id, "baseline_name": name})
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


def test_a_baseline_is_set_and_set_again(client: httpx2.Client, good: str, bad: str) -> None:
    made = set_baseline(client, name="again", run_id=good)
    assert str(UUID(made["id"])) == made["id"]
    assert made["created_at"].endswith("Z")
    assert made == {
        "id": made["id"],
        "name": "again",
        "run_id": good,
        "metric": "primary_score",
        "lower_is_better": None,
        "eval_set": None,
        "dataset_key": None,
        "created_at": made["created_at"],
    }
    fields = {"metric": "score", "lower_is_better": True, "eval_set": "held out"}
    replaced = set_baseline(client, name="again", run_id=bad, **fields)
    assert replaced == {**made, "run_id": bad, **fields}


def test_a_run_that_became_worse_fails(client: httpx2.Client, good: str, bad: str) -> None:
    set_baseline(client, name="worse", run_id=good)
    done = check(client, bad, "worse")
    assert (done["run_id"], done["baseline_run_id"]) == (bad, good)
    assert (done["baseline_name"], done["metric_name"]) == ("worse", "primary_score")
    assert (done["baseline_value"], done["current_value"]) == (1.0, 0.0)
    assert (done["delta"], done["delta_percent"], done["verdict"]) == (-1.0, -100.0, "fail")
    assert isinstance(done["details"], str)
    assert done["paired"]["n_paired"] == 10
    assert check(client, good, "worse")["verdict"] == "pass"


def test_the_direction_can_be_said(client: httpx2.Client, good: str, bad: str) -> None:
    set_baseline(client, name="lower", run_id=good, metric="score", lower_is_better=True)
    done = check(client, bad, "lower")
    assert (done["baseline_value"], done["delta"], done["verdict"]) == (100.0, -100.0, "pass")


def test_any_figure_can_be_compared(client: httpx2.Client, good: str) -> None:
    shown = client.get(f"/api/tunix/runs/{good}/evaluation").json()
    names = ["score", "primary_score", *shown["metrics"]]
    names.append(shown["detailed_metrics"][3]["name"])
    for name in names:
        set_baseline(client, name=f"figure {name}", run_id=good, metric=name)
        done = check(client, good, f"figure {name}")
        assert (done["metric_name"], done["delta"], done["verdict"]) == (name, 0.0, "pass")


def test_a_baseline_can_be_bound_to_a_dataset(
    client: httpx2.Client, good: str, same_dataset: str, numbers_dataset: str
) -> None:
    made = set_baseline(client, name="bound", run_id=good, dataset_key=same_dataset)
    assert made["dataset_key"] == same_dataset
    body = {"name": "bound", "run_id": good, "dataset_key": numbers_dataset}
    assert client.post(BASELINES, json=body).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        ({"metric": "no-such"}, 400, "no-such"),
        ({"metric": "item_"}, 400, "item_"),
        ({"run_id": str(uuid4())}, 400, "not found"),
        ({"run_id": "no-uuid"}, 422, "run_id"),
        ({"name": ""}, 422, "name"),
        ({"name": " "}, 400, "name"),
        ({"name": "n" * 257}, 422, "name"),
        ({"name": None}, 422, "name"),
        ({"lower_is_better": "perhaps"}, 422, "lower_is_better"),
    ],
)
def test_baselines_that_are_refused(
    client: httpx2.Client, good: str, body: dict[str, Any], status: int, fragment: str
) -> None:
    answer = client.post(BASELINES, json={"name": "refused", "run_id": good, **body})
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], list if status == 422 else str)
    assert fragment in str(answer.json()["detail"])


def test_a_run_without_an_evaluation_is_neither_set_nor_checked(
    client: httpx2.Client, good: str, same_dataset: str, start_run: Answer
) -> None:
    set_baseline(client, name="there", run_id=good)
    run_id = start_run(client, same_dataset)["run_id"]
    for path, body in (
        (BASELINES, {"name": "none", "run_id": run_id}),
        (CHECK, {"run_id": run_id, "baseline_name": "there"}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        assert "no evaluation" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["no-such", "", "\x00", "n" * 10_000])
def test_an_unknown_baseline_is_not_found(client: httpx2.Client, good: str, name: str) -> None:
    answer = client.post(CHECK, json={"run_id": good, "baseline_name": name})
    assert answer.status_code == 404
    assert "not found" in answer.json()["detail"]


def test_a_figure_that_a_run_lacks_is_not_found(client: httpx2.Client, good: str) -> None:
    set_baseline(client, name="extracted", run_id=good, metric="extracted")
    answer = client.post(
        f"/api/tunix/runs/{good}/evaluate", json={"judge_override": "show_your_work"}
    )
    assert answer.status_code == 201
    # The newest evaluation by the judge of the baseline is the one that counts.
    assert check(client, good, "extracted")["verdict"] == "pass"


def test_a_check_of_what_is_no_run_is_refused(client: httpx2.Client, good: str) -> None:
    set_baseline(client, name="here", run_id=good)
    answer = client.post(CHECK, json={"run_id": str(uuid4()), "baseline_name": "here"})
    assert answer.status_code == 400
    assert client.post(CHECK, json={"run_id": good}).status_code == 422
    assert client.post(CHECK, json={"baseline_name": "here"}).status_code == 422


@pytest.mark.parametrize("path", [BASELINES, CHECK])
def test_there_is_nothing_to_get(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
