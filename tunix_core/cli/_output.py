"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")


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
