"""Pages of an empty workspace, and of runs that went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .conftest import PageReader

ReadPage = Callable[[httpx2.Response], PageReader]
StartServer = Callable[..., AbstractContextManager[Any]]


def test_an_empty_workspace_says_what_to_do(
    start_server: StartServer, tmp_path: Path, read_page: ReadPage
) -> None:
    hints = {
        "/": "tunix-rt demo",
        "/traces": "tunix-rt traces import",
        "/datasets": "tunix-rt datasets build",
        "/runs": "tunix-rt runs start",
        "/runs/new": "There is no dataset to train on yet",
        "/runs/compare": "Start one",
        "/evaluations": "tunix-rt eval run",
        "/regressions": "tunix-rt regress baseline",
        "/tuning": "tunix-rt tune create",
        "/models": "tunix-rt models promote",
    }
    with start_server(tmp_path, "--workers", "0") as started:
        for path, hint in hints.items():
            assert hint in read_page(started.client.get(path)).text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"dataset_key": "nope"}, "dataset not found"),
        ({"trainer": "nope"}, "no trainer is called 'nope'"),
        ({"settings": {"fail_at": 2}}, "the loss is not a number"),
        ({"settings": {"nope": 1}, "dry_run": True}, "manifest generation error"),
    ],
)
def test_a_run_that_went_wrong_has_a_page_that_says_why(
    client: httpx2.Client,
    numbers_dataset: str,
    read_page: ReadPage,
    wait_for_end: Callable[[str], None],
    asked: dict[str, Any],
    said: str,
) -> None:
    body = {"dataset_key": numbers_dataset, "model_id": "x", "dry_run": False, **asked}
    run = client.post("/api/tunix/run?mode=async", json=body).json()["run_id"]
    assert client.get(f"/runs/{run}").status_code == 200
    wait_for_end(run)

    page = read_page(client.get(f"/runs/{run}"))

    assert said in page.text
    assert "failed" in page.found("data-status")
    assert client.get(f"/runs/compare?run={run}").status_code == 200


def test_a_damaged_file_of_a_run_is_named_and_hides_no_other_run(
    start_server: StartServer, tmp_path: Path, read_page: ReadPage
) -> None:
    with start_server(tmp_path, "--workers", "0") as started:
        body = {"dataset_key": "any", "model_id": "x", "dry_run": False}
        damaged, whole = (
            started.client.post("/api/tunix/run?mode=async", json=body).json()["run_id"]
            for _ in range(2)
        )
        (started.workspace / "runs" / damaged / "progress.json").write_text('{"total_st')
        for path in ("/", "/runs"):
            listed = started.client.get(path)
            assert listed.status_code == 200
            assert f"/runs/{damaged}" in listed.text
            assert f"/runs/{whole}" in listed.text
        name = f"runs/{damaged}/progress.json is damaged"
        shown = started.client.get(f"/runs/{damaged}")
        assert shown.status_code == 500
        assert name in read_page(shown).text
        told = started.client.get(f"/api/tunix/runs/{damaged}/status")
        assert told.status_code == 500
        assert name in told.json()["detail"]


def test_what_a_run_printed_is_on_its_page(client: httpx2.Client, numbers_dataset: str) -> None:
    body = {"dataset_key": numbers_dataset, "model_id": "x", "dry_run": True}
    run = client.post("/api/tunix/run", json=body).json()

    shown = client.get(f"/runs/{run['run_id']}.json").json()["log"]

    assert "".join(chunk["chunk"] for chunk in shown["chunks"]) == run["stdout"]
    assert (shown["first_seq"], shown["last_seq"]) == (1, len(shown["chunks"]))
    assert client.get(f"/runs/{run['run_id']}.json?log=0").json()["log"] is None


def test_a_missing_answer_is_shown_as_such(
    client: httpx2.Client, numbers_dataset: str, read_page: ReadPage
) -> None:
    body = {
        "dataset_key": numbers_dataset,
        "model_id": "x",
        "dry_run": False,
        "settings": {"fail_at": 1},
    }
    run = client.post("/api/tunix/run", json=body).json()["run_id"]
    judged = client.post(f"/api/tunix/runs/{run}/evaluate", json={}).json()["evaluation_id"]
    item = client.get(f"/evaluations/{judged}.json").json()["items"][0]["score"]["item_id"]

    text = read_page(client.get(f"/evaluations/{judged}/items/{item}")).text

    assert "no finished predictions" in text or "no answer" in text
    assert "What follows" in text


@pytest.fixture
def wait_for_end(client: httpx2.Client) -> Callable[[str], None]:
    """``wait_for_end(run_id)``: returns when the run has ended."""

    def wait(run_id: str) -> None:
        deadline = time.monotonic() + 60.0
        while client.get(f"/runs/{run_id}.json?log=0").json()["active"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    return wait
