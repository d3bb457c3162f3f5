"""What plugins return from a hook that another plugin brings."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from tunix_core import hookimpl
from tunix_core.hookspecs import hookspec
from tunix_core.plugins import Plugins


def module(name: str, **members: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    return made


@hookspec
def acme_panels(title: str, width: int) -> list[str]:  # type: ignore[empty-body]
    """Panels of a page."""


@hookimpl
def tunix_hookspecs() -> list[ModuleType]:
    return [module("acme_specs", acme_panels=acme_panels)]


def answers(function: object) -> object:
    return hookimpl(function, specname="acme_panels")  # type: ignore[call-overload]


def test_every_implementation_is_asked_and_a_failing_one_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def plain(title: str, width: int) -> list[str]:
        return [f"{title} {width}"]

    def lazy(title: str) -> Iterator[str]:
        yield title

    def broken(width: int) -> Iterator[str]:
        yield "one"
        raise KeyError(width)

    plugins = Plugins.of(
        module("acme_page", tunix_hookspecs=tunix_hookspecs),
        module("plain_plugin", panels=answers(plain)),
        module("broken_plugin", panels=answers(broken)),
        module("lazy_plugin", panels=answers(lazy)),
    )
    collected = plugins.collect("acme_panels", title="Runs", width=3)
    assert [(record.distribution, panels) for record, panels in collected] == [
        ("plain-plugin", ["Runs 3"]),
        ("lazy-plugin", ["Runs"]),
    ]
    said = capsys.readouterr().err
    assert said == "warning: broken-plugin 0: acme_panels: KeyError: 3\n"


def test_a_hook_that_no_plugin_brings_collects_nothing() -> None:
    assert Plugins.of().collect("acme_panels", title="Runs", width=3) == []
