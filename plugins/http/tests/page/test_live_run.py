"""A run, from the form that starts it to its end, as people see it in a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .browser import Tab

pytestmark = pytest.mark.full

PLUGIN = '''
from counting_trainer import CountingConfig, CountingTrainer
from tunix_core import hookimpl
from tunix_core.contributions import TrainerContribution


class Talking:
    """A reporter that prints every step."""

    def __init__(self, reporter):
        self._reporter = reporter

    def __getattr__(self, name):
        return getattr(self._reporter, name)

    def step(self, step, *figures):
        self.log(f"step {step} is taken")
        self._reporter.step(step, *figures)


class TalkingTrainer(CountingTrainer):
    def fit(self, job, reporter):
        return super().fit(job, Talking(reporter))


@hookimpl
def tunix_trainers():
    return [TrainerContribution(name="talking", summary="Counts, and says so",
                                factory=TalkingTrainer, config=CountingConfig)]
'''
POINTS = "(document.querySelector('.chart').data?.[0]?.x ?? []).length"
LOG = "document.querySelector('[data-log]')"
AT_END = f"{LOG}.scrollHeight - {LOG}.scrollTop - {LOG}.clientHeight < 40"


@pytest.fixture(scope="module")
def talking_server(
    start_server: Callable[..., AbstractContextManager[Any]],
    trainer_site: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A server with the dataset ``numbers-v1`` and a trainer that prints a line at every step."""
    site = tmp_path_factory.mktemp("talking")
    (site / "talking_trainer.py").write_text(PLUGIN)
    info = site / "talking_trainer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: talking-trainer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tunix_core]\ntalking = talking_trainer\n")
    path = os.pathsep.join([str(trainer_site), str(site)])
    folder = tmp_path_factory.mktemp("talking-server")
    with start_server(folder, environment={"PYTHONPATH": path}) as started:
        _store_numbers(started.client)
        yield started


@pytest.fixture
def tab(open_tab: Callable[[str], Tab], talking_server: Any) -> Tab:
    return open_tab(talking_server.url)


def test_a_run_is_started_watched_and_cancelled(tab: Tab) -> None:
    _start(tab, "steps=900\nstep_seconds=0.05")
    page = tab.page

    first = tab.until(POINTS)
    tab.until(f"{POINTS} > {first + 10}")
    progress = page.get_by_role("progressbar")
    assert 0 < float(progress.get_attribute("value") or 0) < 900
    assert "of 900, loss 0." in page.locator("[data-progress-text]").inner_text()
    assert page.locator("[data-last]").inner_text().startswith("loss")

    tab.until(f"{LOG}.scrollHeight > {LOG}.clientHeight + 100")
    assert tab.page.evaluate(AT_END)
    lines = page.locator("[data-log]").inner_text().splitlines()
    assert lines == [f"step {step} is taken" for step in range(1, len(lines) + 1)]

    page.get_by_role("button", name="Cancel").click()
    page.locator("[data-run-status][data-status=cancelled]").wait_for()
    page.get_by_role("heading", name="Outcome").wait_for()
    assert page.get_by_role("button", name="Cancel").count() == 0


def test_who_reads_further_up_in_the_log_is_left_there(tab: Tab) -> None:
    _start(tab, "steps=900\nstep_seconds=0.02")
    tab.until(f"{LOG}.scrollHeight > {LOG}.clientHeight + 200")

    before = tab.page.evaluate(f"{LOG}.scrollTop = 0, {LOG}.scrollHeight")
    tab.until(f"{LOG}.scrollHeight > {before + 100}")

    assert tab.page.evaluate(f"{LOG}.scrollTop") == 0
    tab.page.get_by_role("button", name="Cancel").click()
    tab.page.locator("[data-run-status][data-status=cancelled]").wait_for()


def test_a_run_that_ends_shows_its_outcome_without_being_asked(tab: Tab) -> None:
    _start(tab, "steps=30\nstep_seconds=0.05")

    tab.page.get_by_role("heading", name="Outcome").wait_for()

    assert tab.page.locator("[data-run-status]").get_attribute("data-status") == "completed"
    assert tab.until(f"{POINTS} === 30")
    assert "step 30 is taken" in tab.page.locator("[data-log]").inner_text()
    assert tab.page.get_by_role("link", name="model/answer.json").is_visible()


def test_a_form_that_is_refused_says_why_and_keeps_what_was_typed(tab: Tab) -> None:
    _start(tab, "steps=many", refused=True)
    tab.forgive(400)

    assert "steps: expected an integer" in tab.page.get_by_role("alert").inner_text()
    typed = tab.page.get_by_role("textbox", name="Settings of the trainer")
    assert typed.input_value() == "steps=many"


def test_a_curve_follows_the_colours_of_the_system(tab: Tab) -> None:
    _start(tab, "steps=20")
    tab.page.get_by_role("heading", name="Outcome").wait_for()
    tab.until(f"{POINTS} > 0")
    ink = "document.querySelector('.chart .xtick text').style.fill"
    tab.look_like(1280, "light")
    light = tab.until(ink)

    tab.look_like(1280, "dark")

    assert tab.until(f"{ink} !== {json.dumps(light)}")


def _start(tab: Tab, settings: str, *, refused: bool = False) -> None:
    tab.open("/")
    page = tab.page
    page.get_by_role("link", name="Start a run").click()
    page.get_by_role("combobox", name="Dataset", exact=True).select_option("numbers-v1")
    page.get_by_role("combobox", name="Trainer").select_option("talking-trainer/talking")
    page.get_by_role("textbox", name="Settings of the trainer").fill(settings)
    page.get_by_role("button", name="Start").click()
    if refused:
        page.get_by_role("alert").wait_for()
    else:
        page.wait_for_url("**/runs/*-*")


def _store_numbers(client: httpx2.Client) -> None:
    for number in range(9):
        trace = {
            "trace_version": "1.0",
            "prompt": f"What follows {number}?",
            "final_answer": str(number + 1),
            "steps": [{"i": 0, "type": "compute", "content": f"{number} + 1 = {number + 1}"}],
            "meta": {"source": "numbers"},
        }
        client.post("/api/traces", json=trace).raise_for_status()
    wanted = {"dataset_name": "numbers", "dataset_version": "v1"}
    client.post("/api/datasets/build", json=wanted).raise_for_status()
