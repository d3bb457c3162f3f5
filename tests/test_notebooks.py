"""The notebooks: paired with their scripts, and run where they are meant to run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from tests.test_install import REPOSITORY, copy_of_the_tree, environment
from tunix_core import Workspace
from tunix_core.codec import unstructure
from tunix_jax.testing import write_small_pretrained

NOTEBOOKS = REPOSITORY / "notebooks"
NAMES = ("kaggle_submission", "quickstart")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
OURS = (".", "generators", "plugins/compare", "plugins/jax", "plugins/tensorboard")
HOST = ("jax", "jaxlib")
# Everything that is started gets a network of its own, which holds this machine alone.
ISOLATED = [
    "unshare",
    "--map-root-user",
    "--net",
    "sh",
    "-c",
    'ip link set lo up && exec "$@"',
    "-",
]


def paired(name: str) -> tuple[Any, Any]:
    """The notebook that the script stands for, and the notebook."""
    return jupytext.read(NOTEBOOKS / f"{name}.py"), read(NOTEBOOKS / f"{name}.ipynb")


def read(path: Path) -> Any:
    """A notebook."""
    return nbformat.reads(path.read_text(encoding="utf-8"), 4)  # type: ignore[no-untyped-call]


def cells(notebook: Any) -> list[tuple[str, str, list[str]]]:
    return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]


@pytest.mark.parametrize("name", NAMES)
def test_the_pair_says_the_same(name: str) -> None:
    script, notebook = paired(name)
    assert cells(notebook) == cells(script), "they differ: run `make notebooks`"
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert code[0].metadata.get("tags") == ["parameters"]


def test_a_pair_that_differs_is_noticed() -> None:
    script, notebook = paired("quickstart")
    notebook.cells[-1].source += "\n"
    assert cells(notebook) != cells(script)


def recipes() -> Mapping[str, Any]:
    """What the submission's cell of parameters says."""
    (cell,) = (c for c in paired("kaggle_submission")[0].cells if "tags" in c.metadata)
    names: dict[str, Any] = {}
    exec(cell.source, names)  # noqa: S102 - our own notebook
    found: Mapping[str, Any] = names["RECIPES"]
    return found


