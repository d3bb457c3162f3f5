"""The elements that pictures of objects are made of; text is escaped unless it is Html."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from tunix_core.errors import one_line
from tunix_core.records import Estimate
from tunix_core.rich.readable import NOTHING, figure, value

MOST_CHARS = 1200
MOST_ROWS = 30

# Notebooks bring their own rules for tables, and their own colours of text and ground.
_STYLE = """
.tunix{font:14px/1.5 system-ui,sans-serif;max-width:62em;color:inherit}
.tunix h3{font-size:1.15em;margin:.2em 0 .5em}
.tunix h4{font-size:1em;margin:1em 0 .3em}
.tunix table{border-collapse:collapse;margin:0 0 .6em;font-size:inherit;table-layout:auto}
.tunix tr{background:none!important}
.tunix th,.tunix td{text-align:left!important;vertical-align:top;padding:.2em 1.2em .2em 0;
border:0;border-bottom:1px solid rgba(128,128,128,.3);overflow-wrap:anywhere;white-space:normal}
.tunix th{font-weight:normal;opacity:.7;white-space:nowrap}
.tunix p{margin:.2em 0}
.tunix svg{max-width:100%;height:auto}
.tunix ol{margin:.3em 0;padding-left:0;list-style:none}
.tunix .text{white-space:pre-wrap;overflow-wrap:anywhere}
.tunix .item{border-left:3px solid rgba(128,128,128,.45);padding:.1em 0 .1em .9em;margin:.7em 0}
.tunix .soft{opacity:.7}
.tunix .good{color:#1f9254;font-weight:600}
.tunix .bad{color:#e0483b;font-weight:600}
.tunix .bar{display:inline-block;width:8em;height:.6em;background:rgba(128,128,128,.25)}
.tunix .bar i{display:block;height:100%;background:#4c7bd9}
"""


class Html(str):
    """Text that is HTML already."""


def text(anything: Any) -> Html:
    """A value as HTML: what is not Html already is escaped, and what is long is cut."""
    if isinstance(anything, Html):
        return anything
    shown = value(anything)
    rest = len(shown) - MOST_CHARS
    cut = shown if rest <= 0 else f"{shown[:MOST_CHARS]} … ({rest:,} more characters)"
    return Html(escape(cut))


def span(anything: Any, kind: str, tag: str = "span") -> Html:
    """A value in an element of a class of the style."""
    return Html(f'<{tag} class="{kind}">{text(anything)}</{tag}>')


def heading(title: str) -> Html:
    """What stands above a part."""
    return Html(f"<h4>{text(title)}</h4>")


def note(anything: Any) -> Html:
    """A remark on a line of its own."""
    return span(anything, "soft", "p")


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """Names and values, one pair a line; a value that is None or empty is left out."""
    rows = [
        f"<tr><th>{text(name)}</th><td>{text(held)}</td></tr>"
        for name, held in pairs
        if held is not None and held != "" and held != {}
    ]
    return Html(f"<table><tbody>{''.join(rows)}</tbody></table>")


def table(rows: Sequence[Mapping[str, Any]], rest: int = 0) -> Html:
    """Rows under headings, which are the keys of the first row.

    Args:
        rows: At least one.
        rest: How many rows there are besides.
    """
    head = "".join(f"<th>{text(name)}</th>" for name in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row.values())}</tr>" for row in rows
    )
    more = note(f"and {rest:,} more") if rest > 0 else ""
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}")


def estimate(held: Estimate) -> Html:
    """A score with its interval."""
    if held.mean is None:
        return text(NOTHING)
    interval = span(f"({figure(held.low)} to {figure(held.high)})", "soft")
    return Html(f"{figure(held.mean)} {interval}")


def share(held: float | None) -> Html:
    """A bar that is as full as a number from 0 to 1 says."""
    percent = round(100 * min(max(held or 0.0, 0.0), 1.0))
    return Html(f'<span class="bar"><i style="width:{percent}%"></i></span>')


def attempt(part: Callable[[], Html]) -> Html:
    """A part, or in one line why it cannot be shown; the rest is shown all the same."""
    try:
        return part()
    # Files and rows of any shape are looked at, and nothing but a picture depends on them.
    except Exception as error:
        return note(f"cannot be shown: {one_line(error)}")


def whole(title: Any, *parts: Html) -> str:
    """All of it, ready for a notebook."""
    html = f'<div class="tunix"><style>{_STYLE}</style><h3>{text(title)}</h3>{"".join(parts)}</div>'
    # Half a surrogate pair in what a model wrote must not keep a notebook from being saved.
    return html.encode("utf-8", "replace").decode("utf-8")
