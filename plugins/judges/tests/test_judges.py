"""Judges: graded by a RediAI that the test runs, or by none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tunix_judges.gemma import GemmaJudge, parse_grade
from tunix_judges.mock import MockJudge

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


class Examiner(ThreadingHTTPServer):
    """A RediAI that grades what it is sent, or says what it is told to say."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ExaminerHandler)
        self.connections = 0
        self.requests: list[dict[str, Any]] = []
        self.status = 200
        self.body: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class ExaminerHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: Examiner
    paths: ClassVar = {"/generate"}

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(asked)
        material = re.search(r"^\{.*?^\}$", asked["prompt"], re.DOTALL | re.MULTILINE)
        assert material is not None
        said = json.dumps(graded(json.loads(material.group())))
        body = self.server.body
        if body is None:
            body = json.dumps({"text": f"```json\n{said}\n```"})
        self.send_response(self.server.status if self.path in self.paths else 404)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def examiner_process() -> Iterator[Examiner]:
    with Examiner() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def examiner(examiner_process: Examiner) -> Examiner:
    examiner_process.status, examiner_process.body = 200, None
    examiner_process.connections = 0
    examiner_process.requests.clear()
    return examiner_process


class TestGemmaJudge(EvaluatorConformance):
    url: str

    @pytest.fixture(autouse=True)
    def _served(self, examiner: Examiner) -> None:
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


def test_the_shown_work_is_judged_over_one_connection(examiner: Examiner) -> None:
    judge = GemmaJudge(RediaiConfig("real", examiner.url + "/"))
    asked = item("How many?", "12")
    scores = [judge.score(asked, completion(str(n), "because {x}", "How many?")) for n in (12, 13)]
    assert [score.value for score in scores] == [1.0, 0.2]
    assert scores[1].details == {
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


def test_an_empty_answer_is_wrong_without_being_sent(examiner: Examiner) -> None:
    score = GemmaJudge(RediaiConfig("real", NOBODY)).score(
        item("q", "1"), Completion("item q", " \n")
    )
    assert (score.value, score.details["verdict"]) == (0.0, "fail")


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (503, "{}", "503"),
        (200, "<html>", "does not answer as RediAI does"),
        (200, '{"text": 7}', "does not answer as RediAI does"),
        (200, '["text"]', "does not answer as RediAI does"),
        (200, '{"text": "I would say 80."}', "gave no grade for item item q"),
        (200, '{"text": "{\\"score\\": 101, \\"verdict\\": \\"pass\\"}"}', "gave no grade"),
        (200, '{"text": "{\\"score\\": true}"}', "gave no grade"),
        (200, '{"text": "{\\"score\\": NaN}"}', "gave no grade"),
        (200, json.dumps({"text": "[" * 100_000}), "gave no grade"),
    ],
)
def test_nonsense_is_an_error_and_never_a_grade(
    examiner: Examiner, status: int, body: str, says: str
) -> None:
    examiner.status, examiner.body = status, body
    judge = GemmaJudge(RediaiConfig("real", examiner.url))
    with pytest.raises(TunixError, match=says):
        judge.score(item("q", "1"), completion("1", prompt="q"))


@pytest.mark.parametrize("url", [NOBODY, "http://", "http://[", "https://127.0.0.1:9/x y"])
def test_a_rediai_that_is_not_there_says_where_it_was_looked_for(url: str) -> None:
    with pytest.raises(TunixError, match="REDIAI_BASE_URL"):
        GemmaJudge(RediaiConfig("real", url)).score(item("q", "1"), completion("1", prompt="q"))


@given(
    score=st.integers(0, 100) | st.floats(0, 100),
    verdict=st.sampled_from(["pass", "fail", "uncertain", "maybe", None, ["pass"]]),
    reasoning=st.none() | st.text(max_size=3000),
    fence=st.sampled_from(["{}", "```json\n{}\n```", "```{}```", "So:\n```json\n{}\n``` ok?"]),
    figures=st.none() | st.dictionaries(st.sampled_from(["safety", "x"]), st.floats(0, 1)),
)
def test_a_grade_is_read_as_it_was_written(
    score: float, verdict: object, reasoning: str | None, fence: str, figures: Any
) -> None:
    said = {"score": score, "verdict": verdict, "reasoning": reasoning, "metrics": figures}
    if "```" in fence and "```" in (reasoning or ""):
        return
    grade = parse_grade(fence.replace("{}", json.dumps(said)), "item")
    assert grade.score == score
    assert grade.verdict == (verdict if verdict in ("pass", "fail") else "uncertain")
    assert grade.figures == {k: v for k, v in (figures or {}).items() if k == "safety"}
    assert len(grade.reasoning.encode()) <= 4 * 2000


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
    examiner: Examiner,
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
