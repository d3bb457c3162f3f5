"""The page and ``client.js`` in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .browser import Browser
from .conftest import Filled

pytestmark = pytest.mark.full

CORE = ("fetchJSON", "getApiHealth", "createTrace", "getTrace", "listRuns", "streamRunLogs")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(tab: Browser) -> Browser:
    tab.problems.clear()
    tab.look_like(1280, "light")
    return tab


@pytest.fixture
def ask_client(browser: Browser, server: Any) -> Callable[[str], Any]:
    """``ask_client(script)``: the value of an expression in which ``client`` is the module."""
    browser.open(f"{server.url}/docs")

    def ask(script: str) -> Any:
        return browser.run(f"import('/static/client.js').then(async (client) => {script})")

    return ask


def test_the_core_exports_are_there(ask_client: Callable[[str], Any]) -> None:
    kinds = ask_client("Object.fromEntries(Object.entries(client).map(([k, v]) => [k, typeof v]))")

    assert set(kinds.values()) == {"function"}
    assert set(CORE) <= set(kinds)


def test_the_core_exports_work(
    ask_client: Callable[[str], Any], make_trace: Callable[..., dict[str, Any]]
) -> None:
    trace = json.dumps(make_trace(41))

    assert ask_client("client.getApiHealth()") == {"status": "healthy"}
    assert ask_client("client.fetchJSON('/api/health')") == {"status": "healthy"}
    made = ask_client(f"client.createTrace({trace})")
    read = ask_client(f"client.getTrace('{made['id']}')")
    assert read["payload"]["final_answer"] == "42"
    listed = ask_client("client.listTraces({ limit: 1, offset: null })")
    assert [row["id"] for row in listed["data"]] == [made["id"]]


def test_a_refusal_is_an_error_with_its_status_and_detail(ask_client: Callable[[str], Any]) -> None:
    caught = "(e) => [e.name, e.status, e.message, Array.isArray(e.detail), e instanceof Error]"

    name, status, message, is_list, is_error = ask_client(
        f"client.getTrace('00000000-0000-4000-8000-000000000000').catch({caught})"
    )
    assert (name, status, is_list, is_error) == ("ApiError", 404, False, True)
    assert "not found" in message

    name, status, message, is_list, _ = ask_client(f"client.createTrace({{}}).catch({caught})")
    assert (name, status, is_list) == ("ApiError", 422, True)
    assert "prompt: " in message


def test_a_log_is_streamed_to_its_end(ask_client: Callable[[str], Any], filled: Filled) -> None:
    events = ask_client(
        "new Promise((done) => { const seen = [];"
        f" client.streamRunLogs('{filled.runs[0]}', {{ log: (e) => seen.push(e.seq),"
        " status: (e) => done([seen, e.status]) }); })"
    )

    assert events[1] == "completed"
    assert events[0] == sorted(events[0])


def test_a_run_is_started_watched_and_cancelled_on_the_page(
    browser: Browser, server: Any, numbers_dataset: str
) -> None:
    browser.open(
        f"{server.url}/runs/new?dataset={numbers_dataset}&trainer=counting-trainer/counting"
    )
    browser.run("document.querySelector('[name=settings]').value = 'steps=900\\nstep_seconds=0.05'")
    browser.run("document.querySelector('form[method=post] button').click()")
    browser.wait_for("document.querySelector('[data-live-run]') !== null")

    points = "(document.querySelector('.chart')?.data?.[0]?.x ?? []).length"
    first = browser.wait_for(points)
    browser.wait_for(f"{points} > {first + 10}")
    assert browser.run("document.querySelector('[data-progress]').value") > 0
    assert "of 900" in browser.run("document.querySelector('[data-progress-text]').textContent")

    browser.run("document.querySelector('form[data-action=cancel] button').click()")
    browser.wait_for("document.querySelector('[data-run-status]')?.dataset.status === 'cancelled'")
    browser.wait_for("document.querySelector('[data-live-run]') === null")
    assert browser.problems == []


def test_a_form_acts_and_goes_where_its_outcome_is(
    browser: Browser, server: Any, filled: Filled
) -> None:
    browser.open(f"{server.url}/runs/{filled.runs[1]}")
    browser.run("document.querySelector('form[data-action=evaluate] button').click()")
    browser.wait_for("location.pathname.startsWith('/evaluations/')")
    browser.wait_for("document.querySelector('h1').textContent === 'Answer correctness'")

    browser.open(f"{server.url}/models")
    browser.run("document.querySelector('[data-action=model] [name=name]').value = 'counting'")
    browser.run("document.querySelector('[data-action=model] button').click()")
    said = "document.querySelector('[data-action=model] [data-mood=bad]')?.textContent"
    assert "exists already" in browser.wait_for(said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone_or_reports_an_error(
    browser: Browser, server: Any, filled: Filled, scheme: str
) -> None:
    paths = [
        "/",
        "/traces",
        f"/traces/{filled.traces[0]}",
        f"/traces/compare?base={filled.traces[0]}&other={filled.traces[1]}",
        f"/datasets/{filled.dataset}",
        "/runs",
        "/runs/new",
        f"/runs/{filled.runs[0]}",
        f"/runs/compare?run={filled.runs[0]}&run={filled.runs[1]}",
        "/evaluations",
        f"/evaluations/{filled.evaluation}",
        f"/evaluations/{filled.evaluation}/items/{filled.item}",
        f"/regressions?baseline={filled.baseline}&run={filled.runs[1]}",
        f"/tuning/{filled.job}",
        f"/models/{filled.model}",
        "/plugins",
        "/docs",
    ]
    browser.look_like(360, scheme)
    for path in paths:
        browser.open(server.url + path)
        browser.wait_for("[...document.querySelectorAll('.chart')].every((c) => c.data)")
        root = "document.documentElement"
        assert browser.run(f"{root}.scrollWidth - {root}.clientWidth") == 0, path
    assert browser.problems == []


def test_text_stands_out_from_what_is_behind_it_in_both_schemes(
    browser: Browser, server: Any
) -> None:
    for scheme in ("light", "dark"):
        browser.look_like(1280, scheme)
        browser.open(server.url)
        style = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"
        colour = {
            name: browser.run(style.format(name))
            for name in ("ground", "surface", "ink", "muted", "accent", "good", "bad", "warn")
        }
        for text in ("ink", "muted", "accent", "good", "bad", "warn"):
            assert contrast(colour[text], colour["surface"]) >= 4.5, (scheme, text)
            assert contrast(colour[text], colour["ground"]) >= 4.5, (scheme, text)


def test_the_keyboard_reaches_the_content_first(browser: Browser, server: Any) -> None:
    browser.open(f"{server.url}/runs")
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().top >= 0")
    browser.press("Enter", 13)
    browser.run("document.activeElement.click()")
    browser.wait_for("document.activeElement.id === 'content'")


def contrast(one: str, other: str) -> float:
    """Ratio of two colours ``#rrggbb`` by WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
