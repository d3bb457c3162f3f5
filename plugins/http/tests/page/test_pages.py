"""Every page: sound as HTML, the same as JSON, and honest about what is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from .conftest import PAGES, Filled, PageReader

ReadPage = Callable[[httpx2.Response], PageReader]


@pytest.mark.parametrize("address", PAGES.values(), ids=PAGES.keys())
def test_every_page_is_sound_html(
    client: httpx2.Client, read_page: ReadPage, names: Mapping[str, str], address: str
) -> None:
    answer = client.get(address.format(**names))

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = read_page(answer)
    assert "Skip to the content" in page.text
    assert [value for value in page.found("aria-current") if value == "page"] == ["page"]


@pytest.mark.parametrize("address", PAGES.values(), ids=PAGES.keys())
def test_every_page_names_its_json_which_is_strict(
    client: httpx2.Client, read_page: ReadPage, names: Mapping[str, str], address: str
) -> None:
    page = read_page(client.get(address.format(**names)))
    (where,) = [held["href"] for _, held in page.attributes if held.get("id") == "page-data"]

    answer = client.get(where or "")

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    json.loads(answer.text, parse_constant=pytest.fail)


@pytest.mark.parametrize("address", PAGES.values(), ids=PAGES.keys())
def test_every_page_keeps_to_its_content_security_policy(
    client: httpx2.Client, read_page: ReadPage, names: Mapping[str, str], address: str
) -> None:
    answer = client.get(address.format(**names))
    page = read_page(answer)

    assert "script-src 'self'" in answer.headers["content-security-policy"]
    scripts = [held for tag, held in page.attributes if tag == "script"]
    assert all((held.get("src") or "").startswith("/static/") for held in scripts)
    assert not [name for _, held in page.attributes for name in held if name.startswith("on")]
    links = page.found("href") + page.found("src") + page.found("action")
    assert not [link for link in links if re.match(r"[a-z]+:|//", link)]


@pytest.mark.parametrize("address", PAGES.values(), ids=PAGES.keys())
def test_every_link_of_a_page_leads_somewhere(
    client: httpx2.Client, read_page: ReadPage, names: Mapping[str, str], address: str
) -> None:
    path = address.format(**names)
    page = read_page(client.get(path))

    for link in sorted(set(page.found("href"))):
        target = httpx2.URL("http://page" + path).join(link.partition("#")[0] or path)
        answer = client.get(target.raw_path.decode())
        assert answer.status_code == 200, f"{link}: {answer.status_code}"
        fragment = link.partition("#")[2]
        if fragment:
            assert f'id="{fragment}"' in answer.text, link


@pytest.mark.parametrize(
    "address",
    [
        "/traces/nope",
        "/traces/compare?base=nope&other=nope",
        "/datasets/nope",
        "/runs/ffffffff",
        "/runs/compare?run=ffffffff",
        "/evaluations/nope",
        "/evaluations/{evaluation}/items/nope",
        "/regressions?baseline=nope&run={run}",
        "/tuning/nope",
        "/models/nope",
    ],
)
def test_what_is_not_there_is_said_on_a_page_and_in_json(
    client: httpx2.Client, read_page: ReadPage, names: Mapping[str, str], address: str
) -> None:
    path, _, query = address.format(**names).partition("?")

    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 404
    assert "not found" in read_page(answer).text or "has no item" in read_page(answer).text

    data = client.get(f"{path}.json?{query}")
    assert data.status_code == 404
    assert "nope" in data.json()["detail"] or "ffffffff" in data.json()["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/traces?limit=0",
        "/traces?offset=-1",
        "/traces?offset=x",
        "/traces?limit=" + "9" * 5000,
        "/traces?filter=family",
        "/traces?filter=family%3Da+family%3Db",
        "/traces/compare?trace=a&trace=b&trace=c",
        "/runs?limit=1000",
        "/datasets/{dataset}?template=nope",
        "/datasets/{dataset}?sample=20",
        "/evaluations?evaluator=nope",
        "/evaluations/{evaluation}?show=some",
        "/runs/{run}?log=2",
    ],
)
def test_an_address_that_cannot_be_read_is_refused(
    client: httpx2.Client, read_page: ReadPage, names: Mapping[str, str], address: str
) -> None:
    answer = client.get(address.format(**names))

    assert answer.status_code == 400
    assert "cannot be read" in read_page(answer).text


def test_the_parts_of_a_list_are_all_of_it_and_none_twice(
    client: httpx2.Client, filled: Filled
) -> None:
    address: str | None = "?source=numbers&limit=7"
    seen: list[str] = []
    while address is not None:
        part = client.get("/traces.json" + address).json()
        seen += [trace["id"] for trace in part["traces"]]
        address = part["window"]["following"]

    assert len(seen) == len(set(seen)) == 20


def test_boxes_in_the_list_choose_what_is_compared(client: httpx2.Client, filled: Filled) -> None:
    one, other = filled.traces
    chosen = client.get(f"/traces/compare.json?trace={one}&trace={other}").json()

    assert [side["trace"]["id"] for side in chosen["sides"]] == [one, other]
    assert chosen == client.get(f"/traces/compare.json?base={one}&other={other}").json()


def test_the_filter_of_traces_is_in_the_address(client: httpx2.Client, filled: Filled) -> None:
    found = client.get("/traces.json?source=numbers&filter=topic%3D1&limit=100").json()

    assert found["filters"] == {"source": "numbers", "topic": 1}
    assert len(found["traces"]) == 7


def test_the_curves_of_a_run_are_its_metrics(client: httpx2.Client, filled: Filled) -> None:
    run = filled.runs[1]
    recorded = client.get(f"/api/tunix/runs/{run}/metrics").json()

    shown = client.get(f"/runs/{run}.json").json()

    (curve,) = shown["figures"]["loss"]["data"]
    assert curve["x"] == [line["step"] for line in recorded] == list(range(1, 31))
    assert curve["y"] == [line["loss"] for line in recorded]
    assert shown["progress"]["step"] == shown["progress"]["total_steps"] == 30
    assert shown["active"] is False


def test_runs_are_overlaid_with_what_differs(client: httpx2.Client, filled: Filled) -> None:
    one, other = filled.runs
    shown = client.get(f"/runs/compare.json?run={one}&run={other}").json()

    assert [len(curve["x"]) for curve in shown["figure"]["data"]] == [12, 30]
    assert shown["table"]["steps"] == [12, 30]
    assert "fail_at" not in shown["table"]


def test_wrong_items_are_told_from_right_ones(client: httpx2.Client, filled: Filled) -> None:
    address = f"/evaluations/{filled.evaluation}.json?limit=100"
    every, wrong = (client.get(address + show).json() for show in ("", "&show=wrong"))

    assert every["total"] == len(every["items"]) == 20
    assert every["wrong"] == len(wrong["items"]) == 19
    assert all(row["score"]["value"] == 0 for row in wrong["items"])


def test_the_items_are_a_chain(client: httpx2.Client, filled: Filled) -> None:
    base = f"/evaluations/{filled.evaluation}/items"
    item_id: str | None = filled.item
    seen: list[str] = []
    while item_id is not None:
        seen.append(item_id)
        item_id = client.get(f"{base}/{item_id}.json").json()["following"]

    assert len(set(seen)) == 20


def test_a_check_says_what_the_api_says(
    client: httpx2.Client, read_page: ReadPage, filled: Filled
) -> None:
    body = {"run_id": filled.runs[1], "baseline_name": filled.baseline}
    said = client.post("/api/regression/check", json=body).json()

    address = f"?baseline={filled.baseline}&run={filled.runs[1]}"
    shown = client.get("/regressions.json" + address).json()["check"]

    assert shown["metric"]["verdict"] == said["verdict"]
    assert shown["metric"]["delta"] == said["delta"]
    assert shown["regressed"] == (said["verdict"] == "fail")
    assert "egress" in read_page(client.get("/regressions" + address)).text


def test_what_got_worse_is_named_by_its_question(client: httpx2.Client, filled: Filled) -> None:
    wanted = {
        "dataset_key": filled.dataset,
        "model_id": "x",
        "dry_run": False,
        "settings": {"steps": 1},
        "seed": 5,
    }
    run = client.post("/api/tunix/run", json=wanted).json()["run_id"]
    client.post(f"/api/tunix/runs/{run}/evaluate", json={}).raise_for_status()
    items = client.get(f"/evaluations/{filled.evaluation}.json?limit=100").json()["items"]
    (right,) = [row["prompt"] for row in items if row["score"]["value"] == 1]

    address = f"/regressions.json?baseline={filled.baseline}&run={run}"
    check = client.get(address).json()["check"]

    assert [row["prompt"] for row in check["regressions"]] == [right]
    assert right in client.get(address.replace(".json", "")).text


def test_the_answer_of_an_item_is_what_was_judged(client: httpx2.Client, filled: Filled) -> None:
    shown = client.get(f"/evaluations/{filled.evaluation}/items/{filled.item}.json").json()

    (said,) = shown["completions"]
    assert said["answer"] == shown["score"]["details"]["answer"]


def test_what_goes_on_is_not_told_twice(
    client: httpx2.Client, filled: Filled, numbers_dataset: str
) -> None:
    body = {
        "dataset_key": numbers_dataset,
        "model_id": "x",
        "dry_run": False,
        "settings": {"steps": 900, "step_seconds": 0.1},
    }
    run = client.post("/api/tunix/run?mode=async", json=body).json()["run_id"]

    shown = client.get("/index.json").json()
    client.post(f"/api/tunix/runs/{run}/cancel").raise_for_status()

    assert run in {row["id"] for row in shown["active"]}
    assert run not in {row["id"] for row in shown["newest"]}
    assert {row["status"] for row in shown["newest"]} & {"completed"}


def test_the_documentation_names_every_operation(
    client: httpx2.Client, read_page: ReadPage
) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json()
    operations = [held for methods in document["paths"].values() for held in methods.values()]

    page = read_page(client.get("/docs"))

    assert {operation["operationId"] for operation in operations} <= set(page.found("id"))
    schemas = {f"schema-{name}" for name in document["components"]["schemas"]}
    assert schemas <= set(page.found("id"))
