"""Who starts the processes in which models run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.errors import InvalidRecordError, UsageError
from tunix_core.testing.executor import ExecutorConformance


class TestLocal(ExecutorConformance):
    reference = "tunix_core.runs.local_executor:LocalExecutor"


def test_runs_and_predictions_are_started_by_the_executor_that_was_chosen(
    tmp_path: Path,
    install_module: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_module("counting_trainer")
    install_module("noting_executor")
    notes = tmp_path / "notes"
    monkeypatch.setenv("NOTES", str(notes))
    monkeypatch.setenv("TUNIX_EXECUTOR", "noting")
    with Workspace(tmp_path / "workspace") as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "numbers.jsonl", 5))
        workspace.datasets.build("numbers", "v1")
        run = workspace.runs.create("numbers-v1", "counting", {"steps": 1}, resources={"gpu": 2})
        assert workspace.worker().execute(run.id).status == "completed"
        workspace.evaluations.judge(run.id)
    assert notes.read_text().splitlines() == [
        f"train {run.id} {{'gpu': 2.0}}",
        f"predict {run.id} {{'gpu': 2.0}}",
    ]


def test_an_executor_takes_settings(tmp_path: Path) -> None:
    with (
        Workspace(tmp_path / "workspace", executor_settings={"queue": "long"}) as workspace,
        pytest.raises(UsageError, match="tunix-core/local has no settings"),
    ):
        workspace.worker()


def test_an_executor_that_is_not_there_is_named(tmp_path: Path) -> None:
    with Workspace(tmp_path / "workspace", executor="cluster") as workspace:
        with pytest.raises(UsageError) as refused:
            workspace.worker()
        assert str(refused.value) == "no executor is called 'cluster' (known: local)"


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"gpu": -1}, "resources: 'gpu' must be a number from 0, got -1"),
        ({"gpu": "all"}, "$.resources.gpu: expected"),
    ],
)
def test_resources_are_numbers(
    counting_workspace: Workspace, resources: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRecordError) as refused:
        counting_workspace.runs.create("numbers-v1", "counting", resources=resources)
    assert problem in str(refused.value)
