"""Regressions by one figure: how much it changed, and whether that is for the worse."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.base.clock import new_id
from tunix_core.cli import cli
from tunix_core.codec import unstructure
from tunix_core.errors import NotComparableError, NotFoundError, TunixError, UsageError
from tunix_core.evaluation.metric_checks import change, item_names, names_a_cost
from tunix_core.evaluators.common import scorecard as scorecard_of
from tunix_core.plugins import Plugins
from tunix_core.records import Evaluation, Run

# Five per cent less, and a little more than that.
KEPT = (Decimal("0.95"), Decimal("0.949"))
FIGURES = st.floats(allow_nan=False, allow_infinity=False)


@given(FIGURES, FIGURES)
def test_mirrored_figures_get_the_same_verdict(before: float, after: float) -> None:
    one, other = change(before, after, True), change(-before, -after, False)
    assert one.verdict == other.verdict
    assert (one.delta, one.percent) == (-other.delta, -other.percent)


@given(FIGURES, FIGURES, st.booleans())
def test_the_percentage_has_the_sign_of_the_change(
    before: float, after: float, lower: bool
) -> None:
    changed = change(before, after, lower)
    assert math.isfinite(changed.delta)
    assert math.isfinite(changed.percent)
    assert changed.percent * changed.delta >= 0
    better = after <= before if lower else after >= before
    assert not better or changed.verdict == "pass"


@given(st.integers(1, 10**6), st.sampled_from([1, 10, 100, 10_000]), st.booleans())
def test_exactly_five_percent_passes_and_a_little_more_does_not(
    size: int, scale: int, negative: bool
) -> None:
    sign = -1 if negative else 1
    before = sign * size / scale
    worse, too_bad = (float(Decimal(str(before)) * k) for k in KEPT)
    lower = negative
    assert change(before, worse, lower).verdict == "pass"
    assert change(before, worse, lower).percent == -5.0 * sign
    assert change(before, too_bad, lower).verdict == "fail"


@given(st.integers(1, 5_000).map(lambda n: 20 * n), st.data())
def test_shares_of_items_are_compared_as_if_exact(n_items: int, data: st.DataObject) -> None:
    right = 20 * data.draw(st.integers(1, n_items // 20))
    for lost, verdict in ((right // 20, "pass"), (right // 20 + 1, "fail")):
        assert change(right / n_items, (right - lost) / n_items, False).verdict == verdict


@given(FIGURES.filter(bool), st.booleans())
def test_over_a_baseline_of_zero_a_change_is_a_hundred_percent(after: float, lower: bool) -> None:
    changed = change(0.0, after, lower)
    assert changed.percent == math.copysign(100, after)
    assert changed.verdict == ("fail" if (after > 0) == lower else "pass")
    assert change(0.0, 0.0, lower) == change(after, after, lower)


@pytest.mark.parametrize(
    "name",
    ["loss", "eval_loss", "Latency p95", "time_to_answer", "ErrorRate", "errors", "meanLoss"],
)
def test_a_name_tells_that_lower_is_better(name: str) -> None:
    assert names_a_cost(name)


@pytest.mark.parametrize(
    "name", ["", "score", "sentiment", "lossless", "sometimes", "terror", "item_5e77a1ce", "timely"]
)
def test_a_part_of_a_word_tells_nothing(name: str) -> None:
    assert not names_a_cost(name)


@pytest.fixture
def workspace(counting_workspace: Workspace, tmp_path: Path) -> Workspace:
    """As the counting workspace, with a dataset ``same-v1`` whose answers are all alike."""
    file = write_traces(tmp_path / "same.jsonl", 30, lambda _: "always")
    report = counting_workspace.traces.import_file(file, source="same")
    counting_workspace.datasets.build("same", "v1", import_id=report.import_id)
    return counting_workspace


def judged(workspace: Workspace, train_on: str = "same-v1", **settings: Any) -> Run:
    """A run whose model always says one thing, judged on ``same-v1``."""
    run = workspace.runs.create(train_on, "counting", {"steps": 3, **settings})
    run = workspace.worker().execute(run.id)
    workspace.evaluations.judge(run.id, dataset_key="same-v1")
    return run


def rescored(workspace: Workspace, run: Run, score: float, **metrics: float) -> Evaluation:
    """The run's newest evaluation once more, with another score and more figures."""
    newest = workspace.evaluations.latest(run.id)
    scorecard = evolve(newest.scorecard, metrics={**newest.scorecard.metrics, **metrics})
    made = evolve(newest, id=new_id(), score=score, scorecard=scorecard)
    workspace.store.evaluations.insert(made)
    return made


