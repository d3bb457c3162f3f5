"""What people do on the page, in a real browser: filter, read, compare, judge, check, tune."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .browser import Tab
from .conftest import PAGES, Filled

pytestmark = pytest.mark.full


@pytest.mark.parametrize("address", PAGES.values(), ids=PAGES.keys())
def test_every_page_opens_without_an_error(
    tab: Tab, names: Mapping[str, str], address: str
) -> None:
    tab.open(address.format(**names))

    assert tab.page.locator("h1").count() == 1
    assert tab.page.locator(".chart").count() == tab.page.locator(".chart svg.main-svg").count() / 3


def test_what_is_not_there_is_said_with_a_way_back(tab: Tab) -> None:
    tab.open("/runs/ffffffff")
    tab.forgive(404)

    assert "not found" in tab.page.locator("main").inner_text()
    tab.page.get_by_role("link", name="Runs").first.click()
    tab.page.get_by_role("heading", name="Runs", exact=True).wait_for()


def test_traces_are_filtered_and_read_step_by_step(
    tab: Tab, client: httpx2.Client, make_trace: Callable[..., dict[str, Any]]
) -> None:
    lines = ["2 + 3 = 5", "5 + 5 = 11", "so it is odd"]
    steps = [{"i": i, "type": "compute", "content": line} for i, line in enumerate(lines)]
    trace = make_trace(7, steps=steps, meta={"source": "read", "topic": "odd"})
    client.post("/api/traces", json=trace).raise_for_status()
    client.post("/api/traces", json=make_trace(8, meta={"source": "read"})).raise_for_status()
    tab.open("/traces")
    page = tab.page

    page.get_by_role("combobox", name="Source").select_option("read")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**source=read**")
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("textbox", name="Meta equals").fill("topic=odd")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**filter=topic**")
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="What follows 7?").click()

    badges = page.locator(".steps .badge")
    badges.first.wait_for()
    assert badges.all_inner_texts() == ["holds", "does not hold", "not checked"]
    assert page.locator("li[data-state=fails] .why").inner_text().endswith("5 + 5 = 11")


def test_two_chosen_traces_are_read_side_by_side(tab: Tab, filled: Filled) -> None:
    tab.open("/traces?source=numbers")
    page = tab.page

    for row in (0, 1):
        page.get_by_role("checkbox").nth(row).check()
    page.get_by_role("button", name="Compare two").click()

    page.get_by_role("heading", name="Compare two traces").wait_for()
    left, right = page.locator(".pair").first.locator("h2").all()
    box, other = left.bounding_box(), right.bounding_box()
    assert box is not None
    assert other is not None
    assert box["y"] == other["y"]
    assert box["x"] + box["width"] <= other["x"]


def test_a_file_of_traces_is_uploaded(tab: Tab, tmp_path: Path) -> None:
    trace = {"trace_version": "1.0", "prompt": "?", "final_answer": "1", "steps": []}
    step = {"i": 0, "type": "compute", "content": "0 + 1 = 1"}
    lines = [json.dumps({**trace, "steps": [step]}), "no trace"]
    (tmp_path / "two.jsonl").write_text("\n".join(lines))
    tab.open("/traces")

    tab.page.get_by_label("File of JSON lines").set_input_files(tmp_path / "two.jsonl")
    tab.page.get_by_role("button", name="Upload").click()

    said = tab.page.locator("form[data-action=upload] [data-mood=good]")
    assert said.inner_text() == "1 traces are stored, 1 lines rejected. Reload to see them."


def test_a_dataset_is_built_and_its_sample_rendered(tab: Tab, filled: Filled) -> None:
    tab.open("/datasets")
    page = tab.page

    form = page.locator("form[data-action=build]")
    form.get_by_role("textbox", name="Name").fill("clicked")
    form.get_by_role("textbox", name="Version").fill("v1")
    form.get_by_role("textbox", name="Meta equals").fill("source=numbers")
    form.get_by_role("button", name="Build").click()

    page.get_by_role("heading", name="clicked-v1").wait_for()
    assert page.locator("dd", has_text="20").first.is_visible()
    assert "<reasoning>" in page.locator("main").inner_text()
    page.get_by_role("link", name="gemma chat").click()
    page.wait_for_url("**template=gemma_chat**")
    assert "<start_of_turn>" in page.locator("main").inner_text()


def test_two_chosen_runs_are_overlaid(tab: Tab, filled: Filled) -> None:
    tab.open("/runs?status=completed&limit=100")
    page = tab.page

    for run in filled.runs:
        page.get_by_role("checkbox", name=f"Compare run {run[:8]}").check()
    page.get_by_role("button", name="Compare the chosen").click()

    page.get_by_role("heading", name="Compare runs").wait_for()
    curves = tab.until("document.querySelector('.chart').data?.map((curve) => curve.x.length)")
    assert sorted(curves) == [12, 30]
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="steps"))
    assert sorted(row.first.get_by_role("cell").all_inner_texts()) == ["12", "30"]
    legend = page.locator(".legendtext").all_text_contents()
    assert sorted(text[:8] for text in legend) == sorted(run[:8] for run in filled.runs)


def test_a_run_is_judged_and_a_wrong_item_read(tab: Tab, filled: Filled) -> None:
    tab.open(f"/runs/{filled.runs[0]}")
    page = tab.page
    page.get_by_role("button", name="Evaluate").click()
    page.get_by_role("heading", name="Answer correctness").wait_for()

    page.get_by_role("navigation", name="Which items").get_by_text("wrong 19").click()
    page.wait_for_url("**show=wrong**")
    page.locator("#items").wait_for()
    page.locator("td[data-label=Item] a").first.click()

    page.get_by_role("heading", name="What the model wrote").wait_for()
    said = page.locator("section[aria-labelledby=said]")
    assert said.locator(".badge").all_inner_texts() == ["not checked"]
    assert said.locator(".answer").get_attribute("data-state") == "fails"
    expected = page.locator("section[aria-labelledby=reference]")
    assert set(expected.locator(".badge").all_inner_texts()) == {"holds"}
    before = page.url
    page.get_by_role("link", name="After →").click()
    page.wait_for_url(lambda url: url != before and "/items/" in url)


def test_the_leaderboard_shows_intervals_and_is_filtered(tab: Tab, filled: Filled) -> None:
    tab.open("/evaluations")
    page = tab.page
    scores = [float(text) for text in page.locator("tbody .estimate b").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert page.get_by_role("img", name="95 % interval").count() == len(scores) >= 2

    page.get_by_role("textbox", name="Model holds").fill("no such model")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Nothing is judged like this.").wait_for()


def test_a_baseline_is_set_and_a_run_held_against_it(tab: Tab, filled: Filled) -> None:
    tab.open("/regressions")
    page = tab.page
    form = page.locator("form[data-action=baseline]")
    form.get_by_role("textbox", name="Name").fill("clicked")
    form.get_by_role("combobox", name="Run").select_option(filled.runs[0])
    form.get_by_role("button", name="Set").click()
    page.wait_for_url("**baseline=clicked**")

    check = page.locator("form[action='/regressions']")
    assert check.get_by_role("combobox", name="Baseline").input_value() == "clicked"
    check.get_by_role("combobox", name="Run").select_option(filled.runs[0])
    check.get_by_role("button", name="Check").click()

    page.get_by_text("No regression.").wait_for()


def test_a_tuning_job_is_created_started_and_done(tab: Tab, filled: Filled) -> None:
    tab.open("/tuning")
    page = tab.page
    fields = {"Name": "clicked", "Model": "x", "Metric": "loss"}
    for name, text in fields.items():
        page.get_by_role("textbox", name=name, exact=True).fill(text)
    page.get_by_role("combobox", name="Dataset").select_option(filled.dataset)
    page.get_by_role("combobox", name="Better is").select_option("min")
    page.get_by_role("spinbutton", name="Trials").fill("3")
    space = {"steps": {"type": "choice", "values": [3, 5, 9]}}
    page.get_by_role("textbox", name="Search space").fill(json.dumps(space))
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="clicked").wait_for()

    page.get_by_role("button", name="Start").click()

    page.locator("h1 + .badge[data-status=completed]").wait_for()
    assert page.locator("#trials ~ table tbody tr").count() == 3
    assert tab.until("document.querySelector('.chart').data?.[0].x") == [1, 2, 3]
    assert page.get_by_role("heading", name="Best").is_visible()


def test_a_model_is_created_promoted_to_and_downloaded(tab: Tab, filled: Filled) -> None:
    tab.open("/models")
    page = tab.page
    form = page.locator("form[data-action=model]")
    form.get_by_role("textbox", name="Name").fill(filled.model)
    form.get_by_role("button", name="Create").click()
    page.locator("form[data-action=model] [data-mood=bad]", has_text="exists already").wait_for()
    tab.forgive(409)
    form.get_by_role("textbox", name="Name").fill("clicked")
    form.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="clicked").wait_for()

    page.get_by_role("combobox", name="Run").select_option(filled.runs[1])
    page.get_by_role("button", name="Promote").click()
    page.get_by_role("heading", name="v1").wait_for()

    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    assert started.value.path().read_bytes().startswith(b"PK")


def test_plugins_are_listed_with_their_state(tab: Tab) -> None:
    tab.open("/plugins")
    row = tab.page.get_by_role("row", name="counting-trainer")

    assert row.locator(".badge").inner_text() == "active"
    assert "trainer counting" in row.inner_text()


def test_an_operation_of_the_documentation_opens(tab: Tab) -> None:
    tab.open("/docs#createTrace")
    operation = tab.page.locator("#createTrace")
    assert operation.evaluate("(one) => Math.abs(one.getBoundingClientRect().top) < 200")

    operation.get_by_text("Request and answers").click()
    operation.get_by_role("link", name="ReasoningTrace").first.click()

    tab.page.wait_for_url("**#schema-ReasoningTrace")
    assert tab.page.locator("#schema-ReasoningTrace").is_visible()
