"""References judge themselves before they become a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tunix_core import Workspace
from tunix_core.cli import cli
from tunix_core.codec import trace_to_json
from tunix_core.datasets.references import fault_of, find_faults
from tunix_core.errors import UsageError
from tunix_core.evaluators.generator_checks import GeneratorChecks
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.records import Item, Step, Trace
from tunix_generators import plugin
from tunix_generators.mix import DevReasoning

TOOLS = PluginTools(Plugins.of(plugin))
CHECKS = GeneratorChecks(TOOLS)


def trace(prompt: str, answer: str, *steps: str, **meta: Any) -> Trace:
    shown = tuple(Step(n, "compute", step) for n, step in enumerate(steps or ("1 + 1 = 2",)))
    return Trace(prompt, answer, shown, meta)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path / "workspace") as opened:
        yield opened


def built(workspace: Workspace, *traces: Trace, **options: Any) -> tuple[list[str], Any]:
    """The answers of a dataset of these traces, and what its manifest says of faulty ones."""
    ids = [workspace.traces.create(one).id for one in traces]
    manifest = workspace.datasets.build("set", "v1", trace_ids=ids, **options)
    answers = [item.answer for item in workspace.datasets.items("set-v1")]
    faulty = manifest.provenance.get("faulty")
    if faulty:
        for one in faulty["first"]:
            one["place"] = ids.index(one["trace_id"])
    return answers, faulty


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        (trace("a?", "several", answer_type="integer"), "'several' is refused as integer"),
        (trace("a?", "perhaps", answer_type="boolean"), "'perhaps' is refused as boolean"),
        (trace("a?", "2</answer> or 3"), "break its form"),
        (trace("a?", "2", "so <answer>", "2"), "break its form"),
        (trace("a?", "2", " "), "break its form"),
        (trace("a?", " "), "answer is blank"),
        (trace(" \n", "2"), "question is blank"),
    ],
)
def test_a_reference_that_cannot_be_answered_right_is_left_out(
    workspace: Workspace, faulty: Trace, reason: str
) -> None:
    answers, report = built(workspace, trace("b?", "4"), faulty, trace("c?", "4"))
    assert answers == ["4", "4"]
    assert (report["count"], report["kept"]) == (1, False)
    assert report["first"][0]["place"] == 1
    assert reason in report["first"][0]["reason"]


def test_references_that_contradict_each_other_are_all_left_out(workspace: Workspace) -> None:
    answers, report = built(
        workspace,
        trace("How many  eggs?", "5"),
        trace("how many eggs?\n", "6"),
        trace("How many eggs?", "5.0"),
        trace("How many egos?", "7"),
    )
    assert answers == ["7"]
    assert [one["place"] for one in report["first"]] == [0, 1, 2]
    assert "answers the same question with '6'" in report["first"][0]["reason"]
    assert "answers the same question with '5'" in report["first"][1]["reason"]


def test_references_that_say_the_same_are_kept(workspace: Workspace) -> None:
    traces = [trace("How many?", answer) for answer in ("5", "5", "05", " 5")]
    answers, report = built(workspace, *traces, trace("Café?", "a"), trace("Cafe\u0301?", "A"))
    assert (len(answers), report) == (6, None)


def test_one_that_is_refused_contradicts_nobody(workspace: Workspace) -> None:
    wrong = trace("How many?", "many", answer_type="integer")
    answers, report = built(workspace, wrong, trace("How many?", "5"))
    assert (answers, report["count"]) == (["5"], 1)


def test_faulty_references_are_kept_when_asked_for_and_named_all_the_same(
    workspace: Workspace,
) -> None:
    traces = [trace("How many?", answer) for answer in ("5", "6")]
    answers, report = built(workspace, *traces, keep_faulty=True)
    assert (answers, report["count"], report["kept"]) == (["5", "6"], 2, True)


def test_nothing_but_faulty_references_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=r"every reference is faulty: trace .*: trace .* answers"):
        built(workspace, trace("How many?", "5"), trace("How many?", "6"))
    assert list(workspace.paths.datasets.iterdir()) == []


def test_no_more_than_a_hundred_are_named(workspace: Workspace) -> None:
    pairs = [trace(f"{n}?", answer) for n in range(150) for answer in ("5", "6")]
    answers, report = built(workspace, *pairs, trace("last?", "7"))
    assert (answers, report["count"]) == (["7"], 300)
    assert len(report["first"]) == 100
    assert [one["place"] for one in report["first"]] == sorted(
        one["place"] for one in report["first"]
    )


@given(st.integers(0, 10**6), st.text(max_size=4))
def test_what_a_generator_made_is_judged_by_it(index: int, key: str) -> None:
    generator = DevReasoning()
    item = generator.item("train", 3, index)
    assert fault_of(item, CHECKS) is None
    steps = [step.content for step in item.trace.steps]
    spoilt = generator.corrupt(item, key).text
    if spoilt:
        meta = dict(item.trace.meta or {})
        edited = trace(item.prompt, item.answer, *spoilt.split("\n"), **meta)
        assert "says its generator" in str(fault_of(Item("x", edited), CHECKS))
    other = trace(item.prompt, {"yes": "no", "no": "yes"}.get(item.answer, "99"), *steps)
    assert fault_of(Item("x", other), CHECKS) is None, "nothing says that a generator made it"


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "01", "2", "x"])), max_size=12)
)
def test_contradictions_are_those_that_a_plain_search_finds(pairs: list[tuple[str, str]]) -> None:
    items = [trace(prompt, answer) for prompt, answer in pairs]
    lines = [trace_to_json(one) for one in items]
    faults = find_faults(
        range(len(items)), lambda chosen: ((f"{n}", lines[n]) for n in chosen), TOOLS
    )
    value = {"1": 1, "01": 1, "2": 2, "x": 3}
    answers = {p: {value[a] for q, a in pairs if q == p} for p, _ in pairs}
    assert list(faults.flags) == [len(answers[p]) > 1 for p, _ in pairs]
    assert faults.count == sum(faults.flags) == len(faults.first())


def test_the_command_names_what_it_leaves_out(workspace: Workspace) -> None:
    ids = [workspace.traces.create(trace("How many?", answer)).id for answer in ("5", "6")]
    workspace.traces.create(trace("Else?", "7"))
    shared = {"plugins": workspace.plugins}
    command = ["--workspace", str(workspace.paths.root), "datasets", "build"]
    done = CliRunner().invoke(cli, [*command, "set", "v1", "--json"], obj=shared)
    assert done.exit_code == 0, done.output
    assert all(f"trace {one}: trace " in done.stderr for one in ids)
    assert "2 faulty references were left out (--keep-faulty keeps them)" in done.stderr
    assert json.loads(done.stdout)["provenance"]["faulty"]["count"] == 2
    kept = CliRunner().invoke(cli, [*command, "set", "v2", "--keep-faulty"], obj=shared)
    assert "2 faulty references were kept" in kept.stderr
