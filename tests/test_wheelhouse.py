"""The folder that a notebook without internet installs from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.documents.blocks import blocks
from tests.test_install import copy_of_the_tree

ROOT = Path(__file__).parent.parent
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
HOST = {"jax", "jaxlib", "libtpu"}
WANTED = (
    "tunix-core[plot]",
    "tunix-compare",
    "tunix-generators",
    "tunix-jax",
    "tunix-tensorboard",
)


def write_wheel(
    folder: Path, name: str, version: str, requires: Iterable[str] = (), tag: str = "py3-none-any"
) -> None:
    """A wheel with nothing but metadata in it."""
    file = f"{name.replace('-', '_')}-{version}"
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    if name == "tunix-core":
        lines.append("Provides-Extra: plot")
    content = {
        f"{file}.dist-info/METADATA": "\n".join(["Metadata-Version: 2.1", *lines, ""]),
        f"{file}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    hashes = {
        path: urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for path, text in content.items()
    }
    record = "".join(f"{path},sha256={digest},\n" for path, digest in hashes.items())
    with zipfile.ZipFile(folder / f"{file}-{tag}.whl", "w") as wheel:
        for path, text in content.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{file}.dist-info/RECORD", record + f"{file}.dist-info/RECORD,,\n")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Wheels of distributions called like ours, and of all that these need."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    requires = {
        "tunix-core": ["base", 'drawing; extra == "plot"', 'packing; extra == "zstd"'],
        "tunix-compare": ["tunix-core", 'older; python_version < "3.11"'],
        "tunix-generators": ['newer>=2; python_version >= "3.40"', 'windows; os_name == "nt"'],
        "tunix-jax": ["jax", "base"],
        "tunix-tensorboard": ["tunix-core"],
        "jax": ["jaxlib", "of-jax-alone"],
        "newer": ["of-newer"],
    }
    others = ("base", "drawing", "jaxlib", "of-jax-alone", "of-newer")
    for name in (*requires, *others):
        write_wheel(folder, name, "2.0", requires.get(name, ()))
    write_wheel(folder, "base", "3.0", tag="cp340-cp340-manylinux_2_17_x86_64")
    write_wheel(folder, "base", "4.0", tag="cp340-cp340-manylinux_2_39_x86_64")
    (tmp_path / "constraints.txt").write_text("drawing==2.0\n")
    return folder


def build(
    target: Path, wheels: Path, python: str, *further: str
) -> subprocess.CompletedProcess[str]:
    """Run the script, without an index."""
    command = [sys.executable, str(ROOT / "notebooks" / "wheelhouse.py"), str(target)]
    constraints = wheels.parent / "constraints.txt"
    options = ["--wheels", str(wheels), "--constraints", str(constraints), "--python", python]
    return subprocess.run(
        [*command, *options, *further],
        env={**os.environ, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def pins(folder: Path) -> dict[str, str]:
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_what_the_host_brings_is_left_out_and_stale_wheels_go(ours: Path, tmp_path: Path) -> None:
    target = tmp_path / "wheelhouse"
    target.mkdir()
    write_wheel(target, "stale", "1.0")
    (target / "notes.txt").write_text("kept")
    done = build(target, ours, RUNNING)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{target}: 7 wheels, 0 MiB, for CPython {RUNNING} on Linux")
    assert done.stdout.endswith(" beside jax 2.0\n")
    assert pins(target) == {name.partition("[")[0]: "2.0" for name in (*WANTED, "base", "drawing")}
    files = {path.name.split("-")[0].replace("_", "-") for path in target.glob("*.whl")}
    assert files == set(pins(target))
    assert (target / "notes.txt").read_text() == "kept"


def test_markers_and_tags_are_those_of_the_target(ours: Path, tmp_path: Path) -> None:
    done = build(tmp_path / "wheelhouse", ours, "3.40")
    assert (done.returncode, done.stderr) == (0, "")
    found = pins(tmp_path / "wheelhouse")
    assert found["base"] == "3.0", "the newest that the target's glibc can load"
    assert {"newer", "of-newer"} <= set(found)
    assert not {"older", "windows", "packing"} & set(found)


@pytest.mark.parametrize(
    ("missing", "python", "problem"),
    [("drawing", RUNNING, "error: pip found no set of wheels"), (None, "py312", "say 3.12")],
)
def test_what_cannot_be_built_is_said_and_leaves_what_was_there(
    ours: Path, tmp_path: Path, missing: str | None, python: str, problem: str
) -> None:
    write_wheel(tmp_path, "stale", "1.0")
    if missing is not None:
        (ours / f"{missing}-2.0-py3-none-any.whl").unlink()
    done = build(tmp_path, ours, python)
    assert done.returncode != 0
    assert problem in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*.whl"))


def test_another_jax_brings_what_goes_with_it(ours: Path, tmp_path: Path) -> None:
    write_wheel(ours, "tunix-compare", "3.0", ["flax"])
    write_wheel(ours, "flax", "1.0", ["jax<3"])
    write_wheel(ours, "flax", "2.0", ["jax>=3"])
    write_wheel(ours, "jax", "3.0")
    (tmp_path / "constraints.txt").write_text("Flax==1.0\njax==2.0\ndrawing==2.0\n")
    assert build(tmp_path / "as tested", ours, RUNNING).stdout.endswith(" beside jax 2.0\n")
    assert pins(tmp_path / "as tested")["flax"] == "1.0"
    done = build(tmp_path / "newer", ours, RUNNING, "--jax", "3.0")
    assert done.stdout.endswith(" beside jax 3.0\n"), done.stderr
    assert pins(tmp_path / "newer")["flax"] == "2.0"
    assert pins(tmp_path / "newer")["drawing"] == "2.0"


def test_the_wheels_are_not_taken_for_stale_ones(ours: Path) -> None:
    before = sorted(ours.iterdir())
    assert build(ours, ours, RUNNING).returncode == 2
    assert sorted(ours.iterdir()) == before


def make_wheelhouse(target: Path, tree: Path) -> None:
    """Run ``make wheelhouse`` in a copy of the repository, since it removes what was built."""
    copy_of_the_tree(tree)
    # What runs this test is installed already.
    (tree / ".venv").mkdir()
    (tree / ".venv" / ".installed").touch()
    named = {"BIN": Path(sys.executable).parent, "WHEELHOUSE": target, "WHEELHOUSE_PYTHON": RUNNING}
    command = ["make", "-s", "wheelhouse", *(f"{name}={value}" for name, value in named.items())]
    subprocess.run(command, cwd=tree, check=True, timeout=900)


@pytest.mark.full
def test_a_host_without_network_keeps_its_jax(tmp_path: Path) -> None:
    """Installs the real wheels beside a host's JAX, offline, by what CONTRIBUTING.md shows."""
    target, host = tmp_path / "wheelhouse", tmp_path / "host"
    make_wheelhouse(target, tmp_path / "tree")
    assert not HOST & set(pins(target))
    venv.create(host, with_pip=True)
    pip = [str(host / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
    pinned = ["-c", str(ROOT / "constraints.txt"), "jax", "jaxlib"]
    subprocess.run([*pip, "install", *pinned], check=True, timeout=900)

    def frozen() -> set[str]:
        done = subprocess.run([*pip, "freeze"], capture_output=True, text=True, check=True)
        return set(done.stdout.splitlines())

    before = frozen()
    (block,) = (b for b in blocks("CONTRIBUTING.md") if "pip install --no-index" in b.text)
    path = f"{host / 'bin'}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-euc", block.text],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "all plugins are well\n"), said.stdout
    assert before <= frozen()
    subprocess.run([*pip, "check"], check=True, timeout=120)
