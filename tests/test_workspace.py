"""A workspace as a whole: closed and used again, and taken over from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.errors import UsageError


def make_read_only(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)


def test_a_closed_workspace_opens_again_when_it_is_used(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "t.jsonl", 3))
    assert workspace.traces.count() == 3
    workspace.close()
    workspace.close()


def test_a_copy_goes_on_from_a_read_only_workspace(
    counting_workspace: Workspace, tmp_path: Path
) -> None:
    run = counting_workspace.worker().execute(
        counting_workspace.runs.create("numbers-v1", "counting", {"steps": 60}).id
    )
    counting_workspace.close()
    make_read_only(counting_workspace.paths.root)
    target = tmp_path / "elsewhere" / "copy"
    with Workspace.copy(counting_workspace.paths.root, target) as copy:
        assert copy.paths.root == target
        assert copy.runs.get(run.id) == run
        assert copy.datasets.verify("numbers-v1").trace_count == 20
        copy.predictions.create(run.id, "numbers-v1")
        copy.traces.import_file(write_traces(tmp_path / "more.jsonl", 25))
    modes = {path.stat().st_mode & 0o200 for path in [target, *target.rglob("*")]}
    assert modes == {0o200}, "all of it is writable"
    assert [path.name for path in target.parent.iterdir()] == ["copy"]
    with Workspace.copy(counting_workspace.paths.root, target) as again:
        assert again.traces.count() == 25, "what is there stays as it is"


def test_what_is_no_workspace_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is no workspace"):
        Workspace.copy(tmp_path / "empty", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
