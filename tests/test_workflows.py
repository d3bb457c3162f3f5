"""What the workflows promise, read from the files: a spoiled copy must not pass."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
NAMES = ("ci.yml", "nightly.yml")
PROJECTS = sorted(
    [
        ROOT / "pyproject.toml",
        *ROOT.glob("*/pyproject.toml"),
        *ROOT.glob("plugins/*/pyproject.toml"),
    ]
)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
CLASSIFIER = "Programming Language :: Python :: "


def read(name: str) -> dict[Any, Any]:
    """A workflow; YAML reads the key ``on`` as True."""
    loaded = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in read(name)["jobs"].values():
        yield from job["steps"]


def judge(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that is installed beside this Python."""
    command = [str(Path(sys.executable).with_name(tool)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def against_the_schema(path: Path) -> subprocess.CompletedProcess[str]:
    return judge("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(path))


def security(path: Path) -> subprocess.CompletedProcess[str]:
    return judge("zizmor", "--offline", "--pedantic", "--quiet", str(path))


def unpinned(text: str) -> list[str]:
    """The actions that are not named by a full hash with the version beside it."""
    used = re.findall(r"^\s*(?:- )?uses: *(.*)$", text, re.MULTILINE)
    assert used
    return [action for action in used if not PINNED.fullmatch(action)]


def test_these_are_all_the_workflows() -> None:
    assert sorted(path.name for path in WORKFLOWS.iterdir()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_keeps_the_schema_and_is_safe(name: str) -> None:
    for done in (against_the_schema(WORKFLOWS / name), security(WORKFLOWS / name)):
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned(name: str) -> None:
    text = (WORKFLOWS / name).read_text(encoding="utf-8")
    assert unpinned(text) == []
    assert len(unpinned(text.replace("@de0fac2e", "@"))) == text.count("actions/checkout@")
    assert len(unpinned(text.replace(" # v", " # of "))) == text.count("uses: ")


SPOILED = {
    "no runner": (against_the_schema, "    runs-on: ubuntu-24.04\n", ""),
    "unknown key": (against_the_schema, "    timeout-minutes:", "    time-out:"),
    "step with nothing to do": (against_the_schema, "- run: make", "- ran: make"),
    "tag for a hash": (security, "@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6"),
    "token left behind": (
        security,
        "          persist-credentials: false\n",
        "          clean: true\n",
    ),
    "all permissions": (security, "  contents: read", "  contents: write"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_copy_is_refused(what: str, tmp_path: Path) -> None:
    check, good, bad = SPOILED[what]
    text = (WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
    assert good in text
    copy = tmp_path / ".github" / "workflows" / "ci.yml"
    copy.parent.mkdir(parents=True)
    copy.write_text(text.replace(good, bad), encoding="utf-8")
    assert check(copy).returncode != 0


@pytest.mark.parametrize("name", NAMES)
def test_jobs_may_only_read_and_end_in_time(name: str) -> None:
    workflow = read(name)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert 0 < job["timeout-minutes"] <= 180
    assert "secrets." not in (WORKFLOWS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_targets_of_the_makefile(name: str) -> None:
    commands = [step["run"] for step in steps(name) if "run" in step]
    made = [command for command in commands if not command.startswith("sudo ")]
    assert len(made) == len(read(name)["jobs"])
    for command in made:
        make, *words = command.split()
        assert make == "make"
        done = subprocess.run(
            ["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_both_run_when_they_should() -> None:
    assert read("ci.yml")[True] == {"push": {"branches": ["main"]}, "pull_request": None}
    assert read("nightly.yml")[True].keys() == {"schedule", "workflow_dispatch"}


def test_the_pythons_tested_are_those_promised() -> None:
    tested = read("ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert len(PROJECTS) == 10
    for path in PROJECTS:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        named = [each.removeprefix(CLASSIFIER) for each in project["classifiers"]]
        assert named == tested, path
        assert project["requires-python"] == f">={tested[0]}", path
