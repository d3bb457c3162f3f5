"""A server with one of everything on it, and a reader of its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from attrs import define, field, frozen

from .browser import WAIT_S, Tab, chromium

VOID = frozenset({"br", "circle", "hr", "img", "input", "line", "link", "meta"})
CONTROLS = frozenset({"input", "select", "textarea"})
PAGES: dict[str, str] = {
    "overview": "/",
    "traces": "/traces",
    "filtered traces": "/traces?source=numbers&filter=topic%3D1",
    "trace": "/traces/{trace}",
    "compared traces": "/traces/compare?base={trace}&other={other_trace}",
    "chosen traces": "/traces/compare?trace={trace}&trace={other_trace}",
    "traces to compare": "/traces/compare",
    "datasets": "/datasets",
    "dataset": "/datasets/{dataset}",
    "rendered otherwise": "/datasets/{dataset}?template=gemma_chat&sample=3",
    "runs": "/runs",
    "filtered runs": "/runs?status=completed&dataset={dataset}",
    "start a run": "/runs/new",
    "run": "/runs/{run}",
    "compared runs": "/runs/compare?run={run}&run={other_run}",
    "runs to compare": "/runs/compare",
    "leaderboard": "/evaluations",
    "all grades": "/evaluations?evaluator=all+grades",
    "evaluation": "/evaluations/{evaluation}",
    "wrong items": "/evaluations/{evaluation}?show=wrong&limit=5",
    "item": "/evaluations/{evaluation}/items/{item}",
    "regressions": "/regressions",
    "check": "/regressions?baseline={baseline}&run={other_run}",
    "tuning": "/tuning",
    "tuning job": "/tuning/{job}",
    "models": "/models",
    "model": "/models/{model}",
    "plugins": "/plugins",
    "docs": "/docs",
}


@frozen
class Filled:
    """Ids and names of what is on the server."""

    dataset: str
    runs: tuple[str, str]
    evaluation: str
    item: str
    baseline: str
    model: str
    job: str
    traces: tuple[str, str]


@define
class PageReader(HTMLParser):
    """Reads a page and complains of what is wrong with its markup.

    Args:
        faults: What is wrong.
        texts: All text between tags.
        attributes: (tag, attributes) of every element.
    """

    faults: list[str] = field(factory=list)
    texts: list[str] = field(factory=list)
    attributes: list[tuple[str, dict[str, str | None]]] = field(factory=list)
    _open: list[str] = field(factory=list)

    def __attrs_pre_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.attributes.append((tag, held))
        named = "label" in self._open or "aria-label" in held or held.get("type") == "hidden"
        if tag in CONTROLS and not named:
            self.faults.append(f"a {tag} without a label: {held}")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing at line {self.getpos()[0]}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def found(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [held[name] or "" for _, held in self.attributes if name in held]

    def finish(self) -> None:
        """Look at the page as a whole."""
        self.close()
        ids = self.found("id")
        self.faults += [f"{name} is no longer unique" for name in set(ids) if ids.count(name) > 1]
        self.faults += [f"{tag} is not closed" for tag in self._open]
        headings = sum(tag == "h1" for tag, _ in self.attributes)
        if headings != 1:
            self.faults.append(f"{headings} headings of the first level")

    @property
    def text(self) -> str:
        """What people read, on one line."""
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="session")
def read_page() -> Callable[[httpx2.Response], PageReader]:
    """``read_page(response)``: the page, which has no fault in its markup."""

    def read(response: httpx2.Response) -> PageReader:
        reader = PageReader()
        reader.feed(response.text)
        reader.finish()
        assert reader.faults == []
        return reader

    return read


@pytest.fixture(scope="session")
def server(
    start_server: Callable[..., AbstractContextManager[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A server of the pages' own, on which there is nothing but what they show."""
    with start_server(tmp_path_factory.mktemp("page")) as started:
        yield started


@pytest.fixture(scope="session")
def client(server: Any) -> httpx2.Client:
    """Sends requests to :func:`server`."""
    held: httpx2.Client = server.client
    return held


@pytest.fixture(scope="session")
def numbers_dataset(client: httpx2.Client, store_numbers: Callable[[httpx2.Client], str]) -> str:
    """Key of a dataset of 20 traces on the server."""
    return store_numbers(client)


@pytest.fixture(scope="session")
def filled(client: httpx2.Client, numbers_dataset: str) -> Filled:
    """One of everything on :func:`server`."""

    def post(path: str, body: Any) -> Any:
        answer = client.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    runs = [_train(post, numbers_dataset, steps) for steps in (12, 30)]
    judged = [post(f"/api/tunix/runs/{run}/evaluate", {}) for run in runs]
    post("/api/regression/baselines", {"name": "first", "run_id": runs[0], "metric": "score"})
    model = post("/api/models", {"name": "counting", "description": "It counts."})
    post(f"/api/models/{model['id']}/versions/promote", {"source_run_id": runs[1]})
    job = post("/api/tuning/jobs", _job(numbers_dataset))
    item = client.get(f"/evaluations/{judged[0]['evaluation_id']}.json").json()["items"][0]
    traces = client.get("/api/traces?limit=2").json()["data"]
    return Filled(
        dataset=numbers_dataset,
        runs=(runs[0], runs[1]),
        evaluation=judged[0]["evaluation_id"],
        item=item["score"]["item_id"],
        baseline="first",
        model="counting",
        job=job["id"],
        traces=(traces[0]["id"], traces[1]["id"]),
    )


@pytest.fixture(scope="session")
def names(filled: Filled) -> dict[str, str]:
    """What fills in the addresses of :data:`PAGES`."""
    return {
        "trace": filled.traces[0],
        "other_trace": filled.traces[1],
        "run": filled.runs[0],
        "other_run": filled.runs[1],
        "dataset": filled.dataset,
        "evaluation": filled.evaluation,
        "item": filled.item,
        "baseline": filled.baseline,
        "job": filled.job,
        "model": filled.model,
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; for one module, since Playwright keeps an event loop running."""
    pytest.importorskip("playwright")
    with chromium() as started:
        yield started


@pytest.fixture
def open_tab(browser: Any) -> Iterator[Callable[[str], Tab]]:
    """``open_tab(url)``: a new tab; at the end of the test nothing has gone wrong in it."""
    opened = []

    def open_one(url: str) -> Tab:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(WAIT_S * 1000)
        opened.append(Tab(context.new_page(), url))
        return opened[-1]

    yield open_one
    for tab in opened:
        tab.page.context.close()
    assert [problem for tab in opened for problem in tab.problems] == []


@pytest.fixture
def tab(open_tab: Callable[[str], Tab], server: Any) -> Tab:
    """A tab on :func:`server`."""
    return open_tab(server.url)


def _train(post: Callable[[str, Any], Any], dataset: str, steps: int) -> str:
    body = {
        "dataset_key": dataset,
        "model_id": "counting",
        "dry_run": False,
        "settings": {"steps": steps},
    }
    run = post("/api/tunix/run", body)
    assert run["status"] == "completed", run
    return str(run["run_id"])


def _job(dataset: str) -> dict[str, Any]:
    return {
        "name": "how many steps",
        "dataset_key": dataset,
        "base_model_id": "counting",
        "metric_name": "answer_correctness",
        "num_samples": 2,
        "search_space": {"steps": {"type": "randint", "min": 1, "max": 9}},
    }
