"""From predictions to evaluations, the leaderboard, regression checks and promoted models."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.errors import (
    ConflictError,
    IntegrityError,
    NotComparableError,
    NotFoundError,
    TunixError,
    UsageError,
)
from tunix_core.protocols import Tolerance
from tunix_core.records import Run

SUCCESSORS = "numbers-v1"


def trained(workspace: Workspace, dataset: str = SUCCESSORS, **settings: Any) -> Run:
    run = workspace.runs.create(dataset, "counting", {"steps": 3, **settings})
    run = workspace.worker().execute(run.id)
    assert run.status == "completed"
    return run


@pytest.fixture
def workspace(counting_workspace: Workspace, tmp_path: Path) -> Workspace:
    """As the counting workspace, with a dataset ``same-v1`` whose answers are all alike."""
    file = write_traces(tmp_path / "same.jsonl", 30, lambda _: "always", says="then")
    report = counting_workspace.traces.import_file(file, source="same")
    counting_workspace.datasets.build("same", "v1", import_id=report.import_id)
    return counting_workspace


def evaluated(workspace: Workspace, train_on: str) -> Run:
    """A run whose model always says one thing, judged on ``same-v1``."""
    run = trained(workspace, train_on)
    workspace.predictions.create(run.id, "same-v1")
    workspace.evaluations.run(run.id, "same-v1")
    return run


def test_evaluations_judge_every_item_and_say_how_sure_they_are(workspace: Workspace) -> None:
    run = evaluated(workspace, "same-v1")
    right, form, steps = workspace.evaluations.of_run(run.id)[::-1]
    assert (right.score, form.score, steps.score) == (1.0, 1.0, None)
    assert right.scorecard.n_items == 30
    assert right.scorecard.overall.low is not None
    assert 0.88 < right.scorecard.overall.low < 0.89, "Wilson's interval of 30 out of 30"
    assert right.scorecard.groups["family"]["successor"].n == 30
    assert right.scorecard.metrics["constant_answer_baseline"] == 1.0
    lines = (workspace.paths.root / right.items_path).read_text().splitlines()
    assert len(lines) == len(workspace.evaluations.scores(right)) == 30
    assert workspace.evaluations.get(right.id) == right


def test_an_interrupted_judgement_is_continued(workspace: Workspace) -> None:
    run = evaluated(workspace, "same-v1")
    first = workspace.evaluations.newest(run.id, "answer_correctness")
    items = workspace.paths.root / first.items_path
    whole = items.read_bytes()
    items.write_bytes(whole[: len(whole) // 2])
    second = workspace.evaluations.run(run.id, "same-v1", ["answer_correctness"])[0]
    assert items.read_bytes() == whole
    assert second.scorecard == first.scorecard
    assert second.id != first.id


def test_the_leaderboard_ranks_the_newest_evaluation_of_each_run(workspace: Workspace) -> None:
    worse, better = evaluated(workspace, SUCCESSORS), evaluated(workspace, "same-v1")
    workspace.evaluations.run(better.id, "same-v1")
    ranked = workspace.evaluations.leaderboard("answer_correctness", "same-v1")
    assert [evaluation.run_id for evaluation in ranked] == [better.id, worse.id]
    assert [evaluation.score for evaluation in ranked] == [1.0, 0.0]
    assert workspace.evaluations.leaderboard(dataset_key="other") == []


def test_what_cannot_be_evaluated_says_why(workspace: Workspace) -> None:
    run = trained(workspace)
    with pytest.raises(NotFoundError, match="tunix-rt eval run"):
        workspace.evaluations.run(run.id, "same-v1")
    with pytest.raises(UsageError, match="answer_correctness"):
        workspace.evaluations.run(run.id, "same-v1", ["answer_corectness"])
    with pytest.raises(NotFoundError, match="no evaluation"):
        workspace.evaluations.newest(run.id, "answer_correctness")


def test_a_run_that_became_worse_is_found(workspace: Workspace) -> None:
    good, bad = evaluated(workspace, "same-v1"), evaluated(workspace, SUCCESSORS)
    baseline = workspace.regressions.set_baseline("released", good.id)
    assert baseline.comparator == "tunix-compare/higher-is-better", "the direction is stored"
    _, verdict = workspace.regressions.check(bad.id, "released")
    assert verdict.regressed
    assert (verdict.baseline, verdict.candidate, verdict.n_paired) == (1.0, 0.0, 30)
    assert len(verdict.regressions) == 30
    assert not workspace.regressions.check(good.id, "released")[1].regressed
    assert not workspace.regressions.check(bad.id, "released", Tolerance(1.0))[1].regressed


def test_a_baseline_set_again_keeps_its_id(workspace: Workspace) -> None:
    good, bad = evaluated(workspace, "same-v1"), evaluated(workspace, SUCCESSORS)
    first = workspace.regressions.set_baseline("b", good.id)
    again = workspace.regressions.set_baseline("b", bad.id, comparator="lower-is-better")
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert again.run_id == bad.id
    assert workspace.regressions.list() == [again]
    with pytest.raises(NotFoundError, match="did you mean 'b'"):
        workspace.regressions.check(good.id, "bb")
    with pytest.raises(UsageError, match="lower-is-better"):
        workspace.regressions.set_baseline("c", good.id, comparator="smaller-is-better")


def test_without_scored_pairs_nothing_is_compared(workspace: Workspace) -> None:
    run = evaluated(workspace, "same-v1")
    workspace.regressions.set_baseline("steps", run.id, "step_validity")
    with pytest.raises(NotComparableError):
        workspace.regressions.check(run.id, "steps")


def test_promotion_records_the_newest_scores_and_where_they_came_from(
    workspace: Workspace,
) -> None:
    run = evaluated(workspace, "same-v1")
    newest = workspace.evaluations.run(run.id, "same-v1", ["answer_correctness"])[0]
    version = workspace.models.promote("mine", run.id, description="the first")
    assert (version.artifact, version.version) == ("mine", "v1")
    assert version.metrics == {
        "answer_correctness": 1.0,
        "show_your_work": 1.0,
        "step_validity": None,
    }
    ids = [e["id"] for e in version.provenance["evaluations"]]
    assert len(ids) == 3
    assert newest.id in ids
    assert version.provenance["dataset_sha256"] == workspace.datasets.manifest("same-v1").sha256
    assert workspace.models.version("mine") == version
    assert workspace.models.version(version.id) == version


def test_versions_are_labelled_found_and_never_changed(workspace: Workspace) -> None:
    first, second = trained(workspace), trained(workspace, "same-v1")
    models = workspace.models
    one = models.promote("mine", first.id)
    assert models.promote("mine", first.id) == one, "the same content is the same version"
    two = models.promote("mine", second.id)
    named = models.promote("mine", second.id, label="candidate")
    assert [v.version for v in models.versions("mine")] == ["candidate", "v2", "v1"]
    assert models.promote("mine", second.id, label="candidate") == named
    with pytest.raises(ConflictError, match="never change"):
        models.promote("mine", first.id, label="candidate")
    models.alias("mine@v1", "production")
    assert models.version("mine@production") == one
    models.alias("mine@v2", "production")
    assert models.version("mine@production") == two
    assert models.aliases("mine") == {"production": "v2"}
    with pytest.raises(NotFoundError, match="known: candidate, v2, v1"):
        models.version("mine@v3")
    with pytest.raises(NotFoundError, match="did you mean 'mine'"):
        models.version("mime")


def test_what_cannot_be_promoted_leaves_nothing(workspace: Workspace) -> None:
    pending = workspace.runs.create(SUCCESSORS, "counting")
    with pytest.raises(UsageError, match="its status is pending"):
        workspace.models.promote("mine", pending.id)
    run = trained(workspace)
    for label in ("", "-x", "a/b", "x" * 65):
        with pytest.raises(UsageError, match="cannot be a version"):
            workspace.models.promote("mine", run.id, label=label)
    with pytest.raises(UsageError, match="cannot be the name"):
        workspace.models.promote("no/name", run.id)
    with pytest.raises(UsageError, match="no registry"):
        workspace.models.promote("mine", run.id, registry="moon")
    assert workspace.models.list() == []


def test_a_download_is_the_model_and_damage_is_noticed(
    workspace: Workspace, tmp_path: Path
) -> None:
    run = trained(workspace)
    version = workspace.models.promote("mine", run.id)
    workspace.models.download("mine", tmp_path / "copy")
    original = (workspace.paths.run(run.id) / "model" / "answer.json").read_bytes()
    assert (tmp_path / "copy" / "answer.json").read_bytes() == original
    with pytest.raises(ConflictError, match="exists already"):
        workspace.models.download("mine", tmp_path / "copy")
    for name in ("one.zip", "two.zip"):
        workspace.models.download("mine@v1", tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.read("answer.json") == original
    stored = workspace.models.verify("mine") / "answer.json"
    stored.chmod(0o644)
    stored.write_text(json.dumps({"answer": "other"}))
    with pytest.raises(IntegrityError, match=version.sha256[:16]):
        workspace.models.download("mine", tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_observers_hear_of_a_promotion_and_cannot_stop_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def observe(name: str, **arguments: Any) -> None:
        heard.append(name)

    monkeypatch.setattr(workspace.plugins, "observe", observe)
    run = trained(workspace)
    workspace.models.promote("mine", run.id)
    workspace.models.promote("mine", run.id)
    assert heard.count("tunix_model_promoted") == 1


def test_predictions_that_were_edited_are_not_judged(workspace: Workspace) -> None:
    run = evaluated(workspace, "same-v1")
    folder = workspace.predictions.folder(run.id, "same-v1")
    lines = (folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[:10]))
    with pytest.raises(TunixError, match="were changed"):
        workspace.evaluations.run(run.id, "same-v1")
