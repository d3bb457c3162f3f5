"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

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


class Progress:
    """A bar with the time left on a terminal; elsewhere one line when it ends.

    Args:
        total: Number of units, or 0 when it is not known.
        label: What is going on.
        started: When it began, by ``time.monotonic()``; now by default.
        done: Units that were done before; the time left follows from those done since.
    """

    def __init__(self, total: int, label: str, started: float | None = None, done: int = 0) -> None:
        self._total = total
        self._label = label
        self._before = self._done = done
        self._detail = ""
        self._started = time.monotonic() if started is None else started
        self._bar: Any = None
        if total > 0 and sys.stderr.isatty():
            self._bar = click.progressbar(
                length=total,
                label=label,
                file=sys.stderr,
                width=0,  # what the terminal leaves
                show_eta=False,
                show_pos=True,
                item_show_func=lambda _: self._shown(),
            )
            self._bar.pos = done

    def advance(self, units: int, detail: str = "") -> None:
        """Move on by ``units``; ``detail`` is shown behind the bar."""
        self._done += units
        self._detail = detail or self._detail
        if self._bar is not None and units > 0:
            self._bar.update(units, self._detail)

    def _shown(self) -> str:
        """What stands behind the bar. Click's own time left would count what was done before."""
        left = self._total - self._done
        if self._done == self._before or left <= 0:
            return self._detail
        seconds = (time.monotonic() - self._started) / (self._done - self._before) * left
        return f"{timedelta(seconds=round(seconds))} left  {self._detail}".rstrip()

    def reach(self, done: int, _total: int = 0) -> None:
        """Move to ``done`` units; what services call with (done, total)."""
        self.advance(done - self._done)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
        elif self._done:
            of = f" of {self._total}" if self._total else ""
            detail = f", {self._detail}" if self._detail else ""
            seconds = time.monotonic() - self._started
            say(f"{self._label}: {self._done}{of}{detail} ({seconds:.1f} s)")


def progress(total: int, label: str, done: int = 0) -> Progress:
    """A :class:`Progress` for ``total`` units, ``done`` of which were done before."""
    return Progress(total, label, done=done)
