"""How the page looks and handles in a real browser: phone, dark and light, keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import httpx2
import pytest

from .browser import Tab
from .conftest import PAGES

pytestmark = pytest.mark.full

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
TEXTS = ("ink", "muted", "accent", "good", "bad", "warn")
SOFT = ("accent", "good", "bad", "warn")
FOCUS = """() => {
  const held = document.activeElement;
  const style = getComputedStyle(held);
  return {
    tag: held.tagName.toLowerCase(),
    name: held.getAttribute("name") ?? held.textContent.trim(),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    shown: held.getBoundingClientRect().width > 0,
  };
}"""
# What a finger has to hit: controls that are at least 24 pixels each way, as WCAG 2.2 asks.
SMALL = """[...document.querySelectorAll("button, select, .button, nav a")].filter((one) => {
  const { width, height } = one.getBoundingClientRect();
  return width > 0 && (width < 24 || height < 24);
}).map((one) => one.outerHTML)"""


@pytest.mark.parametrize("width", [360, 390])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_is_wider_than_a_phone(
    tab: Tab, names: Mapping[str, str], scheme: Scheme, width: int
) -> None:
    tab.look_like(width, scheme)
    for address in PAGES.values():
        tab.open(address.format(**names))
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert tab.page.evaluate(beyond) == 0, address
        assert tab.page.evaluate(SMALL) == [], address


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out_from_what_is_behind_it(tab: Tab, scheme: Scheme) -> None:
    tab.look_like(1280, scheme)
    tab.open("/")
    script = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"

    def colour(name: str) -> str:
        found: str = tab.page.evaluate(script, f"--{name}")
        return found

    for text in TEXTS:
        for ground in ("surface", "ground", "sunken"):
            assert contrast(colour(text), colour(ground)) >= 4.5, (text, ground)
    for text in SOFT:
        assert contrast(colour(text), colour(f"{text}-soft")) >= 4.5, text
    assert contrast(colour("on-accent"), colour("accent")) >= 4.5
    for curve in range(1, 7):
        assert contrast(colour(f"chart-{curve}"), colour("surface")) >= 3, curve
    assert contrast(colour("edge"), colour("surface")) >= 3


def test_a_scheme_is_the_whole_page(tab: Tab) -> None:
    behind = "getComputedStyle(document.body).backgroundColor"
    tab.open("/")
    tab.look_like(1280, "light")
    light = tab.page.evaluate(behind)

    tab.look_like(1280, "dark")

    assert tab.page.evaluate(behind) != light


def test_the_keyboard_reaches_the_content_first(tab: Tab) -> None:
    tab.open("/runs")

    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    assert tab.page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")
    tab.page.keyboard.press("Enter")

    assert tab.until("document.activeElement.id === 'content'")


def test_the_keyboard_reaches_every_section_and_field_in_order(tab: Tab) -> None:
    tab.open("/runs/new")

    reached = [_tab(tab) for _ in range(24)]

    assert all(held["ring"] and held["shown"] for held in reached)
    sections = [held["name"] for held in reached if held["tag"] == "a"]
    order = ["Skip to the content", "tunix-rt", "Overview", "Traces", "Datasets", "Runs"]
    assert sections[: len(order)] == order
    fields = [held["name"] for held in reached if held["tag"] in ("input", "select", "textarea")]
    wanted = ["dataset", "eval_dataset", "trainer", "template", "model", "seed", "settings", "mode"]
    assert fields[: len(wanted)] == wanted
    assert "Start" in [held["name"] for held in reached if held["tag"] == "button"]


def test_a_dry_run_is_started_with_the_keyboard_alone(
    tab: Tab, client: httpx2.Client, numbers_dataset: str
) -> None:
    tab.open(f"/runs/new?dataset={numbers_dataset}&trainer=counting-trainer/counting")

    keyboard = tab.page.keyboard
    _tab_to(tab, "settings")
    keyboard.type("steps=3")
    _tab_to(tab, "mode")
    keyboard.press("ArrowDown")
    _tab_to(tab, "Start")
    keyboard.press("Enter")

    tab.page.wait_for_url("**/runs/*-*")
    tab.page.get_by_role("heading", name="Outcome").wait_for()
    run = client.get(tab.page.url + ".json").json()["run"]
    assert (run["mode"], run["config"]["trainer"]["steps"]) == ("dry-run", 3)


def contrast(one: str, other: str) -> float:
    """Ratio of two colours ``#rrggbb`` by WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _tab(tab: Tab) -> dict[str, Any]:
    tab.page.keyboard.press("Tab")
    held: dict[str, Any] = tab.page.evaluate(FOCUS)
    return held


def _tab_to(tab: Tab, name: str) -> None:
    assert any(_tab(tab)["name"] == name for _ in range(60)), f"{name} is not reached"
