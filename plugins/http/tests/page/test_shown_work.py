"""Steps with their verdicts, and text that stays text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.codec import unstructure
from tunix_core.evaluation.shown_steps import ShownSteps
from tunix_core.plugins import Plugins
from tunix_core.records import Item, Step, Trace
from tunix_generators.mix import DevReasoning

from .conftest import PageReader

ReadPage = Callable[[httpx2.Response], PageReader]

MARKUP = "</span><script>alert(1)</script><img src=x onerror=alert(1)> & \"'{{ 7 * 7 }}"


def stored(client: httpx2.Client, trace: dict[str, Any]) -> str:
    answer = client.post("/api/traces", json=trace)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def states(client: httpx2.Client, trace_id: str) -> list[str]:
    shown = client.get(f"/traces/{trace_id}.json").json()["steps"]
    return [step["state"] for step in shown]


def test_a_step_holds_fails_or_cannot_be_checked(
    client: httpx2.Client, make_trace: Callable[..., dict[str, Any]]
) -> None:
    lines = ["2 + 3 = 5", "2 + 3 = 6", "so it is odd", "2 * 4 = 8 and 8 - 1 = 6"]
    shown = [{"i": i, "type": "compute", "content": line} for i, line in enumerate(lines)]

    trace_id = stored(client, make_trace(1, steps=shown))

    assert states(client, trace_id) == ["holds", "fails", "unchecked", "fails"]


def test_the_generator_that_made_a_trace_judges_its_steps(client: httpx2.Client) -> None:
    generator = DevReasoning()
    good = generator.item("test", 1, 4)
    spoilt = generator.corrupt(good, "page")

    whole = unstructure(good.trace)
    lines = spoilt.text.split("\n")
    kinds = [{"i": i, "type": "compute", "content": line} for i, line in enumerate(lines)]

    assert set(states(client, stored(client, whole))) == {"holds"}
    found = states(client, stored(client, {**whole, "steps": kinds}))
    # A line that was dropped is shown by what is missing; then the lines are checked alone.
    assert "fails" in found or len(lines) != len(good.trace.steps)


def test_a_trace_with_a_false_origin_is_checked_by_itself(client: httpx2.Client) -> None:
    trace = {
        "prompt": "?",
        "final_answer": "5",
        "steps": [{"i": 0, "type": "compute", "content": "2 + 3 = 5"}],
        "meta": {"source": "dev-reasoning-v1", "version": [], "index": "x"},
        "trace_version": "1.0",
    }

    assert states(client, stored(client, trace)) == ["holds"]


def test_reasoning_that_was_cut_off_is_judged_line_by_line() -> None:
    item = DevReasoning().item("test", 1, 4)
    first, *rest = [step.content for step in item.trace.steps]

    shown = ShownSteps(Plugins.discover()).of_completion(item, f"<reasoning>{first}")

    assert shown[0].state == "holds"
    assert [step.state for step in shown[1:]] == ["fails"] * len(rest)


def test_markup_in_what_is_stored_is_shown_and_does_nothing(
    client: httpx2.Client, read_page: ReadPage
) -> None:
    trace = {
        "prompt": MARKUP,
        "final_answer": MARKUP,
        "steps": [{"i": 0, "type": MARKUP[:64], "content": MARKUP}],
        "meta": {"source": MARKUP, MARKUP: {"inner": MARKUP}},
        "trace_version": "1.0",
    }
    trace_id = stored(client, trace)
    pages = ["/traces", f"/traces/{trace_id}", f"/traces/compare?base={trace_id}&other={trace_id}"]

    for path in pages:
        page = read_page(client.get(path))
        assert " ".join(MARKUP.split()) in page.text
        assert [tag for tag, _ in page.attributes].count("script") == 1
        assert page.found("onerror") == []


def test_markup_in_an_address_is_shown_and_does_nothing(
    client: httpx2.Client, read_page: ReadPage
) -> None:
    for path in ("/runs", "/evaluations", "/traces", "/regressions", "/runs/new"):
        fields = ("dataset", "model", "filter", "baseline", "settings")
        answer = client.get(path, params=dict.fromkeys(fields, f"a={MARKUP}"))
        assert [tag for tag, _ in read_page(answer).attributes].count("script") == 1


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=5), st.text(max_size=80))
def test_any_text_has_a_verdict_for_each_of_its_lines(lines: list[str], said: str) -> None:
    trace = Trace("?", "a", tuple(Step(i, "t", line) for i, line in enumerate(lines)))
    steps = ShownSteps(Plugins.of())

    shown = steps.of_trace(Item("x", trace))
    assert [step.text for step in shown] == lines
    assert all(step.reason for step in steps.of_completion(Item("x", trace), said))
    json.dumps(unstructure(shown))
