"""The core alone, installed by pip into an environment that holds nothing else of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
# What only the development environment or a plugin brings.
ABSENT = ("jax", "matplotlib", "numpy", "pytest", "tunix_compare", "tunix_generators", "zstandard")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def copy_of_the_tree(target: Path) -> Path:
    """The repository without what is built in it; building writes beside the sources."""
    built = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*workspace", "__pycache__")
    return shutil.copytree(REPOSITORY, target, ignore=built)


def environment() -> dict[str, str]:
    """This process's environment without what would let its packages through."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TUNIX_"))}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of commands of a new environment with only the core in it."""
    root = tmp_path_factory.mktemp("install")
    tree = copy_of_the_tree(root / "tree")
    venv.create(root / "venv", with_pip=True)
    scripts = root / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run(
        [*pip, "-c", str(REPOSITORY / "constraints.txt"), str(tree)],
        cwd=root,
        env=environment(),
        check=True,
    )
    return scripts


def runner(scripts: Path, directory: Path, timeout_s: float = 120.0) -> Run:
    """``run(name, *arguments)`` runs a command of an environment in ``directory``."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(scripts / name), *arguments],
            cwd=directory,
            env=environment(),
            capture_output=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture
def run(scripts: Path, tmp_path: Path) -> Run:
    """Runs a command of that environment in an empty directory."""
    return runner(scripts, tmp_path)


def test_nothing_but_the_core_is_there(run: Run) -> None:
    script = f"import importlib.util as u; print([m for m in {ABSENT} if u.find_spec(m)])"
    assert run("python", "-c", script).stdout == "[]\n"
    assert run("python", "-m", "pip", "check").returncode == 0
    listed = run("tunix-rt", "plugins", "list", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [record["distribution"] for record in json.loads(listed.stdout)] == ["tunix-core"]


def test_version_help_check_and_doctor_work(run: Run) -> None:
    version = run("tunix-rt", "--version")
    assert version.stdout == f"tunix-rt {run('python', '-c', VERSION).stdout}"
    shown = run("tunix-rt", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "datasets" in shown.stdout
    assert run("tunix-rt", "plugins", "check").returncode == 0
    found = json.loads(run("tunix-rt", "doctor", "--json").stdout)
    missing = {finding["what"]: finding["found"] for finding in found if finding["state"] != "good"}
    assert "pip install tunix-jax" in missing["tunix-jax"]
    assert "pip install 'tunix-core[zstd]'" in missing["zstandard"]


VERSION = "import tunix_core; print(tunix_core.__version__)"


def test_traces_become_a_verified_dataset(run: Run, tmp_path: Path) -> None:
    trace = {
        "prompt": "What is 1 + 1?",
        "steps": [{"i": 0, "type": "compute", "content": "1 + 1 = 2"}],
        "final_answer": "2",
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(trace) + "\n")
    assert run("tunix-rt", "traces", "import", "mine.jsonl").returncode == 0
    assert run("tunix-rt", "datasets", "build", "mine", "v1").returncode == 0
    verified = run("tunix-rt", "datasets", "verify", "mine-v1")
    assert (verified.returncode, verified.stderr) == (0, "mine-v1: 1 traces, hash as built\n")
    exported = run("tunix-rt", "datasets", "export", "mine-v1", "--format", "show_your_work")
    assert "<answer>2</answer>" in json.loads(exported.stdout)["completion"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("runs start mine-v1", "there is no trainer (none is installed; see: tunix-rt doctor)"),
        ("traces generate golden-v1 --count 3", "no generator is called 'golden-v1' (none is "),
        ("traces import mine.jsonl.zst", "install it with: pip install 'tunix-core[zstd]'"),
    ],
)
def test_what_is_not_installed_is_one_clear_line(
    run: Run, tmp_path: Path, arguments: str, problem: str
) -> None:
    (tmp_path / "mine.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    done = run("tunix-rt", *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert problem in done.stderr


def test_the_demo_ends_with_what_is_missing(run: Run) -> None:
    done = run("tunix-rt", "demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: no generator is called")


def test_a_plot_without_matplotlib_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from tunix_core.rich.plots import plot_metric; "
        "plot_metric({'a': [(1, 2.0)]}, 'loss', Path('loss.png'))"
    )
    done = run("python", "-c", script)
    assert done.returncode == 1
    assert "pip install 'tunix-core[plot]'" in done.stderr.splitlines()[-1]


CONFORMANCE = """
from tunix_core.models.local_registry import LocalRegistry
from tunix_core.testing.registry import RegistryConformance

class TestMine(RegistryConformance):
    def make(self, directory):
        return LocalRegistry(directory)
"""


def test_the_conformance_suites_come_with_the_wheel(
    run: Run, scripts: Path, tmp_path: Path
) -> None:
    brought = tmp_path / "brought"
    pip = [str(scripts / "python"), "-m", "pip", "install", "-q", "--target", str(brought)]
    constraints = str(REPOSITORY / "constraints.txt")
    subprocess.run([*pip, "-c", constraints, "pytest"], env=environment(), check=True)
    (tmp_path / "test_mine.py").write_text(CONFORMANCE)
    script = f"import sys; sys.path.insert(0, {str(brought)!r}); import pytest; pytest.main(['-q'])"
    done = run("python", "-c", script)
    assert "passed" in done.stdout, done.stdout + done.stderr
    assert "failed" not in done.stdout


def test_the_package_is_typed_and_whole(run: Run) -> None:
    script = (
        "import importlib.resources as r; files = r.files('tunix_core'); "
        "print([n for n in ('py.typed', 'first_party.json') if not (files / n).is_file()])"
    )
    assert run("python", "-c", script).stdout == "[]\n"
