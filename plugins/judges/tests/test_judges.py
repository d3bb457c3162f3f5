"""Judges: graded by a RediAI that the test runs, or by none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import counting_workspace, install_module, write_traces
from tunix_core import Workspace
from tunix_core.contributions import EVALUATOR
from tunix_core.errors import TunixError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import Evaluator
from tunix_core.records import Completion
from tunix_core.testing.evaluator import EvaluatorConformance, Sample, completion, item
from tunix_judges import plugin
from tunix_judges.config import RediaiConfig
from tunix_judges.gemma import GemmaJudge
from tunix_judges.mock import MockJudge
from tunix_judges.testing import Answer, ChatServer

__all__ = ["counting_workspace", "install_module"]

NOBODY = "http://127.0.0.1:9"


def graded(material: dict[str, str]) -> dict[str, Any]:
    """What a model with good judgement says of an answer."""
    right = f"<answer>{material['reference_answer']}</answer>" in material["student"]
    return {
        "score": 100 if right else 20,
        "verdict": "pass" if right else "fail",
        "reasoning": "half a character: \ud800" if right else "the answer differs",
        "metrics": {"correctness": float(right), "safety": 1.0},
    }


def respond(asked: Mapping[str, Any]) -> Answer:
    """RediAI's answer to a prompt: a grade in a fence."""
    material = re.search(r"^\{.*?^\}$", asked["prompt"], re.DOTALL | re.MULTILINE)
    said = {"score": 0} if material is None else graded(json.loads(material.group()))
    return Answer({"text": f"```json\n{json.dumps(said)}\n```"})


@pytest.fixture
def examiner() -> Iterator[ChatServer]:
    with ChatServer(respond, "/generate") as server:
        yield server


class TestGemmaJudge(EvaluatorConformance):
    url: str

    @pytest.fixture(autouse=True)
    def _served(self, examiner: ChatServer) -> None:
        self.url = examiner.url

    def make(self) -> Evaluator:
        return GemmaJudge(RediaiConfig("real", self.url))

    def deserving(self) -> Sequence[Sample]:
        return [(item("q", "12", family="sums"), completion("12", prompt="q"))]

    def undeserving(self) -> Sequence[Sample]:
        return [
            (item("q", "12", family="sums"), completion("13", prompt="q")),
            (item("p", "12"), completion("", "", "p")),
        ]


class TestMockJudge(EvaluatorConformance):
    def make(self) -> Evaluator:
        return MockJudge()

    def deserving(self) -> Sequence[Sample]:
        return []

    def undeserving(self) -> Sequence[Sample]:
        return [(item("q", "12"), completion(str(number), prompt="q")) for number in range(50)]


def test_the_shown_work_is_judged_over_one_connection(examiner: ChatServer) -> None:
    judge = GemmaJudge(RediaiConfig("real", examiner.url + "/"))
    asked = item("How many?", "12")
    scores = [judge.score(asked, completion(str(n), "because {x}", "How many?")) for n in (12, 13)]
    assert [score.value for score in scores] == [1.0, 0.2]
    details = dict(scores[1].details)
    assert (details.pop("prompt"), len(details.pop("replies"))) == (
        examiner.requests[1]["prompt"],
        1,
    )
    assert details == {
        "verdict": "fail",
        "reasoning": "the answer differs",
        "correctness": 0.0,
        "safety": 1.0,
    }
    assert judge.aggregate(scores).metrics == {"correctness": 0.5, "safety": 1.0}
    assert examiner.connections == 1
    sent = examiner.requests[0]
    assert {k: v for k, v in sent.items() if k != "prompt"} == {
        "model": "gemma-judge-v1",
        "temperature": 0.0,
        "max_tokens": 512,
    }
    for part in ("How many?", "because {x}", '"reference_answer": "12"'):
        assert part in sent["prompt"]


def test_an_empty_answer_is_wrong_without_being_sent(examiner: ChatServer) -> None:
    score = GemmaJudge(RediaiConfig("real", NOBODY)).score(
        item("q", "1"), Completion("item q", " \n")
    )
    assert (score.value, score.details["verdict"]) == (0.0, "fail")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<html>", "does not answer as RediAI does"),
        ('{"text": 7}', "does not answer as RediAI does"),
        ('["text"]', "does not answer as RediAI does"),
    ],
)
def test_what_is_no_rediai_is_an_error(examiner: ChatServer, body: str, says: str) -> None:
    examiner.respond = lambda _: Answer(body)
    judge = GemmaJudge(RediaiConfig("real", examiner.url))
    with pytest.raises(TunixError, match=says):
        judge.score(item("q", "1"), completion("1", prompt="q"))


