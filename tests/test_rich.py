"""What notebooks show of a workspace, its datasets, runs and evaluations."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import jupytext
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import SAMPLES, write_traces
from tunix_core import Workspace
from tunix_core.codec import structure, unstructure
from tunix_core.errors import NotFoundError
from tunix_core.records import DatasetManifest, Evaluation, Run
from tunix_core.rendering import render_show_your_work
from tunix_core.rich.markup import MOST_CHARS
from tunix_generators.mix import DevReasoning

MARKUP = "</td></svg><script>alert(1)</script><img src=x onerror=alert(1)> & \"'"
VOID = {"br", "img", "path", "use", "rect", "circle", "line"}

Displayed = Workspace | DatasetManifest | Run | Evaluation


class Reader(HTMLParser):
    """The text of a document whose elements are all closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())


@pytest.fixture(scope="module", autouse=True)
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    """A shell as a notebook has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        # A module of another name: the shell would take the place of this process's own main.
        yield InteractiveShell.instance(user_module=ModuleType("notebook"))
    InteractiveShell.clear_instance()


def html_of(shown: Displayed) -> str:
    """What a notebook gets."""
    formatter: Any = InteractiveShell.instance().display_formatter
    data, _ = formatter.format(shown)
    return str(data["text/html"])


def read(shown: Displayed) -> Reader:
    """What a notebook gets, checked to be well formed, harmless and complete in itself."""
    html = html_of(shown)
    reader = Reader(html)
    assert "script" not in reader.tags
    names = {name for name, _ in reader.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert names.isdisjoint({"src", "href"})
    assert "@import" not in html
    return reader


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with ``mine-v1``, whose questions are full of markup, and two runs on it.

    The model of one says the more frequent answer to every question, which is judged; the other
    run failed.
    """
    folder = tmp_path_factory.mktemp("rich")
    info = folder / "site" / "counting_trainer-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-trainer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tunix_core]\ncounting = counting_trainer\n")
    shutil.copy(SAMPLES / "counting_trainer.py", info.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(info.parent)
        patch.setenv("PYTHONPATH", str(info.parent))
        with Workspace(folder / "workspace") as workspace:
            workspace.traces.import_file(_questions(folder), source="mine")
            workspace.datasets.build("mine", "v1")
            trained(workspace, fail_at=3)
            run = trained(workspace)
            workspace.predictions.create(run.id, "mine-v1")
            workspace.evaluations.run(run.id, "mine-v1", ["answer_correctness"])
        yield workspace.paths.root
    del sys.modules["counting_trainer"]


def _questions(folder: Path) -> Path:
    rows = map(json.loads, write_traces(folder / "plain.jsonl", 30).read_text().splitlines())
    path = folder / "mine.jsonl"
    with path.open("w") as out:
        for number, row in enumerate(rows):
            row["prompt"] = f"{MARKUP} {number}?"
            row["final_answer"] = "seldom" if number % 3 == 0 else "often"
            out.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def workspace(original: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the original for this test."""
    shutil.copytree(original, tmp_path / "workspace")
    with Workspace(tmp_path / "workspace") as workspace:
        yield workspace


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """The run that completed."""
    return workspace.runs.list(status="completed")[0]


@pytest.fixture
def evaluation(workspace: Workspace, run: Run) -> Evaluation:
    return workspace.evaluations.of_run(run.id)[0]


def trained(workspace: Workspace, dataset: str = "mine-v1", **settings: Any) -> Run:
    run = workspace.runs.create(dataset, "counting", {"steps": 8, **settings})
    return workspace.worker().execute(run.id)


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_workspace_shows_what_there_is(workspace: Workspace, run: Run) -> None:
    workspace.models.promote("sevens", run.id)

    shown = read(workspace).text

    assert str(workspace.paths.root) in shown
    assert "datasets 1" in shown
    assert "traces 30" in shown
    assert "runs 2: 1 completed, 1 failed" in shown
    assert "evaluations 1" in shown
    for held in ("mine-v1", "counting-8", "0.667 (0.488 to 0.808)", "sevens v1"):
        assert held in shown


def test_a_manifest_of_many_ids_is_read_at_its_ends(workspace: Workspace) -> None:
    path = workspace.paths.dataset("mine-v1") / "manifest.json"
    manifest = json.loads(path.read_text())
    ids = [*manifest["trace_ids"], *("?" * 100 for _ in range(10_000))]
    text = json.dumps({**manifest, "trace_ids": ids, "trace_count": len(ids)}, indent=2)
    # Such an escape is not JSON: what is not read cannot be found wrong.
    path.write_text(text.replace("?", "\\x"))

    assert "mine-v1 10,030 latest" in read(workspace).text


def test_a_new_workspace_is_shown_without_making_a_database(tmp_path: Path) -> None:
    with Workspace(tmp_path / "new") as workspace:
        assert "datasets 0" in read(workspace).text
    assert not workspace.paths.database.exists()


@pytest.mark.parametrize("line", ["null", "[]", "3", '{"trace_id": 1}', "{", "\x00"])
@pytest.mark.parametrize("damaged", ["answers", "judgements"])
def test_a_line_of_any_shape_leaves_the_rest_of_an_evaluation(
    workspace: Workspace, evaluation: Evaluation, line: str, damaged: str
) -> None:
    folder = workspace.predictions.folder(evaluation.run_id, "mine-v1")
    judgements = workspace.paths.root / evaluation.items_path
    path = {"answers": folder / "predictions.jsonl", "judgements": judgements}[damaged]
    path.write_text(f"{line}\n{path.read_text()}")

    shown = read(evaluation).text

    assert shown.count("cannot be shown: ") == 1
    assert "score 0.667 (0.488 to 0.808)" in shown
    assert "By family" in shown


@pytest.mark.parametrize("line", ["null", "[]", "3", '"loss"', '{"step": null, "loss": "x"}'])
def test_a_line_of_any_shape_leaves_the_rest_of_a_run(
    workspace: Workspace, run: Run, line: str
) -> None:
    (workspace.paths.run(run.id) / "metrics.jsonl").write_text(f"{line}\n")
    assert "status completed" in read(run).text


PARTS = {
    "DROP TABLE trace_labels; DROP TABLE traces": "traces 30",
    "UPDATE runs SET plugins = 'null', config = '[]', result = '3'": "Newest runs",
    "UPDATE evaluations SET scorecard = 'null'": "Leaderboard",
    "PRAGMA foreign_keys = OFF; DROP TABLE model_versions": "Models",
}


@pytest.mark.parametrize("damage", PARTS)
def test_a_damaged_table_leaves_the_rest_of_a_workspace(
    workspace: Workspace, run: Run, damage: str
) -> None:
    workspace.models.promote("sevens", run.id)
    workspace.close()
    with closing(sqlite3.connect(workspace.paths.database)) as database:
        database.executescript(damage)

    shown = read(workspace).text

    assert "cannot be shown: " in shown
    assert PARTS[damage] not in shown
    assert "datasets 1" in shown
    assert sum(part in shown for part in PARTS.values()) >= 2


def test_a_file_that_is_no_database_leaves_the_rest_of_a_workspace(workspace: Workspace) -> None:
    workspace.close()
    workspace.paths.database.write_bytes(b"no database at all" * 100)
    shown = read(workspace).text
    assert "cannot be shown: cannot open the database" in shown
    assert "datasets 1" in shown


def test_a_dataset_shows_its_facts_and_its_first_items(workspace: Workspace) -> None:
    manifest = workspace.datasets.manifest("mine-v1")

    shown = read(manifest).text

    for held in ("mine-v1", "items 30", manifest.sha256, "strategy latest", "tunix-core 0."):
        assert held in shown
    assert "The first 3 of 30 items" in shown
    # The newest come first.
    assert f"{MARKUP} 29?" in shown
    assert "29 + 1 = 30" in shown
    assert "answer often" in shown


def test_the_hash_of_a_dataset_is_shown_though_its_data_is_gone(workspace: Workspace) -> None:
    manifest = workspace.datasets.manifest("mine-v1")
    (workspace.paths.dataset("mine-v1") / "dataset.jsonl").unlink()

    shown = read(manifest).text

    assert manifest.sha256 in shown
    assert "cannot be shown: FileNotFoundError" in shown


def test_a_dataset_of_many_traces_prints_no_id_of_them(workspace: Workspace) -> None:
    manifest = workspace.datasets.manifest("mine-v1")
    assert manifest.trace_ids[0] not in repr(manifest)
    assert "trace_count=30" in repr(manifest)


def test_a_run_shows_its_outcome_and_its_curve(run: Run) -> None:
    reader = read(run)

    for held in ("status completed", "model counting-8", "steps 8", "stop reason completed"):
        assert held in reader.text
    assert "loss 0.125" in reader.text
    assert "svg" in reader.tags
    assert html_of(run) == html_of(run)


def test_a_run_that_failed_or_has_not_ended_shows_what_it_has(workspace: Workspace) -> None:
    reader = read(workspace.runs.list(status="failed")[0])
    assert "status failed error the loss is not a number (step 3)" in reader.text
    assert "svg" in reader.tags

    pending = workspace.runs.create("mine-v1", "counting")
    assert "status pending" in read(pending).text
    assert "no loss is recorded" in read(pending).text

    folder = workspace.paths.run(pending.id)
    (folder / "progress.json").write_text('{"total_steps": 9, "resumed_from": 0}')
    (folder / "metrics.jsonl").write_text('{"step": 4, "loss": 0.5}\n{"step": 5, "lo')
    running = workspace.runs.claim("tests", pending.id)
    assert running is not None
    assert "step 4 of 9" in read(running).text
    assert "svg" in read(running).tags


def test_a_held_out_loss_is_drawn_where_it_was_measured(workspace: Workspace, run: Run) -> None:
    metrics = workspace.paths.run(run.id) / "metrics.jsonl"
    assert "held-out loss" not in read(run).text
    with metrics.open("a") as out:
        out.write('{"step": 9, "loss": 0.1, "eval_loss": 0.2}\n{"step": 10, "loss": NaN}\n')
    assert "held-out loss" in read(run).text


def test_a_curve_of_many_steps_is_thinned(workspace: Workspace, run: Run) -> None:
    metrics = workspace.paths.run(run.id) / "metrics.jsonl"
    metrics.write_text("".join(f'{{"step": {n}, "loss": {1 / n}}}\n' for n in range(1, 100_001)))
    assert len(html_of(run)) < 60_000


def test_without_matplotlib_a_table_stands_for_the_curve(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    reader = read(run)

    assert "svg" not in reader.tags
    assert "pip install 'tunix-core[plot]'" in reader.text
    assert "loss 1.0000 at step 1 0.1250 at step 8 0.1250 at step 8" in reader.text


def test_an_evaluation_shows_its_score_its_groups_and_some_work(evaluation: Evaluation) -> None:
    shown = read(evaluation).text

    assert "score 0.667 (0.488 to 0.808)" in shown
    assert "By family" in shown
    assert "successor" in shown
    assert shown.count("answer given often answer due often score 1.000") == 2
    assert shown.count("answer given often answer due seldom score 0.000") == 2
    assert shown.count("it was frequent — holds nothing that can be computed again") == 4
    assert "answered anew" not in shown


def test_each_line_of_reasoning_is_judged_as_its_generator_judges_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    generator = DevReasoning()
    items = [generator.item("test", index, 4) for index in (1, 2)]
    file = tmp_path / "golden.jsonl"
    file.write_text("".join(json.dumps(unstructure(item.trace)) + "\n" for item in items))
    report = workspace.traces.import_file(file)
    manifest = workspace.datasets.build("golden", "v1", import_id=report.import_id)
    run = trained(workspace, "golden-v1")
    workspace.predictions.create(run.id, "golden-v1")
    held = {item.id: item.trace for item in workspace.datasets.items("golden-v1")}
    right, spoilt = (render_show_your_work(held[i]).completion for i in manifest.trace_ids)
    spoilt = spoilt.replace("<reasoning>", "<reasoning>2 + 2 = 5\n")
    rewrite_predictions(workspace, run, dict(zip(manifest.trace_ids, (right, spoilt), strict=True)))

    shown = read(workspace.evaluations.run(run.id, "golden-v1", ["answer_correctness"])[0]).text

    assert "— executed again by its generator" in shown
    assert "✗ 2 + 2 = 5 —" in shown
    assert "✓ 2 + 2 = 5" not in shown


def rewrite_predictions(workspace: Workspace, run: Run, said: dict[str, str]) -> None:
    """Let the run have said something else, with a digest that holds."""
    folder = workspace.predictions.folder(run.id, "golden-v1")
    path, meta = folder / "predictions.jsonl", folder / "predictions_meta.json"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [{**line, "prediction": said[line["trace_id"]]} for line in lines]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "sha256": digest}))


def test_an_evaluation_says_when_other_answers_lie_there_now(
    workspace: Workspace, evaluation: Evaluation
) -> None:
    folder = workspace.predictions.folder(evaluation.run_id, "mine-v1")
    meta = json.loads((folder / "predictions_meta.json").read_text())
    (folder / "predictions_meta.json").write_text(json.dumps({**meta, "sha256": "0" * 64}))
    assert "answered anew since it was judged" in read(evaluation).text


def test_a_run_without_a_model_has_an_evaluation_without_answers(workspace: Workspace) -> None:
    failed = workspace.runs.list(status="failed")[0]
    shown = read(workspace.evaluations.judge(failed.id)).text
    assert "score 0.000" in shown
    assert "the run has no answers" in shown
    assert shown.count("answer given – answer due") == 2


def test_markup_in_what_is_stored_is_shown_and_does_nothing(
    workspace: Workspace, run: Run, evaluation: Evaluation
) -> None:
    manifest = attrs.evolve(workspace.datasets.manifest("mine-v1"), filters={MARKUP: MARKUP})
    shown: tuple[Displayed, ...] = (
        evaluation,
        attrs.evolve(evaluation, dataset_key=MARKUP),
        attrs.evolve(run, error=MARKUP, model_id=MARKUP),
        manifest,
    )
    for held in shown:
        assert "<script>alert(1)</script>" in read(held).text


def test_what_is_long_is_cut(run: Run) -> None:
    shown = read(attrs.evolve(run, error="x" * 50_000)).text
    assert "x" * (MOST_CHARS + 1) not in shown
    assert f"({50_000 - MOST_CHARS:,} more characters)" in shown


def test_showing_changes_no_file(workspace: Workspace, run: Run, evaluation: Evaluation) -> None:
    shown = (workspace, workspace.datasets.list()[0], run, evaluation)
    # What the database holds back in its log is written out once it is closed.
    workspace.close()
    before = files(workspace.paths.root)
    for held in shown:
        read(held)
    assert files(workspace.paths.root) == before


def test_a_record_is_shown_from_the_workspace_that_has_it(
    workspace: Workspace, run: Run, evaluation: Evaluation, tmp_path: Path
) -> None:
    manifest = workspace.datasets.manifest("mine-v1")
    with Workspace(tmp_path / "other") as other:
        other.traces.import_file(write_traces(tmp_path / "others.jsonl", 5))
        others = other.datasets.build("mine", "v1")

        assert f"{MARKUP} 29?" in read(manifest).text
        assert "The first 3 of 5 items" in read(others).text
        assert MARKUP not in read(others).text
        assert "svg" in read(structure(Run, unstructure(run))).tags
        assert "answer given often" in read(evaluation).text


def test_a_copy_that_was_opened_last_shows_what_both_have(
    workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    workspace.close()
    with Workspace.copy(workspace.paths.root, tmp_path / "copy") as copy:
        (copy.paths.run(run.id) / "metrics.jsonl").unlink()
        assert "no loss is recorded" in read(run).text
        with Workspace(workspace.paths.root):
            assert "svg" in read(run).tags


def test_a_damaged_workspace_hides_no_other(workspace: Workspace, tmp_path: Path) -> None:
    manifest = workspace.datasets.manifest("mine-v1")
    with Workspace(tmp_path / "damaged") as damaged:
        folder = damaged.paths.dataset("mine-v1")
        folder.mkdir()
        (folder / "manifest.json").write_text("[]")
        assert f"{MARKUP} 29?" in read(manifest).text


def test_a_record_that_no_workspace_has_shows_what_it_says(
    workspace: Workspace, run: Run, evaluation: Evaluation
) -> None:
    manifest = attrs.evolve(workspace.datasets.manifest("mine-v1"), build_id="another")
    stray = read(attrs.evolve(run, id="nowhere"))
    judged = read(attrs.evolve(evaluation, items_path="runs/nowhere/items.jsonl")).text

    assert "svg" not in stray.tags
    assert "status completed" in stray.text
    assert manifest.sha256 in read(manifest).text
    assert "The first" not in read(manifest).text
    assert "score 0.667 (0.488 to 0.808)" in judged
    assert "cannot be shown" not in judged


WITHOUT_A_SHELL = """
import sys
from tunix_core import Workspace
{first}
with Workspace("workspace") as workspace:
    run = workspace.runs.list(status="completed")[0]
print("IPython" in sys.modules, "tunix_core.rich" in sys.modules)
"""


@pytest.mark.parametrize(
    ("first", "loaded"), [("", "False False"), ("import IPython", "True True")]
)
def test_outside_a_shell_a_workspace_opens_as_ever(
    workspace: Workspace, tmp_path: Path, first: str, loaded: str
) -> None:
    assert workspace.paths.root == tmp_path / "workspace"
    script = WITHOUT_A_SHELL.format(first=first)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded


def test_an_error_is_one_line_in_a_notebook() -> None:
    assert NotFoundError("no run 'x'", "see:\n runs list")._render_traceback_() == [
        "error: no run 'x' (see: runs list)"
    ]


CELLS = (
    "from tunix_core import Workspace; ws = Workspace('workspace'); ws",
    "ws.datasets.manifest('mine-v1')",
    "run = ws.runs.list(status='completed')[0]; run",
    "ws.evaluations.of_run(run.id)[0]",
    "ws.runs.get('nowhere')",
)


@pytest.fixture
def kernel_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a kernel of this interpreter."""
    spec = tmp_path / "jupyter" / "kernels" / "here"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": argv, "display_name": "here", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return spec.name


def test_a_kernel_shows_html_and_errors_of_one_line(
    workspace: Workspace, kernel_here: str, tmp_path: Path
) -> None:
    assert workspace.paths.root == tmp_path / "workspace"
    notebook = jupytext.reads("\n\n".join(f"# %%\n{cell}" for cell in CELLS), fmt="py:percent")
    place = {"metadata": {"path": str(tmp_path)}}

    with pytest.raises(CellExecutionError) as failure:
        NotebookClient(notebook, kernel_name=kernel_here, timeout=120, resources=place).execute()

    *shown, failed = notebook.cells
    for cell, title in zip(shown, ("Workspace", "Dataset", "Run", "Evaluation"), strict=True):
        (output,) = cell.outputs
        assert f"<h3>{title}" in output.data["text/html"]
    (error,) = failed.outputs
    assert (error.ename, failure.value.ename) == ("NotFoundError", "NotFoundError")
    assert error.evalue.startswith("run 'nowhere' not found")
    assert error.traceback == [f"error: {error.evalue}"]
