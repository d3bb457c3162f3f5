"""The pages that follow from the code are what the code says now, and it says enough."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from tunix_core import contributions, hookimpl, hookspecs
from tunix_core.contributions import COMMAND
from tunix_core.hookspecs import hookspec
from tunix_core.plugins import Plugins, Selection
from tunix_http import hookspecs as http_hookspecs
from tunix_http import plugin as http_plugin

DOCS = Path(__file__).parent.parent / "docs"
SCRIPT = runpy.run_path(str(DOCS / "make_reference.py"))


def hooks() -> list[Any]:
    return [
        pytest.param(hook, id=name)
        for module in (hookspecs, http_hookspecs)
        for name, hook in sorted(vars(module).items())
        if name.startswith("tunix_") and inspect.isfunction(hook)
    ]


def commands() -> Iterator[tuple[str, click.Command]]:
    for provided in Plugins.discover(Selection()).all(COMMAND):
        if provided.distribution in SCRIPT["first_party"]():
            command: Any = provided.factory()
            name = provided.contribution.name
            yield name, command
            if isinstance(command, click.Group):
                yield from ((f"{name} {verb}", held) for verb, held in command.commands.items())


def test_the_pages_are_up_to_date() -> None:
    made = SCRIPT["pages"]()
    for name, text in made.items():
        held = (DOCS / name).read_bytes()
        assert held == text.encode(), f"docs/{name}: run `python docs/make_reference.py`"


def test_every_command_says_what_it_does_and_shows_how() -> None:
    silent, bare = [], []
    for name, command in commands():
        said, examples = SCRIPT["split_help"](command.help or "")
        if not said or not said[0].strip():
            silent.append(name)
        shown = [line for line in examples if f"tunix-rt {name}" in line or f" {name}" in line]
        if not isinstance(command, click.Group) and not shown:
            bare.append(name)
    assert (silent, bare) == ([], [])


@pytest.mark.parametrize("hook", hooks())
def test_the_example_of_every_hook_is_a_plugin_that_is_accepted(hook: Callable[..., Any]) -> None:
    text, _, example = SCRIPT["documentation"](hook)
    assert text
    assert f"def {hook.__name__}(" in example
    module = ModuleType("acme")
    classes = {kind.descriptor.__name__: kind.descriptor for kind in contributions.KINDS}
    module.__dict__.update(classes, hookimpl=hookimpl, acme=_Package)
    exec(example, module.__dict__)  # noqa: S102 - our own docstring
    record = next(r for r in Plugins.of(http_plugin, module).records if r.name == "acme")
    assert (record.status, record.hooks) == ("active", (hook.__name__,))
    kinds = {part.split()[0] for part in record.contributions}
    assert kinds == {
        k.name for k in contributions.KINDS if k.descriptor.__name__ in str(_returns(hook))
    }


def _returns(hook: Callable[..., Any]) -> object:
    return inspect.signature(hook).return_annotation


class _Package:
    """What the example of ``tunix_hookspecs`` calls its own package."""

    class hookspecs:  # noqa: N801 - stands for a module
        @hookspec
        def acme_reports(self) -> None:
            """Reports."""
