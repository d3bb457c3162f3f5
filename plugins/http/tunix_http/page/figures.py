"""Plotly figures as plain data; the page's script draws them in the page's colours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunix_core.rich.curves import Points

Figure = dict[str, Any]


def lines(curves: Mapping[str, Points], x_title: str, y_title: str, *, log: bool = False) -> Figure:
    """Curves over a common axis.

    Args:
        curves: Points by the name of the curve.
        x_title: What x is.
        y_title: What y is.
        log: Whether y is drawn on a logarithmic axis.
    """
    data = [
        {
            "type": "scatter",
            "mode": "lines" if len(points) > 1 else "markers",
            "name": name,
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
        }
        for name, points in curves.items()
    ]
    layout = _layout(x_title, y_title, log=log)
    values = [y for points in curves.values() for _, y in points]
    if log and values:
        layout["yaxis"] |= _round_ticks(min(values), max(values))
    return {"data": data, "layout": layout}


def dots(points: Points, best: Points, x_title: str, y_title: str) -> Figure:
    """Single outcomes, and the best so far as a line."""
    data = [
        {"type": "scatter", "mode": "markers", "name": "trial", **_columns(points)},
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "line": {"shape": "hv"},
            **_columns(best),
        },
    ]
    layout = _layout(x_title, y_title)
    # There is no half trial.
    layout["xaxis"] |= {"tickformat": "d", "range": [0.5, max(x for x, _ in points) + 0.5]}
    layout["xaxis"] |= {"dtick": 1} if len(points) <= 20 else {}
    return {"data": data, "layout": layout}


def _round_ticks(low: float, high: float) -> dict[str, Any]:
    """Marks at 1, 2 and 5 of each decade, or at 1 alone where those are many; whole numbers read.

    Plotly writes the 2 and the 5 without their decade.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    leading = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    ticks = [first * 10.0**decade for decade in decades for first in leading]
    held = [tick for tick in ticks if low <= tick * 1.001 and tick <= high * 1.001]
    # Within a narrow range Plotly's own marks are finer.
    return {} if len(held) < 2 else {"tickvals": held, "ticktext": [f"{tick:g}" for tick in held]}


def _columns(points: Points) -> dict[str, list[float]]:
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


def _layout(x_title: str, y_title: str, *, log: bool = False) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": x_title}},
        "yaxis": {"title": {"text": y_title}, "type": "log" if log else "linear"},
    }
