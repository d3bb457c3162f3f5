"""Several samples of an item: pass@k, mean@n, majority@n, and what was cut off."""

from __future__ import annotations

import json
from itertools import combinations
from statistics import fmean

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.test_runs import start
from tunix_core import Workspace
from tunix_core.cli import cli
from tunix_core.evaluation.samples import pass_at_k, with_samples
from tunix_core.evaluators.answer_correctness import AnswerCorrectness
from tunix_core.evaluators.common import scorecard
from tunix_core.evaluators.voting import commonest
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Item, Score, Scorecard, Step, Trace
from tunix_core.rich.readable import coverage


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_pass_at_k_is_the_share_of_choices_that_hold_a_right_sample(
    right: list[bool], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(right)))
    wanted = fmean(any(choice) for choice in combinations(right, k))
    assert pass_at_k(len(right), sum(right), k) == pytest.approx(wanted)


@pytest.mark.parametrize(("n", "right", "k"), [(4, 1, 5), (4, 5, 1), (4, 1, 0), (4, -1, 1)])
def test_pass_at_k_is_of_samples_that_there_are(n: int, right: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} of {n} samples"):
        pass_at_k(n, right, k)


@given(st.lists(st.sampled_from([None, "1", "2", "3"]), max_size=12))
def test_the_commonest_answer_is_the_earliest_of_the_most(answers: list[str | None]) -> None:
    place = commonest(answers, str.__eq__)
    votes = {answer: answers.count(answer) for answer in answers if answer is not None}
    if place is None:
        assert not votes
        return
    most = [answer for answer in answers if votes.get(answer or "") == max(votes.values())]
    assert place == answers.index(most[0])


def summary(rows: list[list[float | None]], cut: int = 0) -> Scorecard:
    """Of items with the values of their samples."""
    scores, completions = [], []
    for number, row in enumerate(rows):
        known = [value for value in row if value is not None]
        details = {"samples": row} if len(row) > 1 else {}
        scores.append(Score(str(number), fmean(known) if known else None, details))
        completions += [Completion(str(number), "", sample=place) for place in range(len(row))]
    ended = [Completion(c.item_id, "", "length", 0, c.sample) for c in completions[:cut]]
    return with_samples(scorecard(scores), scores, [*ended, *completions[cut:]])


@given(
    st.integers(2, 9).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n), min_size=1, max_size=20
        )
    )
)
def test_more_samples_never_pass_less_often(rows: list[list[float | None]]) -> None:
    n = len(rows[0])
    card = summary(rows)
    passes = [card.metrics[name] for name in card.metrics if name.startswith("pass@")]
    assert passes == sorted(passes)
    assert passes[0] == pytest.approx(card.metrics[f"mean@{n}"])
    assert passes[0] == pytest.approx(card.overall.mean)
    assert passes[-1] == pytest.approx(fmean(1.0 in row for row in rows))
    for name, held in card.estimates.items():
        assert held.n == len(rows), "intervals are of items"
        assert held.low is not None
        assert held.high is not None
        assert 0 <= held.low <= card.metrics[name] <= held.high <= 1


def test_what_is_no_right_or_wrong_has_a_mean_alone() -> None:
    card = summary([[0.5, 1.0], [0.0, 1.0]])
    assert {*card.metrics} == {"mean@2", "truncated"}
    assert card.metrics["mean@2"] == 0.625


def test_a_sample_without_a_judgement_says_nothing() -> None:
    card = summary([[1.0, None, 0.0, 0.0], [None] * 4, [1.0] * 4])
    assert card.estimates["mean@4"].mean == pytest.approx(2 / 3)
    assert card.estimates["pass@2"].n == 2
    assert card.estimates["pass@4"].n == 1, "four samples of the first were not judged"


def test_one_sample_has_no_further_figures_and_what_was_cut_off_is_told() -> None:
    card = summary([[1.0], [0.0], [1.0], [1.0]], cut=1)
    assert card.metrics == {"truncated": 0.25}
    assert card.estimates == {}
    assert coverage(card) == "4, 25% cut off"
    assert coverage(summary([[1.0]])) == "1"
    assert coverage(summary([[1.0]] * 1000, cut=1)) == "1,000, <1% cut off"
    assert with_samples(scorecard([]), [], []).metrics == {"truncated": 0.0}


def test_answers_that_mean_the_same_vote_together() -> None:
    judge = AnswerCorrectness()
    item = Item("1", Trace(prompt="?", steps=[Step(0, "compute", "one half")], final_answer="0.5"))

    def worth(*answers: str) -> float:
        said = [judge.score(item, Completion("1", answer)) for answer in answers]
        return judge.majority(item, said)

    assert worth("7", "1/2", "7 or so, who knows\n", "0.50") == 1.0
    assert worth("7", "7.0", "1/2") == 0.0
    assert worth("1/2", "7") == 1.0, "of equals the earliest"
    assert worth("", "") == 0.0


def test_the_command_and_json_tell_of_samples(counting_workspace: Workspace) -> None:
    run = start(counting_workspace, {"steps": 3})
    sampled = GenerationConfig(temperature=1.0, samples=4)
    counting_workspace.predictions.create(run.id, "numbers-v1", sampled)
    (made,) = counting_workspace.evaluations.run(run.id, "numbers-v1", ["answer_correctness"])
    names = ["mean@4", "pass@1", "pass@2", "pass@4", "majority@4"]
    assert [*made.scorecard.estimates] == names
    assert counting_workspace.evaluations.get(made.id) == made
    (form,) = counting_workspace.evaluations.run(run.id, "numbers-v1", ["show_your_work"])
    assert "majority@4" not in form.scorecard.metrics

    root = ["--workspace", str(counting_workspace.paths.root), "eval", "show", made.id]
    shared = {"plugins": counting_workspace.plugins}
    shown = CliRunner().invoke(cli, root, obj=shared, catch_exceptions=False).stdout
    rows = {words[0]: words for words in map(str.split, shown.splitlines()) if words}
    assert all(rows[name][-2] == "to" for name in names)
    told = CliRunner().invoke(cli, [*root, "--json"], obj=shared, catch_exceptions=False)
    estimates = json.loads(told.stdout)["scorecard"]["estimates"]
    assert estimates["pass@4"]["n"] == 20