def test_a_run_is_checked_by_its_primary_score(workspace: Workspace) -> None:
    good, bad = judged(workspace), judged(workspace, "numbers-v1")
    baseline = workspace.regressions.set_metric_baseline("b", good.id[:8])
    assert (baseline.run_id, baseline.metric_name) == (good.id, "primary_score")
    assert (baseline.lower_is_better, baseline.eval_set, baseline.wanted_dataset_key) == (
        None,
        None,
        None,
    )
    check = workspace.regressions.check_metric(bad.id, "b")
    assert (check.run_id, check.baseline_run_id) == (bad.id, good.id)
    assert (check.baseline_value, check.current_value, check.delta) == (1.0, 0.0, -1.0)
    assert (check.delta_percent, check.verdict) == (-100.0, "fail")
    assert check.paired is not None
    assert check.paired.regressed
    assert "\n" not in check.details
    assert workspace.regressions.check_metric(good.id, "b").verdict == "pass"


def test_every_figure_can_be_a_baseline(workspace: Workspace) -> None:
    run = judged(workspace)
    made = rescored(workspace, run, 0.07, error_rate=0.2, seconds=4.0)
    items = item_names([score.item_id for score in workspace.evaluations.scores(made)])
    assert len(set(items)) == len(items)
    values = {
        "primary_score": 0.07,
        "score": 7.0,
        "answer_correctness": 0.07,
        "extracted": 1.0,
        "error_rate": 0.2,
        items[3]: 1.0,
    }
    for metric, value in values.items():
        baseline = workspace.regressions.set_metric_baseline(metric, run.id, metric)
        check = workspace.regressions.check_metric(run.id, metric)
        assert (check.metric_name, check.baseline_value, check.delta) == (metric, value, 0.0)
        assert check.lower_is_better == (metric == "error_rate")
        assert baseline.evaluation_id == made.id


def test_the_usual_judge_goes_before_newer_evaluations_by_others(workspace: Workspace) -> None:
    run = judged(workspace)
    usual = workspace.evaluations.latest(run.id)
    form = workspace.evaluations.judge(run.id, "show_your_work", "same-v1")
    workspace.evaluations.judge(run.id, "mock-judge", "same-v1")
    regressions = workspace.regressions
    assert regressions.set_metric_baseline("a", run.id, "extracted").evaluation_id == usual.id
    assert regressions.set_metric_baseline("b", run.id).evaluation_id == usual.id
    own = regressions.set_metric_baseline("c", run.id, "show_your_work")
    assert own.evaluation_id == form.id
    assert regressions.check_metric(run.id, "a").current_value == 1.0
    assert regressions.check_metric(run.id, "c").baseline_value == form.score


def test_what_is_no_grade_is_a_baseline_only_where_nothing_else_is(workspace: Workspace) -> None:
    run = judged(workspace)
    mock = workspace.evaluations.judge(run.id, "mock-judge", "same-v1")
    regressions = workspace.regressions
    assert regressions.set_metric_baseline("a", run.id).evaluation_id != mock.id
    named = regressions.set_metric_baseline("b", run.id, "mock-judge")
    assert named.evaluation_id == mock.id


def test_the_direction_is_what_was_said_before_what_the_name_tells(workspace: Workspace) -> None:
    run, other = judged(workspace), judged(workspace)
    rescored(workspace, run, 1.0, error_rate=0.2)
    rescored(workspace, other, 1.0, error_rate=0.3)
    for said, verdict in ((None, "fail"), (True, "fail"), (False, "pass")):
        set_ = workspace.regressions.set_metric_baseline("e", run.id, "error_rate", said)
        assert set_.lower_is_better is said
        assert workspace.regressions.baseline("e") == set_
        check = workspace.regressions.check_metric(other.id, "e")
        assert (check.verdict, check.delta, check.delta_percent) == (verdict, 0.1, 50.0)
        assert check.paired is not None
        assert check.paired.direction == "higher", "the items are scored, whatever the figure is"


def test_a_metric_baseline_set_again_keeps_its_id(workspace: Workspace) -> None:
    run = judged(workspace)
    regressions = workspace.regressions
    first = regressions.set_metric_baseline("b", run.id, "score", True, "core", "same-v1")
    assert (first.eval_set, first.wanted_dataset_key) == ("core", "same-v1")
    again = regressions.set_metric_baseline("b", run.id)
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert (again.metric_name, again.lower_is_better, again.eval_set) == (
        "primary_score",
        None,
        None,
    )
    by_items = regressions.set_baseline("b", run.id)
    assert (by_items.id, by_items.metric_name) == (first.id, None)
    assert regressions.list() == [by_items]