@pytest.fixture(scope="module")
def kaggle_input(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as Kaggle's: small random models in place of Gemma 2 and 3."""
    root = tmp_path_factory.mktemp("kaggle") / "input"
    with Workspace(root.parent / "texts") as workspace:
        traces = [*workspace.traces.generate("dev-reasoning-v1", count=400)]
    texts = [text for t in traces for text in (t.prompt, *(step.content for step in t.steps))]
    for name, kind in (("gemma-3-1b-it", "gemma3"), ("gemma-2-2b-it", "gemma2")):
        family = name.rpartition("-")[0].rpartition("-")[0]
        write_small_pretrained(root / family / "transformers" / name / "1", kind, texts)
    return root


def build_wheelhouse(folder: Path, scratch: Path) -> None:
    """Do what `make wheelhouse` does, in a copy of the repository."""
    tree = copy_of_the_tree(scratch / "tree")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-qq"]
    wheels = ["--no-deps", "--no-build-isolation", "-w", str(scratch / "dist")]
    subprocess.run([*pip, *wheels, *(f"./{path}" for path in OURS)], cwd=tree, check=True)
    command = [sys.executable, str(tree / "notebooks" / "wheelhouse.py"), str(folder)]
    options = ["--wheels", str(scratch / "dist"), "--python", RUNNING]
    constraints = ["--constraints", str(REPOSITORY / "constraints.txt")]
    subprocess.run([*command, *options, *constraints], check=True)


def make_host(folder: Path) -> Path:
    """An environment as a notebook's image brings it: JAX and a kernel; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    wanted = ["--no-compile", "-c", str(REPOSITORY / "constraints.txt"), *HOST, "ipykernel"]
    subprocess.run([*pip, *wanted], env=environment(), check=True)
    kernel = folder / "share" / "jupyter" / "kernels" / "host"
    kernel.mkdir(parents=True)
    launch = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": launch, "display_name": "Host", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return python


def files_of_the_host(python: Path) -> dict[str, str]:
    """Which version of each of the host's distributions is there, and since when."""
    site = python.parent.parent / "lib" / f"python{RUNNING}" / "site-packages"
    records = (path for name in HOST for path in site.glob(f"{name}-*.dist-info/RECORD"))
    return {path.parent.name: str(path.stat().st_mtime_ns) for path in records}


def execute(
    name: str,
    folder: Path,
    parameters: Mapping[str, Any],
    kernel: str = "python3",
    alone: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Any:
    """Run a notebook with papermill in ``folder``.

    Args:
        name: Which one.
        folder: Where its kernel starts; an empty directory will do.
        parameters: What its cell of parameters is followed by.
        kernel: Which Python its cells run in.
        alone: The command that shuts it off from the network, if any.
        environ: What is added to its environment.
    """
    output = folder / f"{name}.ipynb"
    command = [*alone, sys.executable, "-m", "papermill", str(NOTEBOOKS / f"{name}.ipynb")]
    command += [str(output), "--kernel", kernel, "--no-progress-bar", "--cwd", str(folder)]
    command += ["--parameters_yaml", json.dumps(parameters)]
    env = {**environment(), **(environ or {})}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return read(output)


def shown(notebook: Any, media_type: str) -> list[str]:
    """What the cells show of a kind."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [output.data[media_type] for output in outputs if media_type in output.get("data", {})]


def can_isolate() -> bool:
    return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0


def check_outputs(submission: Any, quickstart: Any) -> None:
    """What both show when all their cells have run."""
    assert "<svg" in "".join(shown(submission, "text/html")), "no loss curve"
    assert len(shown(submission, "image/png")) == 1
    assert len(shown(quickstart, "image/png")) == 1
    assert "quickstart-workspace" in "".join(shown(quickstart, "text/html"))


# A few steps and questions; what is reached with all of them is another test's.
FEW = {"STEPS": 4, "ITEMS": {"train": 200, "test": 8}}


@pytest.mark.full
def test_both_run_from_their_first_cell_to_their_last(kaggle_input: Path, tmp_path: Path) -> None:
    working = tmp_path / "working"
    chosen = {"MODE": "smoke", "MODEL": "gemma-3-1b", "STEPS": 4}
    places = {"INPUT": str(kaggle_input), "WORKING": str(working)}
    submission = execute("kaggle_submission", tmp_path, {**chosen, **places})
    check_submission(working)
    check_outputs(submission, execute("quickstart", tmp_path, FEW))


@pytest.mark.full
@pytest.mark.skipif(not can_isolate(), reason="this machine makes no networks for its users")
def test_both_run_from_the_wheelhouse_alone_without_a_network(
    kaggle_input: Path, tmp_path: Path
) -> None:
    inputs, working = tmp_path / "input", tmp_path / "working"
    shutil.copytree(kaggle_input, inputs)
    build_wheelhouse(inputs / "tunix-rt-wheels", tmp_path)
    python = make_host(tmp_path / "host")
    before = files_of_the_host(python)
    assert len(before) == len(HOST)
    reach = "import socket; socket.create_connection(('192.0.2.1', 443), 5)"
    cut = subprocess.run([*ISOLATED, str(python), "-c", reach], capture_output=True, check=False)
    assert cut.returncode != 0

    share = python.parent.parent / "share" / "jupyter"
    own = {"JUPYTER_PATH": str(share), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    fast = {"PIP_NO_COMPILE": "1", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    host: dict[str, Any] = {"kernel": "host", "alone": ISOLATED, "environ": {**own, **fast}}
    places = {"INPUT": str(inputs), "WORKING": str(working)}
    chosen = {"MODE": "smoke", "MODEL": "gemma-3-1b", **places}
    submission = execute("kaggle_submission", tmp_path, chosen, **host)
    check_submission(working)
    check_outputs(submission, execute("quickstart", tmp_path, {"STEPS": 10}, **host))
    assert files_of_the_host(python) == before, "the host's JAX was replaced"


def check_submission(working: Path) -> dict[str, Any]:
    """What a submission has to hold; returns its manifest."""
    folder = working / "submission"
    manifest: dict[str, Any] = json.loads((folder / "submission_manifest.json").read_text())
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"model/model.safetensors", "model/tokenizer.json", "model/config.json"} <= names
    assert {"adapter/adapter_model.safetensors", "outcome.png"} <= names
    assert (working / "workspace" / manifest["checkpoint"]).is_dir()
    with Workspace(working / "workspace") as workspace:
        for said in manifest["datasets"].values():
            assert workspace.datasets.verify(said["key"]).sha256 == said["sha256"]
        assert manifest["config"] == unstructure(workspace.runs.get(manifest["run"]["id"]).config)
    assert manifest["contamination"]["exact"] == 0
    assert manifest["evaluations"].keys() == {"before", "after"}
    assert manifest["run"]["hardware"]["devices"] >= 1
    assert {"jax", "tunix-jax", "python"} <= manifest["versions"].keys()
    assert str(working) not in json.dumps(manifest)
    return manifest


def script(kaggle_input: Path, working: Path, **parameters: str) -> list[str]:
    """The submission as a script, as ``env NAME=VALUE ... python script``."""
    named = {"MODE": "smoke", "INPUT": str(kaggle_input), "WORKING": str(working), **parameters}
    pairs = [f"TUNIX_{name}={value}" for name, value in named.items()]
    return ["env", *pairs, sys.executable, "-W", "error", str(NOTEBOOKS / "kaggle_submission.py")]


def last_step(working: Path) -> int:
    """The newest step that a run of the workspace has recorded; 0 before any."""
    lines = [
        line
        for path in (working / "workspace" / "runs").glob("*/metrics.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    return int(json.loads(lines[-1])["step"]) if lines else 0


@pytest.mark.full
def test_the_quickstart_learns_what_it_says(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(NOTEBOOKS / "quickstart.py")]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    with Workspace(tmp_path / "quickstart-workspace") as workspace:
        best = workspace.evaluations.leaderboard("answer_correctness")[0]
        assert best.score is not None
        assert best.score > 0.7
        assert workspace.models.version("quickstart").source_run_id == best.run_id
    assert "0 asked as they stand" in said


@pytest.mark.full
def test_killed_in_the_middle_it_goes_on_in_a_fresh_session(
    kaggle_input: Path, tmp_path: Path
) -> None:
    inputs, working = tmp_path / "input", tmp_path / "working"
    shutil.copytree(kaggle_input, inputs)
    command = script(inputs, working, MODEL="gemma-2-2b", STEPS="200")
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while last_step(working) < 12:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (working / "submission").exists()

    # What a session leaves is attached to the next one, which writes elsewhere.
    working.rename(inputs / "earlier-output")
    fresh = tmp_path / "fresh"
    subprocess.run(script(inputs, fresh, MODEL="gemma-2-2b", STEPS="200"), check=True, timeout=600)
    manifest = check_submission(fresh)
    progress = fresh / "workspace" / "runs" / manifest["run"]["id"] / "progress.json"
    assert json.loads(progress.read_text())["resumed_from"] >= 5
    whole = tmp_path / "whole"
    subprocess.run(
        script(kaggle_input, whole, MODEL="gemma-2-2b", STEPS="200"), check=True, timeout=600
    )
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors"):
        path = Path("submission") / name
        assert (fresh / path).read_bytes() == (whole / path).read_bytes(), "not as if unstopped"


@pytest.mark.full
def test_a_time_budget_of_a_minute_ends_with_a_usable_model(
    kaggle_input: Path, tmp_path: Path
) -> None:
    working = tmp_path / "working"
    command = script(kaggle_input, working, MODEL="gemma-3-1b", TIME_BUDGET="60s", STEPS="1000000")
    subprocess.run(command, check=True, timeout=600)
    ended = check_submission(working)["run"]
    assert ended["stop_reason"] == "time_budget"
    assert 0 < ended["steps"] < 1_000_000

    begun = (working / "session-begun").stat().st_mtime
    subprocess.run(command, check=True, timeout=600)
    assert check_submission(working)["run"] == ended, "what has ended is left as it is"
    assert (working / "session-begun").stat().st_mtime == begun, "the session goes on"
    subprocess.run([*command[:1], "TUNIX_CONTINUE=1", *command[1:]], check=True, timeout=600)
    assert check_submission(working)["run"]["steps"] > ended["steps"]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"MODEL": "gemma-3-4b"}, ["no model 'google/gemma-3-4b-it' in ", "TUNIX_MODELS"]),
        ({"INPUT": "nowhere"}, ["no model 'google/gemma-2-2b-it' in ", "TUNIX_MODELS"]),
        ({"MODE": "full"}, ["where there is no tpu: choose the accelerator TPU VM v5e-8"]),
    ],
)
def test_a_cell_that_fails_says_what_to_do(
    parameters: dict[str, str], says: list[str], kaggle_input: Path, tmp_path: Path
) -> None:
    command = script(kaggle_input, tmp_path / "working", **{"MODEL": "gemma-2-2b", **parameters})
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert all(words in done.stderr.splitlines()[-1] for words in says), done.stderr
    if parameters.get("MODE") == "full":
        assert "error: there is no tpu here" in done.stdout


@pytest.mark.full
@pytest.mark.skipif(find_spec("libtpu") is None, reason="libtpu is not installed")
@pytest.mark.parametrize("lora_rank", [64, 0])
def test_what_is_trained_in_full_mode_fits_a_v5e_8(lora_rank: int, tmp_path: Path) -> None:
    settings = {**recipes()["full"]["trainer"], "lora_rank": lora_rank}
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(tmp_path), "fit"]
    # The larger of the two models that the notebook trains.
    command += ["--model", "gemma-2-2b", "--topology", "v5e:2x4", "--json"]
    command += [f"--set={key}={value}" for key, value in settings.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["fits"]
    assert (found["devices"], found["batch"], found["seq"]) == (8, 32, 2048)
