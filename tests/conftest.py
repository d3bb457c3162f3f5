"""Fixtures shared by the core's tests."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tunix_core import Workspace

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def install_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Install a module of ``tests/samples`` as a distribution, for this and child processes."""
    site = tmp_path / "site"

    def install(module: str) -> None:
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        name = module.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tunix_core]\n{name} = {module}\n")
        shutil.copy(SAMPLES / f"{module}.py", site)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site))

    before = set(sys.modules)
    yield install
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) == str(site / f"{module}.py"):
            del sys.modules[module]


def lose_lease(workspace: Workspace, run_id: str) -> None:
    """Let the lease of a held run have run out, as it does when its worker is not heard of."""
    assert workspace.store.runs.heartbeat(workspace.runs.get(run_id), lease_s=-1.0) is not None


def write_traces(
    path: Path, count: int, answer: Callable[[int], str] = str, says: str = "="
) -> Path:
    """Write ``count`` small valid traces as JSON lines; ``says`` joins question and result."""
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            trace = {
                "trace_version": "1.0",
                "prompt": f"What follows {number}?",
                "steps": [
                    {"i": 0, "type": "compute", "content": f"{number} + 1 {says} {number + 1}"}
                ],
                "final_answer": answer(number + 1),
                "meta": {"source": "tests", "family": "successor", "topic": number % 3},
            }
            out.write(json.dumps(trace) + "\n")
    return path


@pytest.fixture
def counting_workspace(
    tmp_path: Path, install_module: Callable[[str], None]
) -> Iterator[Workspace]:
    """A workspace with the counting trainer and a dataset ``numbers-v1`` of 20 traces."""
    install_module("counting_trainer")
    with Workspace(tmp_path / "workspace") as workspace:
        workspace.traces.import_file(write_traces(tmp_path / "numbers.jsonl", 20))
        workspace.datasets.build("numbers", "v1")
        yield workspace
