"""Judging runs however they ended, what a judgement comes to, and who leads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import write_traces
from tests.test_plugins import plugin
from tunix_core import Workspace
from tunix_core.base.clock import new_id
from tunix_core.cli import cli
from tunix_core.contributions import EvaluatorContribution
from tunix_core.errors import ConflictError, NotFoundError, TunixError, UsageError
from tunix_core.evaluation.verdicts import decide
from tunix_core.evaluators import USUAL_JUDGE_FULL
from tunix_core.plugins import Plugins
from tunix_core.protocols import GenerationConfig
from tunix_core.records import (
    Completion,
    Estimate,
    Evaluation,
    Item,
    Run,
    Score,
    Scorecard,
    TrainingRequest,
)


@pytest.fixture
def workspace(counting_workspace: Workspace, tmp_path: Path) -> Workspace:
    """As the counting workspace, with a dataset ``same-v1`` whose answers are all alike."""
    file = write_traces(tmp_path / "same.jsonl", 30, lambda _: "always")
    report = counting_workspace.traces.import_file(file, source="same")
    counting_workspace.datasets.build("same", "v1", import_id=report.import_id)
    return counting_workspace


def ended(workspace: Workspace, dataset: str = "same-v1", **settings: Any) -> Run:
    run = workspace.runs.create(dataset, "counting", {"steps": 3, **settings})
    return workspace.worker().execute(run.id)


def request(dataset_key: str, **changes: Any) -> TrainingRequest:
    values: dict[str, Any] = {
        "model_id": "counting",
        "output_dir": None,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "num_epochs": 1,
        "batch_size": 8,
        "max_seq_length": 64,
        "device": "cpu",
        "mode": "local",
        "trainer": "counting",
        "settings": {"steps": 3},
        "seed": 0,
        "eval_dataset_key": None,
        "time_budget_s": None,
        **changes,
    }
    return TrainingRequest(dataset_key=dataset_key, **values)


def test_judging_makes_the_answers_that_are_missing(workspace: Workspace) -> None:
    run = ended(workspace)
    heard: list[tuple[int, int]] = []
    evaluations = workspace.evaluations
    made = evaluations.judge(run.id, on_progress=lambda *done: heard.append(done))
    assert (made.score, made.dataset_key, made.verdict) == (1.0, "same-v1", "pass")
    assert heard[-1] == (30, 30)
    form = evaluations.judge(run.id[:8], "show_your_work")
    assert form.predictions_sha256 == made.predictions_sha256
    assert evaluations.latest(run.id) == form
    assert evaluations.metrics(made)["answer_correctness"] == 1.0
    assert evaluations.metrics(made)["constant_answer_baseline"] == 1.0
    steps = evaluations.judge(run.id, "step_validity")
    assert (steps.score, steps.verdict) == (0.0, "fail"), "its references show equations"
    assert evaluations.metrics(steps)["unread_share"] == 0.0


def test_answers_that_are_there_are_judged_however_they_were_sampled(
    workspace: Workspace,
) -> None:
    run = ended(workspace)
    sampled = GenerationConfig(temperature=1.0, samples=2)
    half = workspace.evaluations.judge(run.id, generation=sampled)
    assert half.score == 0.5
    assert workspace.evaluations.judge(run.id).score == 0.5
    with pytest.raises(ConflictError, match="another generation config"):
        workspace.evaluations.judge(run.id, generation=GenerationConfig())


def test_a_run_is_judged_on_its_held_out_data_unless_told_otherwise(
    workspace: Workspace,
) -> None:
    run = workspace.runs.create("same-v1", "counting", {"steps": 3}, eval_dataset_key="numbers-v1")
    workspace.worker().execute(run.id)
    held_out = workspace.evaluations.judge(run.id)
    assert (held_out.dataset_key, held_out.score, held_out.verdict) == ("numbers-v1", 0.0, "fail")
    assert workspace.evaluations.judge(run.id, dataset_key="same-v1").score == 1.0
    with pytest.raises(NotFoundError, match="'other-v1' not found"):
        workspace.evaluations.judge(run.id, dataset_key="other-v1")


@pytest.mark.parametrize("judge", ["answer_correctness", "show_your_work", "step_validity"])
def test_a_run_that_failed_answered_nothing_right(workspace: Workspace, judge: str) -> None:
    run = ended(workspace, fail_at=1)
    assert run.status == "failed"
    made = workspace.evaluations.judge(run.id, judge)
    assert (made.score, made.verdict, made.scorecard.overall.mean) == (0.0, "fail", 0.0)
    scores = workspace.evaluations.scores(made)
    assert [score.value for score in scores] == [0.0] * 30
    assert all(score.details["fault"] == "no prediction" for score in scores)
    with pytest.raises(NotFoundError):
        workspace.evaluations.judge(run.id, judge, "other-v1")


def test_a_run_that_failed_and_was_resumed_is_judged_by_its_model(workspace: Workspace) -> None:
    run = workspace.runs.create("same-v1", "counting", {"steps": 3})
    workspace.runs.cancel(run.id)
    assert workspace.evaluations.judge(run.id).score == 0.0
    workspace.runs.resume(run.id)
    workspace.worker().execute(run.id)
    assert workspace.evaluations.judge(run.id).score == 1.0


@pytest.mark.parametrize("dataset", ["missing-v1", "../../etc", "ключ", "a\0b", "x" * 400])
def test_a_run_that_failed_without_a_dataset_is_judged_too(
    workspace: Workspace, dataset: str
) -> None:
    run = workspace.runs.submit(request(dataset))
    assert workspace.worker().execute(run.id).status == "failed"
    made = workspace.evaluations.judge(run.id)
    assert (made.score, made.verdict, made.scorecard.n_items) == (0.0, "fail", 0)
    assert made.dataset_key == dataset
    assert workspace.evaluations.scores(made) == []
    assert workspace.evaluations.leaderboard(config_path=dataset) == [made]


def test_what_cannot_be_judged_says_why(workspace: Workspace) -> None:
    evaluations = workspace.evaluations
    pending = workspace.runs.create("same-v1", "counting")
    with pytest.raises(ConflictError, match="is pending"):
        evaluations.judge(pending.id)
    dry = workspace.runs.create("same-v1", "counting", mode="dry-run")
    with pytest.raises(ConflictError, match="dry run"):
        evaluations.judge(workspace.worker().execute(dry.id).id)
    for name in ("moon", "answer_corectness"):
        with pytest.raises(UsageError, match=r"known: answer_correctness, .*step_validity"):
            evaluations.judge(pending.id, name)
    with pytest.raises(NotFoundError, match="not found"):
        evaluations.judge("0" * 8)
    for run_id in (pending.id, "0" * 8):
        with pytest.raises(NotFoundError):
            evaluations.latest(run_id)


def test_two_may_judge_at_once(workspace: Workspace) -> None:
    run = ended(workspace)
    made: list[Evaluation] = []

    def judge() -> None:
        with Workspace(workspace.paths.root, workspace.plugins) as own:
            made.append(own.evaluations.judge(run.id))

    threads = [Thread(target=judge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.score for one in made] == [1.0] * 3
    assert len({one.id for one in workspace.evaluations.of_run(run.id)}) == 3
    names = {artifact.name for artifact in workspace.runs.artifacts(run.id)}
    assert not any("lock" in name for name in names)


VERDICTS = st.sampled_from(["pass", "fail", "uncertain", None])


@given(st.lists(VERDICTS, min_size=1, max_size=20), st.floats(0, 1))
def test_the_majority_of_a_judges_verdicts_decides(said: list[str | None], mean: float) -> None:
    scores = [Score(str(n), mean, {"verdict": verdict}) for n, verdict in enumerate(said)]
    lead = said.count("pass") - said.count("fail")
    wanted = "pass" if lead > 0 else "fail" if lead < 0 else "uncertain"
    assert decide("tunix-judges/gemma-judge", mean, scores) == wanted
    assert decide("tunix-judges/gemma-judge", None, scores) == "uncertain"


@given(st.floats(0, 1))
def test_answers_are_all_right_or_it_is_a_failure(mean: float) -> None:
    assert decide(USUAL_JUDGE_FULL, mean, []) == ("pass" if mean == 1.0 else "fail")
    assert decide("acme/brevity", mean, []) == ("pass" if mean >= 0.7 else "fail")


def planted(
    workspace: Workspace, like: Evaluation, scores: Sequence[float | None]
) -> list[Evaluation]:
    """Evaluations of as many pending runs, two at a time of the same moment."""
    made = []
    for number, score in enumerate(scores):
        run = workspace.runs.create("same-v1", "counting", {"steps": number})
        at = f"2026-03-{number // 2 + 1:02}T00:00:00.000000Z"
        one = evolve(like, id=new_id(), run_id=run.id, score=score, created_at=at)
        # Of a run that has made no model: nothing that there is now contradicts it.
        made.append(evolve(one, basis=None))
        workspace.store.evaluations.insert(made[-1])
    return made


def test_the_leaderboard_has_one_order_that_pages_keep(workspace: Workspace) -> None:
    like = workspace.evaluations.judge(ended(workspace).id)
    planted(workspace, like, [0.5, 0.5, None, 0.5, 1.0, 0.5, 0.25, None])
    ranked = workspace.evaluations.leaderboard()
    assert len(ranked) == 9
    wanted = sorted(ranked, key=lambda e: e.id)
    wanted.sort(key=lambda e: e.created_at, reverse=True)
    wanted.sort(key=lambda e: 1.0 if e.score is None else -e.score)
    assert ranked == wanted
    pages = [workspace.evaluations.leaderboard(limit=2, offset=n) for n in range(0, 10, 2)]
    assert [e for page in pages for e in page] == ranked


def test_the_leaderboard_holds_the_newest_of_every_run_evaluator_and_dataset(
    workspace: Workspace,
) -> None:
    run = ended(workspace)
    evaluations = workspace.evaluations
    evaluations.judge(run.id)
    newest = [
        evaluations.judge(run.id),
        evaluations.judge(run.id, "show_your_work"),
        evaluations.judge(run.id, dataset_key="numbers-v1"),
    ]
    assert {e.id for e in evaluations.leaderboard()} == {e.id for e in newest}
    assert evaluations.leaderboard("show_your_work") == [newest[1]]
    assert evaluations.leaderboard(dataset_key="numbers-v1") == [newest[2]]
    workspace.store.evaluations.insert(evolve(newest[0], id=new_id(), grade=False))
    assert newest[0] in evaluations.leaderboard(), "what is no grade hides no grade"


def test_filters_take_text_as_it_is(workspace: Workspace) -> None:
    made = workspace.evaluations.judge(ended(workspace).id)
    board = workspace.evaluations.leaderboard
    for text in ("counting-3", "NTING-", ""):
        assert board(model_id=text) == [made]
    for text in ("counting_3", "%", "_", "count%3", "counting-4", "\\", "'", "' OR 1 --"):
        assert board(model_id=text) == []
    for text in ('"steps": 3', "eval_dataset_key", "SHOW_YOUR_WORK"):
        assert board(config_path=text) == [made]
    for text in ('"steps": 4', "eval%key", "evalXdatasetXkey", "%", "\\"):
        assert board(config_path=text) == []
    assert board(model_id="x" * 100_000) == []


def test_a_leaderboard_of_a_time_shows_what_stood_then(workspace: Workspace) -> None:
    first = workspace.evaluations.judge(ended(workspace).id)
    early = evolve(first, id=new_id(), score=0.25, created_at="2026-03-01T12:00:00.000000Z")
    late = evolve(early, id=new_id(), score=0.5, created_at="2026-03-03T12:00:00.000000Z")
    for evaluation in (early, late):
        workspace.store.evaluations.insert(evaluation)
    board = workspace.evaluations.leaderboard
    noon = datetime(2026, 3, 1, 12)
    assert board(date_to=noon) == [early], "bounds are inclusive"
    assert board(date_from=noon, date_to=noon) == [early]
    assert board(date_to=noon - timedelta(microseconds=1)) == []
    east = noon.replace(tzinfo=timezone(timedelta(hours=2)))
    assert board(date_to=east + timedelta(hours=2)) == [early]
    assert board(date_to=east) == []
    assert board(date_from=noon.replace(tzinfo=UTC), date_to=datetime(2026, 4, 1)) == [late]
    edge = datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))
    assert board(date_to=edge) == board()


def test_the_command_ranks_by_the_same_filters(workspace: Workspace) -> None:
    run = ended(workspace)
    workspace.evaluations.judge(run.id)
    workspace.evaluations.judge(run.id, "show_your_work")

    def ranked(*options: str) -> list[str]:
        root = ["--workspace", str(workspace.paths.root)]
        command = [*root, "eval", "leaderboard", "--json", *options]
        shared = {"plugins": workspace.plugins}
        result = CliRunner().invoke(cli, command, obj=shared, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return [e["evaluator"].split("/")[1] for e in json.loads(result.stdout)]

    assert ranked() == ["answer_correctness"]
    assert sorted(ranked("--all")) == ["answer_correctness", "show_your_work"]
    assert ranked("--model", "counting-3", "--config", '"steps": 3') == ["answer_correctness"]
    assert ranked("--model", "counting_3") == []
    assert ranked("--from", "2999-01-01") == ranked("--to", "1999-01-01T00:00:00") == []


def told(score: Callable[[Item], Any], mean: float = 0.5, **more: Any) -> Plugins:
    """Plugins with an evaluator ``acme/told`` that says what it is told."""

    class Told:
        def score(self, item: Item, completion: Completion) -> Any:
            return score(item)

        def aggregate(self, scores: Sequence[Score]) -> Scorecard:
            return Scorecard(Estimate(mean, None, None, len(scores)), len(scores), **more)

    offered = EvaluatorContribution(name="told", summary="", factory=Told)
    return Plugins.of(plugin("acme", tunix_evaluators=lambda: [offered]))


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda item: Score("another", 0.5), "a judgement of item 'another' when it was asked"),
        (lambda item: "0.5", "str as the judgement of item"),
        (lambda item: Score(item.id, True), "not one from 0 to 1"),
        (lambda item: Score(item.id, math.nan), "the score nan, not one from 0 to 1"),
        (lambda item: Score(item.id, -0.1), "not one from 0 to 1"),
        (lambda item: Score(item.id, 60.0), "not one from 0 to 1"),
    ],
)
def test_what_is_no_score_is_refused_before_it_is_stored(
    workspace: Workspace, score: Callable[[Item], Any], message: str
) -> None:
    run = ended(workspace)
    workspace.predictions.create(run.id, "same-v1")
    with Workspace(workspace.paths.root, told(score)) as other:
        with pytest.raises(TunixError, match=f"acme/told gave .*{message}"):
            other.evaluations.run(run.id, "same-v1", ["told"])
        assert other.evaluations.of_run(run.id) == []
    assert not any(path.read_text() for path in workspace.paths.root.rglob("acme.told*.jsonl"))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"metrics": {"far": math.inf}}, "far"),
        ({"metrics": {"text": "0.5"}}, "text"),
        ({"estimates": {"vague": Estimate(0.5, math.nan, 1.0, 3)}}, "low of vague"),
        ({"groups": {"family": {"sums": Estimate(True, 0.0, 1.0, 3)}}}, "mean of family sums"),
    ],
)
def test_a_figure_that_is_no_number_is_refused(
    workspace: Workspace, more: dict[str, Any], named: str
) -> None:
    run = ended(workspace)
    workspace.predictions.create(run.id, "same-v1")
    with (
        Workspace(workspace.paths.root, told(lambda item: Score(item.id, 0.5), **more)) as other,
        pytest.raises(TunixError, match=f"acme/told gave a scorecard .* no number: {named}"),
    ):
        other.evaluations.run(run.id, "same-v1", ["told"])
    assert workspace.evaluations.of_run(run.id) == []


@pytest.mark.parametrize("mean", [math.nan, 60.0])
def test_a_summary_that_is_no_score_is_refused(workspace: Workspace, mean: float) -> None:
    run = ended(workspace)
    workspace.predictions.create(run.id, "same-v1")
    with Workspace(workspace.paths.root, told(lambda item: Score(item.id, 0.5), mean)) as other:
        with pytest.raises(TunixError, match=f"acme/told gave .*mean score {mean}"):
            other.evaluations.run(run.id, "same-v1", ["told"])
        assert other.evaluations.of_run(run.id) == []


def test_a_stored_judgement_that_is_no_score_is_not_taken_up(workspace: Workspace) -> None:
    run = ended(workspace)
    made = workspace.evaluations.judge(run.id)
    path = workspace.paths.root / made.items_path
    path.write_text(path.read_text().replace('"value": 1.0', '"value": 5.0', 1))
    with pytest.raises(TunixError, match="no score of item"):
        workspace.evaluations.judge(run.id)