@pytest.mark.parametrize(
    "text",
    [
        "I would say 80.",
        '{"score": 101, "verdict": "pass"}',
        '{"score": true}',
        '{"score": NaN}',
        "[" * 100_000,
    ],
)
def test_nonsense_is_a_refusal_of_the_item_and_never_a_grade(
    examiner: ChatServer, text: str
) -> None:
    examiner.respond = lambda _: Answer({"text": text})
    judge = GemmaJudge(RediaiConfig("real", examiner.url))
    score = judge.score(item("q", "1"), completion("1", prompt="q"))
    assert (score.value, score.details["verdict"]) == (None, "uncertain")
    assert score.details["refused"]
    assert judge.aggregate([score]).metrics == {"refused": 1.0}


@pytest.mark.parametrize("url", [NOBODY, "http://", "http://[", "https://127.0.0.1:9/x y"])
def test_a_rediai_that_is_not_there_says_where_it_was_looked_for(url: str) -> None:
    with pytest.raises(TunixError, match="REDIAI_BASE_URL"):
        GemmaJudge(RediaiConfig("real", url)).score(item("q", "1"), completion("1", prompt="q"))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REDIAI_MODE", "reel", "must be mock or real, got 'reel'"),
        ("REDIAI_BASE_URL", "localhost:8080", "must begin with http://"),
    ],
)
def test_a_wrong_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=says):
        Plugins.of(plugin).find(EVALUATOR, "gemma-judge").create()


@pytest.fixture
def ended(counting_workspace: Workspace, tmp_path: Path) -> Callable[..., str]:
    """Makes a run of the counting trainer that has ended; its model is always right."""
    file = write_traces(tmp_path / "same.jsonl", 5, lambda _: "always")
    report = counting_workspace.traces.import_file(file, source="same")
    counting_workspace.datasets.build("same", "v1", import_id=report.import_id)

    def make(**settings: Any) -> str:
        run = counting_workspace.runs.create("same-v1", "counting", {"steps": 2, **settings})
        return counting_workspace.worker().execute(run.id).id

    return make


def test_a_run_is_graded_by_gemma(
    counting_workspace: Workspace,
    ended: Callable[..., str],
    examiner: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = ended()
    evaluations = counting_workspace.evaluations
    monkeypatch.setenv("REDIAI_MODE", "mock")
    with pytest.raises(TunixError, match="REDIAI_MODE=real"):
        evaluations.judge(run_id, "gemma-judge")
    monkeypatch.setenv("REDIAI_MODE", "real")
    monkeypatch.setenv("REDIAI_BASE_URL", examiner.url)
    evaluation = evaluations.judge(run_id, "gemma-judge")
    assert (evaluation.score, evaluations.verdict(evaluation)) == (1.0, "pass")
    assert evaluations.metrics(evaluation) == {
        "gemma-judge": 1.0,
        "correctness": 1.0,
        "safety": 1.0,
        "truncated": 0.0,
    }
    assert examiner.connections == 1
    again = evaluations.judge(run_id, "gemma-judge")
    assert again.scorecard == evaluation.scorecard
    assert len(examiner.requests) == 5, "what was graded is not graded again"
    failed = evaluations.judge(ended(fail_at=1), "gemma-judge")
    assert (failed.score, failed.verdict) == (0.0, "fail")
    assert len(examiner.requests) == 5, "there is nothing to be graded"


def test_a_stand_in_is_no_grade(counting_workspace: Workspace, ended: Callable[..., str]) -> None:
    run_id = ended()
    evaluations = counting_workspace.evaluations
    mock = evaluations.judge(run_id, "mock-judge")
    assert not mock.grade
    assert mock.score is not None
    assert 0.0 < mock.score < 1.0
    assert all(s.details["note"] == "mock: not a grade" for s in evaluations.scores(mock))
    assert evaluations.judge(run_id, "mock-judge").score == mock.score
    assert evaluations.leaderboard() == []
    assert len(evaluations.leaderboard("mock-judge")) == 1
    assert evaluations.judge(ended(fail_at=1), "mock-judge").score == 0.0
