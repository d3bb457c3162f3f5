"""Kinds of plugins: what a factory has to make, and which one is meant where none is named."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.test_plugins import plugin
from tunix_core import contributions, hookspecs
from tunix_core.contributions import (
    COMMAND,
    EVALUATOR,
    GENERATOR,
    TUNER,
    Kind,
    TunerContribution,
)
from tunix_core.errors import TunixError, UsageError
from tunix_core.plugins import Plugins


class Overbearing:
    """A tuner whose one method wants more than its protocol gives."""

    def suggest(self, space: object, history: object) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("kind", "factory", "problem"),
    [
        (GENERATOR, dict, "acme/odd is no generator: its factory made a dict, which has no item"),
        (EVALUATOR, dict, "acme/odd is no evaluator: its factory made a dict, which has no score"),
        (
            TUNER,
            Overbearing,
            "acme/odd is no tuner: its factory made a Overbearing, whose suggest does not take "
            "(request)",
        ),
        (COMMAND, dict, "acme/odd is no command: its factory made a type"),
    ],
)
def test_a_factory_that_makes_something_else_costs_one_line(
    kind: Kind[Any, Any], factory: type, problem: str
) -> None:
    offer = kind.descriptor(name="odd", summary="odd", factory=factory)
    plugins = Plugins.of(plugin("acme", **{kind.hook: lambda: [offer]}))
    with pytest.raises(TunixError) as refused:
        plugins.find(kind, "odd").create()
    assert str(refused.value) == (
        f"{problem} (acme 0 may be made for another version of tunix-core, see CHANGELOG.md)"
    )


def test_every_kind_has_a_hook_and_a_conformance_suite() -> None:
    for kind in contributions.KINDS:
        assert getattr(hookspecs, kind.hook).__doc__ == kind.documentation
        if kind is not COMMAND:
            suite = importlib.import_module(f"tunix_core.testing.{kind.name}")
            assert hasattr(suite, f"{kind.protocol.__name__}Conformance")


def tuners(*names: str, default: str = "") -> Callable[[], list[TunerContribution]]:
    return lambda: [
        TunerContribution(name=name, summary=name, factory=dict, default=name == default)
        for name in names
    ]


def test_where_none_is_named_the_default_is_meant_then_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TUNIX_TUNER", raising=False)
    with pytest.raises(UsageError) as none:
        Plugins.of().find(TUNER, "default")
    assert str(none.value) == "there is no tuner (none is installed; see: tunix-rt doctor)"
    only = Plugins.of(plugin("acme", tunix_tuners=tuners("grid")))
    assert only.find(TUNER, "default").full_name == "acme/grid"
    chosen = Plugins.of(plugin("acme", tunix_tuners=tuners("grid", "random", default="random")))
    assert chosen.find(TUNER, "default").full_name == "acme/random"
    several = Plugins.of(plugin("acme", tunix_tuners=tuners("grid", "random")))
    with pytest.raises(UsageError) as ambiguous:
        several.find(TUNER, "default")
    assert str(ambiguous.value) == (
        "no tuner is named, and there are several "
        "(say which: acme/grid, acme/random, or set TUNIX_TUNER)"
    )
    monkeypatch.setenv("TUNIX_TUNER", "grid")
    for plugins in (several, chosen):
        assert plugins.find(TUNER, "default").full_name == "acme/grid"
