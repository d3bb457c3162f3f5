"""The form that starts a run, and what the page's forms send."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.errors import UsageError
from tunix_http.page.views.run_form import parse_settings

from .conftest import PageReader

ReadPage = Callable[[httpx2.Response], PageReader]
WaitFor = Callable[..., dict[str, object]]

TRAINER = "counting-trainer/counting"


def test_a_sent_form_starts_a_run_and_leads_to_its_page(
    client: httpx2.Client, numbers_dataset: str, read_page: ReadPage
) -> None:
    form = {
        "dataset": numbers_dataset,
        "trainer": TRAINER,
        "seed": "7",
        "settings": "steps=3\n\n step_seconds = 0.0 ",
    }

    answer = client.post("/runs/new", data=form)

    assert answer.status_code == 303
    assert read_page(client.get(answer.headers["location"])).text
    run = client.get(answer.headers["location"] + ".json").json()["run"]
    assert run["dataset_key"] == numbers_dataset
    assert (run["config"]["seed"], run["config"]["trainer"]["steps"]) == (7, 3)
    assert run["mode"] == "local"


def test_a_form_can_ask_for_a_dry_run(client: httpx2.Client, numbers_dataset: str) -> None:
    form = {"dataset": numbers_dataset, "trainer": TRAINER, "mode": "dry-run"}

    answer = client.post("/runs/new", data=form)

    assert client.get(answer.headers["location"] + ".json").json()["run"]["mode"] == "dry-run"


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"settings": "steps=many"}, 400, "steps: expected an integer"),
        ({"settings": "nope=1"}, 400, "nope"),
        ({"settings": "steps"}, 400, "is not KEY=VALUE"),
        ({"settings": "steps=1\nsteps=2"}, 400, "given twice"),
        ({"settings": "steps=" + "[" * 5_000}, 400, "steps: expected an integer"),
        ({"seed": "x"}, 400, "seed must be a whole number"),
        ({"trainer": "nope"}, 400, "no trainer is called 'nope'"),
        ({"dataset": "nope"}, 404, "dataset 'nope' not found"),
        ({"dataset": ""}, 400, "no dataset was chosen"),
        ({"settings": "x" * 70_000}, 400, "exceeds 65536 bytes"),
    ],
)
def test_a_form_with_a_fault_comes_back_with_what_is_wrong(
    client: httpx2.Client,
    numbers_dataset: str,
    read_page: ReadPage,
    fields: dict[str, str],
    status: int,
    said: str,
) -> None:
    before = len(client.get("/runs.json?limit=100").json()["runs"])

    answer = client.post(
        "/runs/new", data={"dataset": numbers_dataset, "trainer": TRAINER, "seed": "1", **fields}
    )

    assert answer.status_code == status
    assert said in read_page(answer).text
    assert len(client.get("/runs.json?limit=100").json()["runs"]) == before


def test_what_was_typed_is_still_there(client: httpx2.Client, numbers_dataset: str) -> None:
    typed = "steps=many\nfail_at=3"

    form = {"dataset": numbers_dataset, "trainer": TRAINER, "settings": typed}
    answer = client.post("/runs/new", data=form)

    assert f">{typed}</textarea>" in answer.text


def test_another_origin_cannot_start_a_run(client: httpx2.Client, numbers_dataset: str) -> None:
    answer = client.post(
        "/runs/new", data={"dataset": numbers_dataset}, headers={"Origin": "http://evil.example"}
    )

    assert answer.status_code == 403


names = st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True)
values = st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, width=32)


@given(st.dictionaries(names, values, max_size=5))
def test_settings_that_are_written_are_read(settings: dict[str, object]) -> None:
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    assert parse_settings(text) == settings


@given(st.text(max_size=200))
def test_any_text_is_settings_or_refused(text: str) -> None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    keys = [line.partition("=")[0].strip() for line in lines]
    fine = all("=" in line for line in lines) and all(keys) and len(set(keys)) == len(keys)

    if fine:
        assert list(parse_settings(text)) == keys
    else:
        with pytest.raises(UsageError, match="setting"):
            parse_settings(text)
