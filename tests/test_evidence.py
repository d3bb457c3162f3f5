"""Numbers stay bound to what they depend on: weights, data, sampling, evaluator."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.base.clock import new_id
from tunix_core.base.file_trees import tree_digest
from tunix_core.cli import cli
from tunix_core.codec import unstructure
from tunix_core.contributions import EVALUATOR
from tunix_core.errors import IntegrityError, NotComparableError, NotFoundError, TunixError
from tunix_core.evaluation.basis import settings_text
from tunix_core.evaluation.leaderboard import told_apart
from tunix_core.plugins import Provided
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Evaluation, EvaluationBasis, Run, Score, Step, Trace

SAMPLED = GenerationConfig(temperature=1.0, samples=4)


@pytest.fixture
def workspace(counting_workspace: Workspace, tmp_path: Path) -> Workspace:
    """As the counting workspace, with a dataset ``same-v1`` whose answers are all alike."""
    build_same(counting_workspace, tmp_path, 30)
    return counting_workspace


def build_same(workspace: Workspace, folder: Path, count: int) -> None:
    file = write_traces(folder / f"same-{count}.jsonl", count, lambda _: "always")
    report = workspace.traces.import_file(file, source=f"same-{count}")
    workspace.datasets.build("same", "v1", import_id=report.import_id)


def ended(workspace: Workspace, dataset: str = "same-v1", **settings: Any) -> Run:
    run = workspace.runs.create(dataset, "counting", {"steps": 3, **settings})
    return workspace.worker().execute(run.id)


def model_file(workspace: Workspace, run: Run) -> Path:
    return workspace.paths.run(run.id) / "model" / "answer.json"


def train_on(workspace: Workspace, run: Run) -> None:
    """Resume a run that was stopped, so that it has other weights."""
    workspace.runs.resume(run.id)
    assert workspace.worker().execute(run.id).status == "completed"


def stopped(workspace: Workspace) -> Run:
    """A run that was cancelled halfway, with a model."""
    run = workspace.runs.create("same-v1", "counting", {"steps": 400, "step_seconds": 0.01})

    def cancel() -> None:
        if (workspace.runs.progress(run.id).step or 0) > 1:
            workspace.runs.cancel(run.id)

    run = workspace.worker().execute(run.id, cancel)
    assert run.result is not None
    return run


def command(workspace: Workspace, *arguments: str) -> Any:
    root = ["--workspace", str(workspace.paths.root)]
    return CliRunner().invoke(cli, [*root, *arguments], obj={"plugins": workspace.plugins})


def test_a_run_says_which_weights_it_left(workspace: Workspace) -> None:
    run = ended(workspace)
    assert run.result is not None
    found = tree_digest(workspace.paths.run(run.id) / "model").sha256
    assert run.result.weights_sha256 == found
    basis = workspace.evaluations.judge(run.id).basis
    assert basis is not None
    assert basis.weights_sha256 == found
    assert basis.dataset_sha256 == workspace.datasets.manifest("same-v1").sha256
    assert basis.generation == unstructure(GenerationConfig())


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def exchanged(path: Path) -> None:
    path.write_text('{"answer": "always", "counts": {}}')


@pytest.mark.parametrize(
    "change", [emptied, exchanged, Path.unlink, lambda p: p.with_name("x").touch()]
)
def test_weights_that_were_changed_neither_answer_nor_are_promoted(
    workspace: Workspace, change: Callable[[Path], None]
) -> None:
    run = ended(workspace)
    change(model_file(workspace, run))
    with pytest.raises(TunixError, match=r"model of run .* was changed"):
        workspace.evaluations.judge(run.id)
    with pytest.raises(IntegrityError, match=r"model of run .* was changed"):
        workspace.models.promote("mine", run.id)
    assert workspace.models.list() == []


def test_a_run_without_its_model_is_not_promoted(workspace: Workspace) -> None:
    run = ended(workspace)
    shutil.rmtree(model_file(workspace, run).parent)
    with pytest.raises(TunixError, match="it has no model"):
        workspace.models.promote("mine", run.id)


def interrupted(workspace: Workspace, run: Run, key: str = "same-v1", keep: int = 7) -> Path:
    """Let answers to a dataset be as a kill leaves them."""
    folder = workspace.predictions.folder(run.id, key)
    lines = (folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[:keep]))
    (folder / "predictions_meta.json").unlink()
    return folder


def test_answers_begun_one_way_are_not_finished_another(workspace: Workspace) -> None:
    run = ended(workspace)
    workspace.predictions.create(run.id, "same-v1")
    folder = interrupted(workspace, run)
    made = workspace.predictions.create(run.id, "same-v1", SAMPLED)
    assert len(made.completions) == 4 * 30
    assert made.basis is not None
    assert made.basis.generation_config == SAMPLED
    kept = (folder / "before-1" / "predictions.jsonl").read_bytes()
    assert kept.count(b"\n") == 7
    assert "another generation config" in (folder / "log.jsonl").read_text()
    meta = json.loads((folder / "predictions_meta.json").read_text())
    assert meta["weights_sha256"] == run.result.weights_sha256  # type: ignore[union-attr]
    assert meta["template"] == "show_your_work"


@pytest.mark.parametrize("batch_size", [64, 8])
def test_answers_begun_are_finished_the_same_way(workspace: Workspace, batch_size: int) -> None:
    run = ended(workspace)
    before = workspace.predictions.create(run.id, "same-v1")
    folder = interrupted(workspace, run)
    after = workspace.predictions.create(run.id, "same-v1", GenerationConfig(batch_size=batch_size))
    assert after.sha256 == before.sha256
    assert not (folder / "before-1").exists()


def test_answers_of_which_nothing_is_known_are_not_finished(workspace: Workspace) -> None:
    run = ended(workspace)
    workspace.predictions.create(run.id, "same-v1")
    folder = interrupted(workspace, run)
    (folder / "predictions_begun.json").unlink()
    workspace.predictions.create(run.id, "same-v1")
    assert (folder / "before-1" / "predictions.jsonl").exists()


def test_a_dataset_built_anew_is_answered_anew(workspace: Workspace, tmp_path: Path) -> None:
    run = ended(workspace, "numbers-v1")
    old = workspace.evaluations.judge(run.id, dataset_key="same-v1")
    shutil.rmtree(workspace.paths.dataset("same-v1"))
    build_same(workspace, tmp_path, 10)
    assert workspace.evaluations.outdated(old) == "the dataset was built anew since"
    assert workspace.evaluations.leaderboard() == []
    with pytest.raises(NotFoundError, match="other data"):
        workspace.evaluations.run(run.id, "same-v1")
    new = workspace.evaluations.judge(run.id, dataset_key="same-v1")
    assert new.scorecard.n_items == 10
    assert workspace.evaluations.leaderboard() == [new]


def test_scores_of_earlier_weights_are_left_out_everywhere(workspace: Workspace) -> None:
    run = stopped(workspace)
    old = workspace.evaluations.judge(run.id)
    workspace.regressions.set_baseline("b", run.id)
    assert workspace.evaluations.leaderboard() == [old]
    train_on(workspace, run)
    assert "trained on" in (workspace.evaluations.outdated(old) or "")
    assert workspace.evaluations.leaderboard() == []
    assert workspace.models.promote("mine", run.id).metrics == {}
    for check in (workspace.regressions.check, workspace.regressions.check_metric):
        with pytest.raises(TunixError, match="still holds: the run was trained on"):
            check(run.id, "b")
    (place,) = workspace.evaluations.places(outdated=True)
    assert (place.rank, place.evaluation, place.outdated) == (
        None,
        old,
        "the run was trained on since",
    )
    new = workspace.evaluations.judge(run.id)
    assert workspace.evaluations.leaderboard() == [new]
    assert workspace.models.promote("other", run.id).metrics == {"answer_correctness": 1.0}


def test_a_failed_run_that_made_a_model_is_not_ranked_by_its_failure(workspace: Workspace) -> None:
    run = workspace.runs.create("same-v1", "counting", {"steps": 3})
    workspace.runs.cancel(run.id)
    workspace.evaluations.judge(run.id)
    train_on(workspace, run)
    assert workspace.evaluations.leaderboard() == []


def items_file(workspace: Workspace, evaluation: Evaluation) -> Path:
    return workspace.paths.root / evaluation.items_path


def test_judgements_edited_by_hand_are_noticed(workspace: Workspace) -> None:
    run = ended(workspace, "numbers-v1")
    judged = workspace.evaluations.judge(run.id)
    path = items_file(workspace, judged)
    path.write_text(path.read_text().replace('"value": 0.0', '"value": 1.0'))
    with pytest.raises(IntegrityError, match="was changed"):
        workspace.evaluations.scores(judged)
    with pytest.raises(IntegrityError, match=f"was changed since evaluation {judged.id}"):
        workspace.evaluations.judge(run.id)
    again = workspace.evaluations.judge(run.id, again=True)
    assert again.score == judged.score
    assert workspace.evaluations.scores(again)
    assert workspace.evaluations.judge(run.id).items_path == again.items_path


def test_judgements_that_are_used_again_are_announced(workspace: Workspace) -> None:
    run = ended(workspace)
    evaluations = workspace.evaluations
    first = evaluations.judge(run.id)
    assert evaluations.judged_before(first) is None
    second = evaluations.judge(run.id)
    assert evaluations.judged_before(second) == first
    anew = evaluations.judge(run.id, again=True)
    assert anew.items_path != first.items_path
    assert evaluations.judged_before(anew) is None
    arguments = ("eval", "run", run.id, "--dataset", "same-v1", "-e", "answer_correctness")
    told = command(workspace, *arguments)
    assert f"judged before: answer_correctness, {anew.created_at[:19]}" in told.stderr
    assert "beware: answer_correctness: judged on its own training data" in told.stderr
    assert "judged before" not in command(workspace, *arguments, "--again").stderr


def test_another_version_of_an_evaluators_distribution_judges_anew(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(workspace)
    old = workspace.evaluations.judge(run.id)
    workspace.regressions.set_baseline("b", run.id)
    found = type(workspace.plugins).find

    def find(plugins: Any, kind: Any, name: str) -> Provided[Any, Any]:
        provided: Provided[Any, Any] = found(plugins, kind, name)
        return evolve(provided, distribution_version="99.0") if kind is EVALUATOR else provided

    monkeypatch.setattr(type(workspace.plugins), "find", find)
    new = workspace.evaluations.judge(run.id)
    assert new.items_path != old.items_path
    assert workspace.evaluations.judged_before(new) is None
    with pytest.raises(NotComparableError, match=r"tunix-core 99\.0"):
        workspace.regressions.check(run.id, "b")


def test_what_was_sampled_otherwise_is_not_compared(workspace: Workspace) -> None:
    greedy, sampled = ended(workspace), ended(workspace, steps=4)
    workspace.evaluations.judge(greedy.id)
    workspace.regressions.set_baseline("b", greedy.id)
    workspace.evaluations.judge(sampled.id, generation=SAMPLED)
    with pytest.raises(NotComparableError, match="sampling greedy, the run's T=1 ×4"):
        workspace.regressions.check(sampled.id, "b")
    check = workspace.regressions.check_metric(sampled.id, "b")
    assert "baseline answered with greedy, run with T=1 ×4" in check.details
    assert check.paired is None
    places = workspace.evaluations.places()
    assert [(p.group.settings, p.rank_text) for p in places] == [("T=1 ×4", "1"), ("greedy", "1")]
    shown = command(workspace, "eval", "leaderboard").stdout
    assert "same-v1: answer_correctness 2 (tunix-core" in shown
    assert ", T=1 ×4\n" in shown


def planted(workspace: Workspace, like: Evaluation, values: Sequence[float]) -> Evaluation:
    """An evaluation of another run, with these judgements."""
    run = workspace.runs.create("same-v1", "counting", {"steps": 3 + int(sum(values))})
    workspace.worker().execute(run.id)
    scores = [
        Score(score.item_id, value)
        for score, value in zip(workspace.evaluations.scores(like), values, strict=True)
    ]
    path = items_file(workspace, like).with_name(f"{run.id}.jsonl")
    path.write_text("".join(json.dumps(unstructure(score)) + "\n" for score in scores))
    made = evolve(
        like,
        id=new_id(),
        run_id=run.id,
        score=sum(values) / len(values),
        items_path=path.relative_to(workspace.paths.root).as_posix(),
        items_sha256=None,
        basis=evolve(like.basis, weights_sha256=None) if like.basis else None,
    )
    workspace.store.evaluations.insert(made)
    return made


def test_ranks_say_which_runs_are_not_told_apart(workspace: Workspace) -> None:
    like = workspace.evaluations.judge(ended(workspace).id)
    planted(workspace, like, [0.0] * 2 + [1.0] * 28)
    planted(workspace, like, [1.0] * 10 + [0.0] * 20)
    places = workspace.evaluations.places()
    assert [place.rank for place in places] == [1, 2, 3]
    assert [place.rank_text for place in places] == ["1-2", "1-2", "3"]
    planted(workspace, like, [1.0] * 20 + [0.0] * 10)
    planted(workspace, like, [0.0] * 10 + [1.0] * 20)
    assert [place.rank for place in workspace.evaluations.places()] == [1, 2, 3, 3, 5]


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), max_size=60))
def test_runs_are_told_apart_one_way_only(pairs: list[tuple[float, float]]) -> None:
    one, other = ({str(i): pair[k] for i, pair in enumerate(pairs)} for k in (0, 1))
    assert not (told_apart(one, other) and told_apart(other, one))
    if sum(a != b for a, b in pairs) < 6:
        assert not told_apart(one, other)


EXAMPLE = Trace("1 + 1?", "2", (Step(0, "compute", "1 + 1 = 2"),))
CONFIGS = st.builds(
    GenerationConfig,
    temperature=st.sampled_from([0.7, 1.0]),
    samples=st.sampled_from([1, 4]),
    top_p=st.sampled_from([1.0, 0.9]),
    top_k=st.sampled_from([0, 40]),
    max_new_tokens=st.sampled_from([112, 256]),
    stop=st.sampled_from([("</answer>",), ()]),
    system_prompt=st.sampled_from(["", "Think.", "Think!"]),
    examples=st.sampled_from([(), (EXAMPLE,), (EXAMPLE, EXAMPLE)]),
)


def basis_of(config: GenerationConfig) -> EvaluationBasis:
    return EvaluationBasis(
        weights_sha256=None,
        dataset_sha256=None,
        template="show_your_work",
        generation=unstructure(config),
        evaluator="tunix-core 0.1.0",
    )


@given(CONFIGS, CONFIGS, st.integers(0, 9), st.integers(1, 99))
def test_settings_are_told_alike_when_they_are(
    one: GenerationConfig, other: GenerationConfig, seed: int, rows: int
) -> None:
    texts = [settings_text(basis_of(config)) for config in (one, other)]
    assert (texts[0] == texts[1]) == (one == other)
    assert settings_text(basis_of(evolve(one, seed=seed, batch_size=rows))) == texts[0]


def test_judging_on_what_was_trained_on_is_said(workspace: Workspace) -> None:
    run = ended(workspace, "numbers-v1")
    own = workspace.evaluations.judge(run.id)
    assert own.training_overlap == own.scorecard.n_items == 20
    # Both ask the same first twenty questions.
    half = workspace.evaluations.judge(run.id, dataset_key="same-v1")
    assert half.training_overlap == 20
    shown = command(workspace, "eval", "leaderboard").stdout
    assert "judged on its own training data" in shown
    assert "20 of 30 questions are in its training data" in shown
    version = workspace.models.promote("mine", run.id)
    (said,) = version.provenance["evaluations"]
    assert said["beware"]


def test_promotion_prefers_scores_on_questions_that_were_not_trained_on(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = write_traces(tmp_path / "far.jsonl", 90, lambda _: "always")
    lines = file.read_text().splitlines(keepends=True)[60:]
    file.write_text("".join(lines))
    report = workspace.traces.import_file(file, source="far")
    workspace.datasets.build("far", "v1", import_id=report.import_id)
    run = ended(workspace, "numbers-v1")
    held_out = workspace.evaluations.judge(run.id, dataset_key="far-v1")
    assert held_out.training_overlap == 0
    workspace.evaluations.judge(run.id)
    (said,) = workspace.models.promote("mine", run.id).provenance["evaluations"]
    assert (said["id"], said["beware"]) == (held_out.id, None)
