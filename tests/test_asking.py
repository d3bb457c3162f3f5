"""What stands before a question: a system prompt and worked examples, kept with the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.cli import cli
from tunix_core.errors import ConflictError, UsageError
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Run, Step, Trace
from tunix_core.rendering import TEMPLATES, render, render_prompt

EXAMPLE = Trace("1 + 1?", "2", (Step(0, "compute", "1 + 1 = 2"),), {"family": "sums"})
QUESTION = Trace("2 + 2?", "4", (Step(0, "compute", "2 + 2 = 4"),))


@pytest.fixture
def workspace(counting_workspace: Workspace, tmp_path: Path) -> Workspace:
    """As the counting workspace, with ``more-v1``, whose first 20 questions are the same."""
    file = write_traces(tmp_path / "more.jsonl", 30)
    report = counting_workspace.traces.import_file(file, source="more")
    counting_workspace.datasets.build("more", "v1", import_id=report.import_id)
    return counting_workspace


def ended(workspace: Workspace, **settings: Any) -> Run:
    run = workspace.runs.create("numbers-v1", "counting", {"steps": 3, "echo": True, **settings})
    return workspace.worker().execute(run.id)


def command(workspace: Workspace, *arguments: str) -> Any:
    root = ["--workspace", str(workspace.paths.root)]
    return CliRunner().invoke(cli, [*root, *arguments], obj={"plugins": workspace.plugins})


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_question_alone_is_asked_as_it_is_trained(template: str) -> None:
    assert render_prompt(QUESTION, template) == render(QUESTION, template).prompt


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            "show_your_work",
            "Be brief.\n\n1 + 1?\n<reasoning>1 + 1 = 2</reasoning>\n<answer>2</answer>\n\n2 + 2?\n",
        ),
        (
            "gemma_chat",
            "<start_of_turn>user\nBe brief.\n\n1 + 1?\nReasoning:\n1. 1 + 1 = 2\nAnswer: 2\n\n"
            "2 + 2?<end_of_turn>\n<start_of_turn>model\n",
        ),
    ],
)
def test_all_stands_in_one_turn(template: str, text: str) -> None:
    assert render_prompt(QUESTION, template, "Be brief.", [EXAMPLE]) == text


def test_what_is_too_long_to_be_asked_is_refused() -> None:
    long = evolve(EXAMPLE, prompt="x" * 30_000)
    with pytest.raises(UsageError, match=r"60,\d+ characters, more than 50,000"):
        render_prompt(QUESTION, examples=[long, long])


def test_examples_are_never_questions_of_the_test(workspace: Workspace) -> None:
    examples = workspace.datasets.examples("more-v1", 2, apart_from="numbers-v1")
    assert [e.prompt for e in examples] == ["What follows 29?", "What follows 28?"]
    with pytest.raises(UsageError, match="has 10 questions that are not in numbers-v1; 11"):
        workspace.datasets.examples("more-v1", 11, apart_from="numbers-v1")


def test_the_model_is_asked_so_and_the_answers_say_it(workspace: Workspace) -> None:
    run = ended(workspace)
    examples = workspace.datasets.examples("more-v1", 2, apart_from="numbers-v1")
    asked = GenerationConfig(system_prompt="Be brief.", examples=examples)
    first = workspace.predictions.create(run.id, "numbers-v1", asked).completions[0].text
    assert first.startswith("<reasoning>Be brief.\n\nWhat follows 29?\n<reasoning>29 + 1")
    assert first.count("<answer>") == 3
    assert "\n\nWhat follows 19?\n</reasoning>" in first
    (evaluation,) = workspace.evaluations.run(run.id, "numbers-v1", ["answer_correctness"])
    assert evaluation.basis is not None
    assert evaluation.basis.generation is not None
    assert evaluation.basis.generation["system_prompt"] == "Be brief."
    assert [e["prompt"] for e in evaluation.basis.generation["examples"]] == [
        "What follows 29?",
        "What follows 28?",
    ]
    assert workspace.predictions.create(run.id, "numbers-v1", asked).basis is not None
    for other in (GenerationConfig(), evolve(asked, examples=examples[:1])):
        with pytest.raises(ConflictError, match="with another generation config"):
            workspace.predictions.create(run.id, "numbers-v1", other)


def test_runs_that_were_asked_otherwise_are_ranked_apart(workspace: Workspace) -> None:
    place = ["--dataset", "numbers-v1", "-e", "answer_correctness"]
    for steps, options in (
        (3, []),
        (4, ["--fewshot", "2", "more-v1", "--system-prompt", "Be brief."]),
    ):
        done = command(workspace, "eval", "run", ended(workspace, steps=steps).id, *place, *options)
        assert done.exit_code == 0, done.output
    shown = command(workspace, "eval", "leaderboard").stdout
    groups = [line for line in shown.splitlines() if line.startswith("numbers-v1: ")]
    assert len(groups) == 2
    assert sum("greedy system prompt " in group and " 2-shot " in group for group in groups) == 1
