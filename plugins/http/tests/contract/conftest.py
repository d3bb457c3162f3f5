"""What tests of several groups do with runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

END_S = 60.0


@pytest.fixture(scope="session")
def start_run() -> Callable[..., dict[str, Any]]:
    """``start_run(client, dataset, mode, **fields)``: the answer to a request for a run."""

    def start(
        client: httpx2.Client, dataset: str, mode: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        body = {"dataset_key": dataset, "model_id": "some-model", **fields}
        query = {} if mode is None else {"mode": mode}
        answer = client.post("/api/tunix/run", params=query, json=body)
        assert answer.status_code == 200, answer.text
        answered: dict[str, Any] = answer.json()
        return answered

    return start


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., dict[str, Any]]:
    """``wait_for(client, path, *statuses)``: what is there, once its status is one of these."""

    def wait(client: httpx2.Client, path: str, *statuses: str) -> dict[str, Any]:
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            state: dict[str, Any] = client.get(path).json()
            if state["status"] in statuses:
                return state
            time.sleep(0.1)
        raise AssertionError(f"still {state['status']}")

    return wait


@pytest.fixture(scope="session")
def same_dataset(client: httpx2.Client) -> str:
    """Key of a dataset of 10 traces whose answers are all alike."""
    traces = [
        {
            "trace_version": "1.0",
            "prompt": f"Question {number}?",
            "final_answer": "always",
            "steps": [{"i": 0, "type": "compute", "content": "as ever"}],
            "meta": {"source": "same"},
        }
        for number in range(10)
    ]
    client.post("/api/traces/batch", json=traces).raise_for_status()
    wanted = {"dataset_name": "same", "dataset_version": "v1", "filters": {"source": "same"}}
    built = client.post("/api/datasets/build", json=wanted)
    assert built.status_code == 201, built.text
    return str(built.json()["dataset_key"])