def test_a_baseline_is_checked_either_way(workspace: Workspace) -> None:
    good, bad = judged(workspace), judged(workspace, "numbers-v1")
    regressions = workspace.regressions
    regressions.set_metric_baseline("figure", good.id, "score")
    assert regressions.check(bad.id, "figure")[1].regressed
    regressions.set_baseline("items", good.id)
    check = regressions.check_metric(bad.id, "items")
    assert (check.metric_name, check.verdict) == ("primary_score", "fail")
    regressions.set_baseline("items", good.id, comparator="lower-is-better")
    assert regressions.check_metric(bad.id, "items").verdict == "pass"
    regressions.set_metric_baseline("cost", good.id, "score", lower_is_better=True)
    assert regressions.check_metric(bad.id, "cost").verdict == "pass"
    assert not regressions.check(bad.id, "cost")[1].regressed


def test_without_an_evaluation_like_it_the_nearest_is_compared(workspace: Workspace) -> None:
    good, other = judged(workspace), judged(workspace, "numbers-v1")
    regressions = workspace.regressions
    regressions.set_metric_baseline("b", good.id)
    regressions.set_metric_baseline("strict", good.id, dataset_key="same-v1")
    elsewhere = workspace.runs.create("numbers-v1", "counting", {"steps": 3})
    workspace.worker().execute(elsewhere.id)
    workspace.evaluations.judge(elsewhere.id)
    workspace.evaluations.judge(elsewhere.id, "show_your_work")
    check = regressions.check_metric(elsewhere.id, "b")
    assert check.paired is None
    assert "baseline judged on same-v1, run on numbers-v1" in check.details
    assert check.current_value == 0.05, "by the same evaluator, though it is not the newest"
    with pytest.raises(UsageError, match="no evaluation on same-v1"):
        regressions.check_metric(elsewhere.id, "strict")
    workspace.evaluations.judge(other.id, "show_your_work")
    assert regressions.check_metric(other.id, "b").paired is not None


def test_what_cannot_be_checked_says_why(workspace: Workspace) -> None:
    run = judged(workspace)
    unjudged = workspace.runs.create("same-v1", "counting")
    regressions = workspace.regressions
    for wrong in (unjudged.id, "0" * 8):
        with pytest.raises(UsageError) as refused:
            regressions.set_metric_baseline("b", wrong)
        assert not isinstance(refused.value, NotFoundError), "a part of the request is wrong"
    with pytest.raises(UsageError, match="known: primary_score, score, answer_correctness"):
        regressions.set_metric_baseline("b", run.id, "bleu")
    with pytest.raises(UsageError, match="no evaluation on numbers-v1"):
        regressions.set_metric_baseline("b", run.id, dataset_key="numbers-v1")
    with pytest.raises(UsageError, match="needs a name"):
        regressions.set_metric_baseline(" ", run.id)
    assert regressions.list() == []
    rescored(workspace, run, 1.0, seconds=1.0)
    regressions.set_metric_baseline("b", run.id, "seconds")
    with pytest.raises(NotFoundError, match="metric 'seconds' not found"):
        regressions.check_metric(judged(workspace, "numbers-v1").id, "b")
    with pytest.raises(NotFoundError, match="'c' not found"):
        regressions.check_metric(run.id, "c")
    for wrong in (unjudged.id, "0" * 8):
        with pytest.raises(UsageError) as refused:
            regressions.check_metric(wrong, "b")
        assert not isinstance(refused.value, NotFoundError)


def test_one_figure_is_compared_without_any_comparator(workspace: Workspace) -> None:
    good, bad = judged(workspace), judged(workspace, "numbers-v1")
    with Workspace(workspace.paths.root, Plugins.of()) as bare:
        bare.regressions.set_metric_baseline("b", good.id)
        check = bare.regressions.check_metric(bad.id, "b")
    assert (check.verdict, check.paired) == ("fail", None)
    assert workspace.regressions.check(bad.id, "b")[1].regressed, "it is found once it is there"


def hides(workspace: Workspace, run: Run, keep: int) -> Evaluation:
    """The run's newest evaluation once more, with scores of so many items alone."""
    newest = workspace.evaluations.latest(run.id)
    scores = workspace.evaluations.scores(newest)
    hidden = [evolve(score, value=None if n >= keep else 1.0) for n, score in enumerate(scores)]
    path = workspace.paths.root / f"{newest.items_path}.hidden"
    path.write_text("".join(json.dumps(unstructure(score)) + "\n" for score in hidden))
    scorecard = scorecard_of(hidden)
    made = evolve(
        newest,
        id=new_id(),
        score=1.0,
        scorecard=scorecard,
        items_path=path.relative_to(workspace.paths.root).as_posix(),
        items_sha256=sha256(path.read_bytes()).hexdigest(),
    )
    workspace.store.evaluations.insert(made)
    return made


