"""What commands are made of, those of plugins too: the workspace, settings, and what they print.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from tunix_core.base.settings_text import parse_pairs
from tunix_core.errors import UsageError

if TYPE_CHECKING:
    from tunix_core.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def pass_workspace(function: Callable[Concatenate[Workspace, P], R]) -> Callable[P, R]:
    """Open the workspace that the root options name and close it afterwards."""

    @click.pass_context
    def wrapper(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # What needs no workspace starts without its code.
        from tunix_core.workspace import Workspace

        shared = ctx.ensure_object(dict)
        executor = {name: shared.get(name) for name in ("executor", "executor_settings")}
        with Workspace(shared.get("workspace"), shared.get("plugins"), **executor) as workspace:
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
            raise UsageError(f"--{name.replace('_', '-')} has no effect here", reason)


def json_option(function: Callable[P, R]) -> Callable[P, R]:
    """``--json``: the result as one JSON document on standard output, for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(
        function
    )


def say(message: str) -> None:
    """Tell people something; standard output is kept for results."""
    click.echo(message, err=True)


def emit(data: Any, as_json: bool, table: Callable[[], None]) -> None:
    """Print a result: JSON for programs, or whatever ``table`` prints for people."""
    if as_json:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))
    else:
        table()


def print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows in columns; the first row's keys are the headings."""
    held = [{key: _cell(value) for key, value in row.items()} for row in rows]
    if not held:
        say("nothing to show")
        return
    columns = list(dict.fromkeys(key for row in held for key in row))
    widths = {c: max(len(c), *(len(row.get(c, "")) for row in held)) for c in columns}
    click.echo("  ".join(c.ljust(widths[c]) for c in columns).rstrip())
    click.echo("  ".join("-" * widths[c] for c in columns))
    for row in held:
        click.echo("  ".join(row.get(c, "").ljust(widths[c]) for c in columns).rstrip())


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print the fields of one thing, a line each."""
    print_table({"field": name, "value": str(value)} for name, value in fields)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split())
