"""What the commands share beyond printing: the workspace and settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from tunix_core.base.settings_text import parse_pairs
from tunix_core.errors import UsageError
from tunix_core.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def pass_workspace(function: Callable[Concatenate[Workspace, P], R]) -> Callable[P, R]:
    """Open the workspace that the root options name and close it afterwards."""

    @click.pass_context
    def wrapper(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        shared = ctx.ensure_object(dict)
        directory, plugins = shared.get("workspace"), shared.get("plugins")
        with Workspace(directory, plugins, executor=shared.get("executor")) as workspace:
            return function(workspace, *args, **kwargs)

    return functools.update_wrapper(wrapper, function)


def settings_option(function: Callable[P, R]) -> Callable[P, R]:
    """``--set key=value``: settings of a plugin; values are read as JSON where they are JSON."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        callback=lambda _ctx, _param, pairs: parse_pairs(pairs),
        help="A setting of the plugin; may be given many times.",
    )(function)


def refuse_given(names: Sequence[str], reason: str) -> None:
    """Refuse options of the present command that would have no effect.

    Args:
        names: Names of the command's parameters.
        reason: When they would have one.

    Raises:
        UsageError: One of them was given.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--{name} has no effect here", reason)
