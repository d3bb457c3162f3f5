"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def python_blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [code for language, code in BLOCK.findall(text) if language == "python"]


def run(arguments: list[str], directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_example_runs(python_blocks: list[str], tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = next(code for language, code in BLOCK.findall(text) if language == "json")
    lines = [shown.replace("What is", f"Case {number}: what is") for number in range(40)]
    (tmp_path / "mine.jsonl").write_text("".join(lines))
    said = run(["-c", python_blocks[0]], tmp_path).split()
    assert {"tunix-core/answer_correctness", "tunix-core/show_your_work"} <= set(said)
    assert re.fullmatch(r"[0-9a-f]{64}", said[-1])


def test_the_generator_example_is_found_and_keeps_the_contract(
    python_blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plugin, test = python_blocks
    (tmp_path / "sums.py").write_text(plugin)
    (tmp_path / "test_sums.py").write_text(test)
    info = tmp_path / "sums-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sums\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tunix_core]\nsums = sums\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = ["-m", "tunix_core.cli", "--workspace", "w", "traces", "generate", "sums"]
    lines = run([*command, "--count", "10"], tmp_path).splitlines()
    assert len(lines) == 10
    assert "passed" in run(["-m", "pytest", "-q", "-p", "no:cacheprovider"], tmp_path)


def test_every_command_that_is_shown_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"tunix-rt ([a-z]+) ([a-z]+) ", text))
    assert len(shown) >= 6
    for group, verb in sorted(shown):
        run(["-m", "tunix_core.cli", group, verb, "--help"], ROOT)