def test_a_run_that_hides_its_work_loses_to_one_that_shows_it(workspace: Workspace) -> None:
    shows, hider = judged(workspace), judged(workspace)
    hides(workspace, hider, 2)
    regressions = workspace.regressions
    regressions.set_baseline("items", shows.id)
    regressions.set_metric_baseline("figure", shows.id)
    with pytest.raises(NotComparableError, match=r"of 30 items 28 have a score in the baseline"):
        regressions.check(hider.id, "items")
    _, verdict = regressions.check(hider.id, "items", allow_missing=True)
    assert (verdict.outcome, verdict.n_paired, len(verdict.missing)) == ("fail", 30, 28)
    assert verdict.candidate == pytest.approx(2 / 30)
    check = regressions.check_metric(hider.id, "figure")
    assert (check.verdict, check.paired) == ("not comparable", None)
    assert "28 items have a score in one of the two alone" in check.details
    regressions.set_metric_baseline("extracted", shows.id, "extracted")
    assert regressions.check_metric(shows.id, "extracted").verdict == "pass"


def test_the_exit_code_tells_the_verdict(workspace: Workspace) -> None:
    good, bad, few = judged(workspace), judged(workspace, "numbers-v1"), judged(workspace)
    hides(workspace, few, 2)

    def check(run: Run, baseline: str, *words: str) -> tuple[int, str]:
        command = ["--workspace", str(workspace.paths.root), "regress", "check", run.id, baseline]
        shared = {"plugins": workspace.plugins}
        found = CliRunner().invoke(cli, [*command, *words], obj=shared, standalone_mode=False)
        if isinstance(found.exception, TunixError):
            return found.exception.exit_code, str(found.exception)
        return found.return_value, found.stdout

    workspace.regressions.set_baseline("good", good.id)
    workspace.regressions.set_baseline("few", few.id)
    workspace.regressions.set_metric_baseline("figure", good.id)
    assert check(good, "good")[0] == 0
    assert check(bad, "good")[0] == 1
    code, said = check(few, "few")
    assert (code, "inconclusive" in said, "2 pairs cannot tell" in said) == (2, True, True)
    code, said = check(few, "good")
    assert (code, "--allow-missing" in said) == (3, True)
    code, said = check(few, "good", "--allow-missing", "--json")
    assert (code, json.loads(said)["verdict"]["outcome"]) == (1, "fail")
    assert check(few, "figure")[0] == 3
    assert check(few, "figure", "--allow-missing")[0] == UsageError.exit_code
    assert check(few, "figure", "--by", "items", "--allow-missing")[0] == 1


def test_the_command_compares_one_figure(workspace: Workspace) -> None:
    good, bad = judged(workspace), judged(workspace, "numbers-v1")

    def tunix(*words: str) -> Result:
        command = ["--workspace", str(workspace.paths.root), "regress", *words]
        shared = {"plugins": workspace.plugins}
        return CliRunner().invoke(cli, command, obj=shared, standalone_mode=False)

    made = tunix("baseline", "b", good.id, "--metric", "score", "--higher-is-better", "--json")
    baseline = json.loads(made.stdout)
    assert (baseline["metric_name"], baseline["lower_is_better"]) == ("score", False)
    assert "score" in tunix("list").stdout
    check = tunix("check", bad.id, "b", "--json")
    assert check.return_value == 1
    assert json.loads(check.stdout)["delta_percent"] == -100.0
    for by, rows in (("metric", "-100.00 %"), ("items", "p-value")):
        shown = tunix("check", bad.id, "b", "--by", by)
        assert (shown.return_value, rows in shown.stdout) == (1, True), shown.output
    assert tunix("check", good.id, "b").return_value == 0
    for without_effect in (
        ("baseline", "c", good.id, "--metric", "score", "-e", "show_your_work"),
        ("baseline", "c", good.id, "--metric", "score", "--comparator", "lower-is-better"),
        ("baseline", "c", good.id, "--lower-is-better"),
        ("check", good.id, "b", "--tolerance", "0.1"),
        ("check", good.id, "b", "--by", "metric", "--confidence", "0.9"),
    ):
        refused = tunix(*without_effect).exception
        assert isinstance(refused, UsageError), without_effect
    assert [baseline.name for baseline in workspace.regressions.list()] == ["b"]
