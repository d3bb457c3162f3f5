"""The work behind judgements: items, answers and steps, joined once for every screen."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.errors import IntegrityError, NotFoundError
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Evaluation, Run


@pytest.fixture
def run(counting_workspace: Workspace, tmp_path: Path) -> Run:
    """A run whose model says ``often`` to ``half-v1``, where that is right for 3 of 7."""
    file = write_traces(tmp_path / "half.jsonl", 7, lambda n: "seldom" if n % 2 else "often")
    report = counting_workspace.traces.import_file(file, source="half")
    counting_workspace.datasets.build("half", "v1", import_id=report.import_id)
    created = counting_workspace.runs.create("half-v1", "counting", {"steps": 3})
    return counting_workspace.worker().execute(created.id)


def judged(workspace: Workspace, run: Run, samples: int = 1) -> Evaluation:
    generation = GenerationConfig(samples=samples, temperature=0.5 if samples > 1 else 0.0)
    workspace.predictions.create(run.id, "half-v1", generation)
    return workspace.evaluations.run(run.id, "half-v1", ["answer_correctness"])[0]


def test_a_review_holds_what_was_asked_for_in_that_order(
    counting_workspace: Workspace, run: Run
) -> None:
    evaluation = judged(counting_workspace, run, samples=2)
    scores = counting_workspace.evaluations.scores(evaluation)[::-3]

    review = counting_workspace.evaluations.review(evaluation, scores)

    assert [one.score for one in review.items] == scores
    assert [one.item.id for one in review.items] == [score.item_id for score in scores]
    assert review.problem is None
    for one in review.items:
        assert [answer.completion.sample for answer in one.answers] == [0, 1]
        assert {answer.completion.item_id for answer in one.answers} == {one.item.id}
        assert [answer.answer for answer in one.answers] == ["often", "sample 1"]
        assert [step.text for step in one.reference] == [s.content for s in one.item.trace.steps]


def test_a_review_says_why_the_answers_are_not_those_that_were_judged(
    counting_workspace: Workspace, run: Run
) -> None:
    evaluation = judged(counting_workspace, run)
    evaluations = counting_workspace.evaluations
    scores = evaluations.scores(evaluation)
    folder = counting_workspace.predictions.folder(run.id, "half-v1")

    other = attrs.evolve(evaluation, predictions_sha256="0" * 64)
    newer = evaluations.review(other, scores)
    assert "answered anew" in (newer.problem or "")
    assert all(one.answers for one in newer.items)

    (folder / "predictions.jsonl").write_text("null\n")
    changed = evaluations.review(evaluation, scores)
    assert f"predictions of run {run.id} for half-v1 were changed" in (changed.problem or "")
    assert [one.answers for one in changed.items] == [()] * 7

    (folder / "predictions_meta.json").unlink()
    assert evaluations.review(evaluation, scores).problem == "the run has no answers"


def test_what_cannot_be_reviewed_says_why(counting_workspace: Workspace, run: Run) -> None:
    evaluation = judged(counting_workspace, run)
    score = counting_workspace.evaluations.scores(evaluation)[0]
    with pytest.raises(NotFoundError, match="half-v1 has no item 'nope'"):
        counting_workspace.evaluations.review(evaluation, [attrs.evolve(score, item_id="nope")])
    with (counting_workspace.paths.dataset("half-v1") / "dataset.jsonl").open("a") as data:
        data.write("\n")
    with pytest.raises(IntegrityError, match=r"half-v1: dataset\.jsonl has sha256"):
        counting_workspace.evaluations.review(evaluation, [score])


def test_predictions_are_in_the_order_of_the_manifest(
    counting_workspace: Workspace, run: Run
) -> None:
    judged(counting_workspace, run)
    manifest = counting_workspace.datasets.manifest("half-v1")
    (counting_workspace.paths.dataset("half-v1") / "dataset.jsonl").unlink()

    made = counting_workspace.predictions.read(run.id, "half-v1")

    assert tuple(said.item_id for said in made.completions) == manifest.trace_ids
