"""Panels that plugins put on the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tunix_http.panels import Panel, PanelContribution

from .conftest import PageReader

ReadPage = Callable[[httpx2.Response], PageReader]

PLUGIN = """
from tunix_core import hookimpl


@hookimpl(optionalhook=True)
def tunix_http_panels():
    from tunix_http.panels import PanelContribution
    places = {"good": "overview", "broken": "overview", "wrong": "overview", "own": "dataset"}
    return [
        PanelContribution(name=name, title=f"The {name} panel", page=page,
                          factory=f"acme_panels_work:{name}")
        for name, page in places.items()
    ]
"""
WORK = """
from tunix_http.panels import Panel


def good(workspace, subject):
    return Panel(heading="Queue <b>now</b>", text=f"{workspace.traces.count()} traces wait",
                 rows=[{"name": "<i>one</i>", "count": 1}, {"name": "two"}],
                 figure={"data": [{"x": [1, 2], "y": [3, 4]}], "layout": {}})


def broken(workspace, subject):
    raise RuntimeError("the queue is gone")


def wrong(workspace, subject):
    return {"heading": "no panel"}


def own(workspace, subject):
    return Panel(heading=f"About {subject}")
"""


@pytest.fixture(scope="module")
def panels_client(
    start_server: Callable[..., AbstractContextManager[Any]],
    trainer_site: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_panels_site: Path,
) -> Iterator[httpx2.Client]:
    path = os.pathsep.join([str(trainer_site), str(make_panels_site)])
    with start_server(
        tmp_path_factory.mktemp("panels"), "--workers", "0", environment={"PYTHONPATH": path}
    ) as started:
        yield started.client


@pytest.fixture(scope="module")
def make_panels_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("panels-site")
    (site / "acme_panels.py").write_text(PLUGIN)
    (site / "acme_panels_work.py").write_text(WORK)
    info = site / "acme_panels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-panels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tunix_core]\nacme = acme_panels\n")
    return site


def test_a_panel_is_data_that_the_page_draws(
    panels_client: httpx2.Client, read_page: ReadPage
) -> None:
    page = read_page(panels_client.get("/"))

    assert "Queue <b>now</b>" in page.text
    assert "0 traces wait" in page.text
    assert "<i>one</i>" in page.text
    assert "panels/0/figure" in page.found("data-figure")
    shown = panels_client.get("/index.json").json()["panels"][0]
    assert shown["figure"]["data"] == [{"x": [1, 2], "y": [3, 4]}]
    assert shown["name"] == "acme-panels/good"


def test_a_panel_that_fails_says_so_in_its_place(
    panels_client: httpx2.Client, read_page: ReadPage
) -> None:
    text = read_page(panels_client.get("/")).text

    assert "The broken panel acme-panels/broken This panel failed" in text
    assert "RuntimeError: the queue is gone" in text
    assert "the factory returned a dict, not a Panel" in text


def test_a_panel_is_told_what_its_page_is_about(
    panels_client: httpx2.Client,
    make_trace: Callable[..., dict[str, Any]],
    read_page: ReadPage,
) -> None:
    panels_client.post("/api/traces", json=make_trace(1)).raise_for_status()
    wanted = {"dataset_name": "few", "dataset_version": "v1"}
    key = panels_client.post("/api/datasets/build", json=wanted).json()["dataset_key"]

    assert f"About {key}" in read_page(panels_client.get(f"/datasets/{key}")).text
    assert "About" not in read_page(panels_client.get("/plugins")).text


def test_a_panel_needs_a_page_that_there_is() -> None:
    with pytest.raises(ValueError, match="no page 'nowhere'; known: overview"):
        PanelContribution(
            name="x",
            title="X",
            page="nowhere",  # type: ignore[arg-type]
            factory=lambda _workspace, _subject: Panel(heading="X"),
        )
