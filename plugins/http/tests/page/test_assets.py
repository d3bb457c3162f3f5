"""The page's scripts and styles, and figures as data."""

from __future__ import annotations

import gzip
import re
from importlib.metadata import version
from importlib.resources import files

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.rich.curves import thin
from tunix_http.page.figures import lines

HELPERS = {"fetchJSON", "ApiError"}


def test_the_client_has_a_function_for_every_operation(client: httpx2.Client) -> None:
    script = client.get("/static/client.js").text
    exported = set(re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", script, re.M))

    paths = client.get("/openapi.json").json()["paths"].values()
    operations = {held["operationId"] for methods in paths for held in methods.values()}

    assert len(operations) >= 42
    assert exported - HELPERS == operations


def test_every_path_of_the_client_is_an_operation(client: httpx2.Client) -> None:
    script = client.get("/static/client.js").text
    named = {
        re.sub(r"\$\{[^}]*\}", "{}", path)
        for path in re.findall(r"[`\"](/(?:api/|metrics)[^`\"]*)[`\"]", script)
    }
    known = {re.sub(r"\{[^}]*\}", "{}", p) for p in client.get("/openapi.json").json()["paths"]}

    # The file name of an artifact is put behind this one piece by piece.
    assert named - known <= {"/api/tunix/runs/{}/artifacts/"}
    assert len(named) > 35


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("style.css", "text/css"),
        ("page.js", "text/javascript"),
        ("client.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_what_the_page_needs_is_served_with_its_type(
    client: httpx2.Client, name: str, media_type: str
) -> None:
    answer = client.get(f"/static/{name}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize(
    "path", ["/static/nope.js", "/static/../skin.py", "/static/%2e%2e/skin.py", "/static/"]
)
def test_nothing_else_is_served(client: httpx2.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_plotly_comes_out_of_its_package_and_is_kept(client: httpx2.Client, encoding: str) -> None:
    address = f"/static/plotly.min.js?v={version('plotly')}"
    with client.stream("GET", address, headers={"Accept-Encoding": encoding}) as answer:
        raw = b"".join(answer.iter_raw())

    packed = answer.headers.get("content-encoding") == "gzip"
    assert packed == (encoding == "gzip")
    script = gzip.decompress(raw) if packed else raw
    assert script == (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    assert f"v={version('plotly')}" in client.get("/").text


@given(st.integers(0, 5000), st.integers(2, 900))
def test_a_thinned_curve_keeps_its_ends_and_its_order(count: int, most: int) -> None:
    points = [(float(step), float(-step)) for step in range(count)]

    kept = thin(points, most)

    assert len(kept) <= most + 1
    assert set(kept) <= set(points)
    assert list(kept) == sorted(kept)
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
    if count <= most:
        assert kept == points


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=50))
def test_the_marks_of_a_logarithmic_axis_are_round_and_within_the_curve(
    values: list[float],
) -> None:
    curve = [(float(step), value) for step, value in enumerate(values)]

    axis = lines({"loss": curve}, "step", "loss", log=True)["layout"]["yaxis"]

    assert axis["type"] == "log"
    if "tickvals" in axis:
        ticks = axis["tickvals"]
        assert ticks == sorted(set(ticks))
        assert 2 <= len(ticks) <= 19
        assert min(values) <= ticks[0] * 1.001
        assert ticks[-1] <= max(values) * 1.001
        assert [float(text) for text in axis["ticktext"]] == pytest.approx(ticks)
        assert {f"{tick:e}"[0] for tick in ticks} <= {"1", "2", "5"}
