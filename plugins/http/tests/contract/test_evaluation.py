"""The group ``evaluation`` over a socket."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

Answer = Callable[..., dict[str, Any]]

BOARD = "/api/tunix/evaluations"


def evaluate(client: httpx2.Client, run: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/tunix/runs/{run['run_id']}/evaluate", json=body)
    assert answer.status_code == 201, answer.text
    judged: dict[str, Any] = answer.json()
    return judged


@pytest.fixture(scope="module")
def trained(client: httpx2.Client, numbers_dataset: str, start_run: Answer) -> dict[str, Any]:
    """A run whose model gives one of 20 answers right."""
    settings = {"steps": 5}
    return start_run(client, numbers_dataset, dry_run=False, model_id="Eval_%", settings=settings)


@pytest.fixture(scope="module")
def judged(client: httpx2.Client, trained: dict[str, Any]) -> dict[str, Any]:
    return evaluate(client, trained)


def test_a_run_is_judged_by_whether_its_answers_are_right(
    client: httpx2.Client, numbers_dataset: str, trained: dict[str, Any], judged: dict[str, Any]
) -> None:
    assert str(UUID(judged["evaluation_id"])) == judged["evaluation_id"]
    assert judged["run_id"] == trained["run_id"]
    assert judged["dataset_key"] == numbers_dataset
    assert (judged["score"], judged["primary_score"], judged["verdict"]) == (5.0, 0.05, "fail")
    assert judged["judge"] == {"name": "answer_correctness", "version": "v1", "rules": "2"}
    assert judged["metrics"]["answer_correctness"] == 0.05
    assert judged["evaluated_at"].endswith("Z")
    newest = client.get(f"/api/tunix/runs/{trained['run_id']}/evaluation")
    assert (newest.status_code, newest.json()) == (200, judged)


def test_the_judgement_of_every_item_is_shown(
    client: httpx2.Client, numbers_dataset: str, judged: dict[str, Any]
) -> None:
    exported = client.get(f"/api/datasets/{numbers_dataset}/export.jsonl").text.splitlines()
    traces = {line["id"]: line for line in map(json.loads, exported)}
    rows = judged["detailed_metrics"]
    assert not judged["detailed_metrics_truncated"]
    assert len({row["name"] for row in rows}) == len(rows) == 20
    for row in rows:
        details = row["details"]
        assert row["name"].startswith(f"item_{details['trace_id'][:8]}")
        assert row["max_score"] == 1.0
        assert details["ground_truth"] == traces[details["trace_id"]]["final_answer"]
        assert details["correct"] == (details["prediction"] == details["ground_truth"])
        assert row["score"] == float(details["correct"])
    assert [row["details"]["trace_id"] for row in rows] == list(traces)


@pytest.mark.parametrize("body", [None, {}, {"judge_override": None}, {"unknown": 1}])
def test_the_body_of_a_request_to_judge_may_be_left_out(
    client: httpx2.Client, trained: dict[str, Any], body: Any
) -> None:
    path = f"/api/tunix/runs/{trained['run_id']}/evaluate"
    answer = client.post(path) if body is None else client.post(path, json=body)
    assert answer.status_code == 201
    assert answer.json()["judge"]["name"] == "answer_correctness"


@pytest.mark.parametrize(
    ("judge", "name"),
    [
        ("answer_correctness", "answer_correctness"),
        ("show_your_work", "show_your_work"),
        ("mock", "mock-judge"),
        ("mock-judge", "mock-judge"),
    ],
)
def test_a_judge_is_called_by_name(
    client: httpx2.Client, trained: dict[str, Any], judge: str, name: str
) -> None:
    made = evaluate(client, trained, judge_override=judge)
    assert (made["judge"]["name"], made["judge"]["version"]) == (name, "v1")
    assert 0 <= made["score"] <= 100
    newest = client.get(f"/api/tunix/runs/{trained['run_id']}/evaluation").json()
    assert newest["evaluation_id"] == made["evaluation_id"]


def test_an_unknown_judge_is_refused_with_the_known_ones(
    client: httpx2.Client, trained: dict[str, Any]
) -> None:
    path = f"/api/tunix/runs/{trained['run_id']}/evaluate"
    for judge in ("no-such", "\x00", "x" * 300):
        answer = client.post(path, json={"judge_override": judge})
        assert answer.status_code == 400, answer.text
        assert "answer_correctness" in answer.json()["detail"]
        assert "gemma-judge" in answer.json()["detail"]
    assert client.post(path, json={"judge_override": 1}).status_code == 422


def test_a_judge_that_cannot_be_reached_gives_no_grade(
    client: httpx2.Client, trained: dict[str, Any]
) -> None:
    path = f"/api/tunix/runs/{trained['run_id']}/evaluate"
    answer = client.post(path, json={"judge_override": "gemma-judge"})
    assert answer.status_code == 500
    assert "REDIAI_MODE" in answer.json()["detail"]


def test_another_dataset_can_be_answered(
    client: httpx2.Client, trained: dict[str, Any], same_dataset: str
) -> None:
    made = evaluate(client, trained, dataset_key=same_dataset)
    assert (made["dataset_key"], made["score"]) == (same_dataset, 0.0)
    path = f"/api/tunix/runs/{trained['run_id']}/evaluate"
    answer = client.post(path, json={"dataset_key": "no-such"})
    assert answer.status_code == 404
    assert "not found" in answer.json()["detail"]


def test_a_dry_run_is_not_judged(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    run = start_run(client, numbers_dataset)
    answer = client.post(f"/api/tunix/runs/{run['run_id']}/evaluate")
    assert answer.status_code == 400
    assert "dry run" in answer.json()["detail"]
    assert client.get(f"/api/tunix/runs/{run['run_id']}/evaluation").status_code == 404


def test_a_run_that_has_not_ended_is_not_judged(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer, wait_for: Answer
) -> None:
    settings = {"steps": 10_000, "step_seconds": 0.01}
    run = start_run(client, numbers_dataset, "async", dry_run=False, settings=settings)
    answer = client.post(f"/api/tunix/runs/{run['run_id']}/evaluate")
    client.post(f"/api/tunix/runs/{run['run_id']}/cancel")
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    wait_for(client, f"/api/tunix/runs/{run['run_id']}", "cancelled")


def test_a_failed_run_scores_nothing(
    client: httpx2.Client, numbers_dataset: str, start_run: Answer
) -> None:
    run = start_run(client, numbers_dataset, dry_run=False, settings={"fail_at": 1})
    made = evaluate(client, run)
    assert (made["score"], made["primary_score"], made["verdict"]) == (0.0, 0.0, "fail")
    assert {row["score"] for row in made["detailed_metrics"]} == {0.0}


def test_a_run_that_failed_for_want_of_a_dataset_scores_nothing(
    client: httpx2.Client, start_run: Answer
) -> None:
    run = start_run(client, "no-such", dry_run=False)
    made = evaluate(client, run)
    assert (made["score"], made["verdict"], made["detailed_metrics"]) == (0.0, "fail", [])


def test_an_evaluation_says_what_it_depends_on(
    client: httpx2.Client, numbers_dataset: str, same_dataset: str, start_run: Answer
) -> None:
    run = start_run(client, numbers_dataset, dry_run=False)
    first = evaluate(client, run)
    assert (first["settings"], first["judged_on_training_data"]) == ("greedy", True)
    assert (first["judged_before"], first["outdated"]) == (None, None)
    second = evaluate(client, run)
    assert second["judged_before"] == first["evaluated_at"]
    assert evaluate(client, run, again=True)["judged_before"] is None
    elsewhere = evaluate(client, run, dataset_key=same_dataset)
    assert isinstance(elsewhere["judged_on_training_data"], bool)
    (place,) = [
        place
        for place in board(client, dataset_key=numbers_dataset, limit=100)["data"]
        if place["run_id"] == run["run_id"]
    ]
    assert (place["settings"], place["judged_on_training_data"]) == ("greedy", True)


def board(client: httpx2.Client, **query: Any) -> dict[str, Any]:
    answer = client.get(BOARD, params=query)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def places(client: httpx2.Client, **query: Any) -> set[tuple[str, str, str]]:
    """(run, judge, dataset) of the places on the first page."""
    data = board(client, **{"limit": 100, **query})["data"]
    found = [(place["run_id"], place["evaluator"], place["dataset_key"]) for place in data]
    assert len(set(found)) == len(found)
    return set(found)


def test_the_leaderboard_has_a_place_for_a_run_and_dataset(
    client: httpx2.Client, numbers_dataset: str, trained: dict[str, Any], judged: dict[str, Any]
) -> None:
    latest = evaluate(client, trained)
    shown = board(client, dataset_key=numbers_dataset, evaluator="answer_correctness", limit=100)
    (place,) = [place for place in shown["data"] if place["run_id"] == trained["run_id"]]
    assert place["evaluation_id"] == latest["evaluation_id"] != judged["evaluation_id"]
    assert (place["model_id"], place["config_path"]) == ("Eval_%", None)
    same = ("score", "verdict", "metrics", "evaluated_at", "primary_score", "dataset_key")
    assert {key: place[key] for key in same} == {key: latest[key] for key in same}
    card = place["scorecard"]
    assert (card["n_items"], card["n_scored"], card["n_skipped"]) == (20, 20, 0)
    assert card["primary_score"] == 0.05
    assert card["stddev"] == pytest.approx(math.sqrt(0.05 * 0.95))
    assert card["low"] < 0.05 < card["high"]


def test_the_leaderboard_is_ordered_and_paged(
    client: httpx2.Client, judged: dict[str, Any]
) -> None:
    data = board(client, limit=100)["data"]
    scores = [place["score"] for place in data]
    assert scores == sorted(scores, reverse=True)
    walked: list[Any] = []
    offset = 0
    while offset is not None:
        page = board(client, limit=1, offset=offset)
        walked += page["data"]
        offset = page["pagination"]["next_offset"]
    assert walked == data
    assert board(client)["pagination"]["limit"] == 50


def test_what_is_no_grade_is_ranked_only_when_it_is_asked_for(
    client: httpx2.Client, numbers_dataset: str, trained: dict[str, Any]
) -> None:
    evaluate(client, trained, judge_override="mock")
    place = (trained["run_id"], "mock-judge", numbers_dataset)
    assert place not in places(client)
    assert place in places(client, evaluator="mock-judge")


def test_the_leaderboard_is_narrowed(
    client: httpx2.Client, numbers_dataset: str, trained: dict[str, Any], judged: dict[str, Any]
) -> None:
    place = (trained["run_id"], "answer_correctness", numbers_dataset)
    at = datetime.fromisoformat(evaluate(client, trained)["evaluated_at"])
    before, after = at - timedelta(hours=1), at + timedelta(hours=1)
    exact = at.astimezone(UTC).isoformat()
    matching: list[dict[str, Any]] = [
        {},
        {"dataset_key": numbers_dataset},
        {"model_id": "Eval_"},
        {"model_id": "_%"},
        {"config_path": '"steps": 5'},
        {"date_from": exact, "date_to": exact},
        {"date_from": before.replace(tzinfo=None).isoformat()},
        {"date_to": "9999-12-31T23:59:59-23:59"},
        {"date_from": "0001-01-01T00:00:00+23:59"},
        {"evaluator": "answer_correctness"},
    ]
    for query in matching:
        assert place in places(client, **query), query
    others: list[dict[str, Any]] = [
        {"dataset_key": numbers_dataset[:-1]},
        {"model_id": "Eval%"},
        {"model_id": "Eva__"},
        {"config_path": '"steps": 55'},
        {"config_path": "steps%5"},
        {"date_from": after.isoformat()},
        {"date_to": before.isoformat()},
        {"evaluator": "show_your_work", "dataset_key": "no-such"},
        {"model_id": "\x00"},
    ]
    for query in others:
        assert place not in places(client, **query), query
    asked = {"dataset_key": numbers_dataset, "model_id": "Eval_"}
    filters = board(client, **asked)["filters"]
    assert filters.items() >= asked.items()
    assert {"config_path", "date_from", "date_to"} <= filters.keys()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": 0}, 422),
        ({"limit": 101}, 422),
        ({"limit": "x"}, 422),
        ({"offset": -1}, 422),
        ({"offset": 2**63}, 422),
        ({"offset": 2**63 - 1}, 200),
        ({"limit": 100}, 200),
        ({"date_from": "yesterday"}, 422),
        ({"date_to": "2025-13-01"}, 422),
        ({"date_to": "2025-01-01"}, 200),
        ({"evaluator": "no-such"}, 400),
    ],
)
def test_the_limits_of_the_leaderboard(
    client: httpx2.Client, query: dict[str, Any], status: int
) -> None:
    answer = client.get(BOARD, params=query)
    assert answer.status_code == status, answer.text
