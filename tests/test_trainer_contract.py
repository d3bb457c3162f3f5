"""What a run's trainer is promised, and what is refused before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.contributions import TRAINER
from tunix_core.errors import TunixError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.protocols import Evaluator


def relabel(workspace: Workspace, key: str, **fields: Any) -> None:
    """Let the manifest of a dataset say something else."""
    path = workspace.paths.dataset(key) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_data_that_the_trainer_does_not_read_is_refused_at_creation(
    counting_workspace: Workspace,
) -> None:
    (key,) = [manifest.dataset_key for manifest in counting_workspace.datasets.list()]
    assert counting_workspace.datasets.manifest(key).record == "trace"
    relabel(counting_workspace, key, record="preference")
    with pytest.raises(UsageError) as refused:
        counting_workspace.runs.create(key, "counting")
    assert str(refused.value) == (
        "counting-trainer/counting reads a trace in every line of its train data, "
        f"{key} holds a preference (choose another dataset or trainer)"
    )
    assert counting_workspace.runs.list() == []


def test_a_trainer_of_the_old_school_gets_one_clear_line(
    tmp_path: Path, install_module: Callable[[str], None]
) -> None:
    install_module("old_trainer")
    with Workspace(tmp_path / "workspace", Plugins.discover()) as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "some.jsonl", 3))
        workspace.datasets.build("some", "v1")
        with pytest.raises(TunixError) as refused:
            workspace.plugins.find(TRAINER, "old").create()
        assert "\n" not in str(refused.value)
        assert "whose load does not take (request)" in str(refused.value)
        run = workspace.worker().execute(workspace.runs.create("some-v1", "old").id)
        assert run.status == "failed"
        assert run.error == str(refused.value)


def test_tools_are_the_evaluators_and_generators_of_the_same_plugins() -> None:
    tools = PluginTools(Plugins.of())
    assert isinstance(tools.evaluator("answer_correctness"), Evaluator)
    with pytest.raises(UsageError, match="no generator is called 'sums'"):
        tools.generator("sums")
    with pytest.raises(UsageError, match="has no settings"):
        tools.evaluator("answer_correctness", {"strict": True})
