"""The wheels in dist/, in an environment that holds nothing else of ours: `make test-wheels`."""

from __future__ import annotations

import calendar
import json
import os
import re
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from tests.test_install import REPOSITORY, Run, copy_of_the_tree, environment, runner

pytestmark = pytest.mark.full

NAMES = {"compare", "core", "generators", "http", "jax", "judges"}
NAMES |= {"math_verify", "tensorboard", "tune", "ungar"}
DISTRIBUTIONS = {f"tunix-{name.replace('_', '-')}" for name in NAMES}
READY_S = 120.0
COMMAND_S = 600.0


def wheels_in(folder: Path) -> dict[str, Path]:
    """The wheels of a folder by the last word of the distribution's name."""
    return {path.name.split("-")[0].removeprefix("tunix_"): path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def wheels() -> dict[str, Path]:
    """The wheels as `make wheels` left them."""
    found = wheels_in(REPOSITORY / "dist")
    if not found:
        pytest.fail("there are no wheels (run: make test-wheels)")
    return found


@pytest.fixture(scope="module")
def scripts(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of commands of a new environment with all wheels in it."""
    root = tmp_path_factory.mktemp("wheels")
    venv.create(root / "venv", with_pip=True)
    scripts = root / "venv" / "bin"
    pip = [str(scripts / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    wanted = ["-c", str(REPOSITORY / "constraints.txt"), *map(str, wheels.values())]
    subprocess.run([*pip, *wanted], cwd=root, env=environment(), check=True, timeout=1200)
    return scripts


@pytest.fixture
def run(scripts: Path, tmp_path: Path) -> Run:
    """Runs a command of that environment in an empty directory."""
    return runner(scripts, tmp_path, COMMAND_S)


def test_the_tree_gives_the_same_bytes_again(wheels: dict[str, Path], tmp_path: Path) -> None:
    assert wheels.keys() == NAMES
    with zipfile.ZipFile(wheels["core"]) as archive:
        built = calendar.timegm(archive.infolist()[0].date_time)
    tree = copy_of_the_tree(tmp_path / "tree")
    made = ["make", "-s", "--assume-old=install", f"BIN={Path(sys.executable).parent}", "wheels"]
    stamped = {**os.environ, "SOURCE_DATE_EPOCH": str(built)}
    subprocess.run(made, cwd=tree, env=stamped, check=True, timeout=600)
    again = {name: sha256(path.read_bytes()) for name, path in wheels_in(tree / "dist").items()}
    for name, path in wheels.items():
        digest = sha256(path.read_bytes()).hexdigest()
        assert again[name].hexdigest() == digest, f"{path.name} is stale: make wheels"


def test_all_parts_are_there_and_well(run: Run) -> None:
    assert run("python", "-m", "pip", "check").returncode == 0
    checked = run("tunix-rt", "plugins", "check")
    assert (checked.returncode, checked.stderr) == (0, "all plugins are well\n")
    listed = json.loads(run("tunix-rt", "plugins", "list", "--json").stdout)
    assert {record["distribution"] for record in listed} == DISTRIBUTIONS
    found = json.loads(run("tunix-rt", "doctor", "--json").stdout)
    states = {finding["what"]: finding["state"] for finding in found}
    assert {states[name] for name in DISTRIBUTIONS} == {"good"}


def test_the_whole_line_runs(run: Run, tmp_path: Path) -> None:
    def tunix(*arguments: str) -> str:
        done = run("tunix-rt", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    tunix("traces", "generate", "golden-v1", "--count", "16", "-o", "golden.jsonl")
    (imported,) = json.loads(tunix("traces", "import", "golden.jsonl", "--json"))
    assert imported["accepted"] == 16
    tunix("datasets", "build", "golden", "v1")
    start = ("runs", "start", "golden-v1", "--set", "model_id=tiny", "--set", "steps=5")
    trained = json.loads(tunix(*start, "--json"))
    assert trained["status"] == "completed"
    answer = ("eval", "run", trained["id"], "--dataset", "golden-v1")
    judged = json.loads(tunix(*answer, "--generate", "max_new_tokens=8", "--json"))
    assert {evaluation["scorecard"]["n_items"] for evaluation in judged} == {16}
    promoted = json.loads(tunix("models", "promote", "smoke", trained["id"], "--json"))
    assert re.fullmatch("[0-9a-f]{64}", promoted["sha256"])
    assert any((tmp_path / "workspace" / "runs" / trained["id"] / "tensorboard").iterdir())
    fitting = json.loads(tunix("fit", "--model", "tiny", "--topology", "cpu", "--json"))
    assert fitting["fits"] is True


@contextmanager
def served(scripts: Path, directory: Path) -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    log = directory / "server.log"
    with log.open("wb") as out:
        command = [str(scripts / "tunix-rt"), "serve", "--port", "0"]
        process = subprocess.Popen(command, cwd=directory, env=environment(), stderr=out)
    try:
        deadline = time.monotonic() + READY_S
        while (ready := re.search(r"serves (http\S+)", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield ready.group(1)
    finally:
        process.terminate()
        try:
            process.wait(READY_S)
        finally:
            process.kill()


def test_the_server_answers(scripts: Path, tmp_path: Path) -> None:
    with served(scripts, tmp_path) as url, httpx2.Client(base_url=url, timeout=READY_S) as client:
        assert client.get("/api/health").json()["status"] == "healthy"
        assert "/static/" in client.get("/").text
