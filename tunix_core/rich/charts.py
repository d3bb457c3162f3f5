"""Curves inside HTML, drawn in the notebook's own colour of text."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

from tunix_core.rich.curves import Points, thin
from tunix_core.rich.markup import Html, note, table
from tunix_core.rich.readable import figure

# The drawing library wants a colour; this one is replaced by that of the text around.
_INK = "#010203"
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_COLOURS = ("#4c7bd9", "#d9822b", "#2a9d8f", "#a45bc2")
_MOST_POINTS = 400


def lines(curves: Mapping[str, Points]) -> Html:
    """Curves over training steps; the first, the best and the last value without matplotlib.

    Args:
        curves: Points (step, value) by the name of the curve; what is not finite is left out.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in curves.items()
    }
    drawn = {name: points for name, points in finite.items() if points}
    if not drawn:
        return note("no loss is recorded")
    try:
        return _svg({name: thin(points, _MOST_POINTS) for name, points in drawn.items()})
    except ImportError:
        missing = note("for a picture of the curve: pip install 'tunix-core[plot]'")
        return Html(missing + table([_summary(name, points) for name, points in drawn.items()]))


def _summary(name: str, points: Points) -> dict[str, str]:
    best = min(points, key=lambda point: point[1])
    places = {"first": points[0], "best": best, "last": points[-1]}
    return {
        "": name,
        **{place: f"{figure(y, 4)} at step {x:,}" for place, (x, y) in places.items()},
    }


def _svg(curves: Mapping[str, Points]) -> Html:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Identifiers in the picture follow from the salt: the same curve gives the same bytes.
    with rc_context({"svg.hashsalt": "tunix", "svg.fonttype": "none", "text.color": _INK}):
        picture = Figure(figsize=(7, 2.8), layout="constrained")
        axes = picture.subplots()
        for number, (name, points) in enumerate(curves.items()):
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=_COLOURS[number % len(_COLOURS)],
                linewidth=1.6,
                marker="o" if len(points) == 1 else "",
                label=name,
            )
        # A logarithmic axis shows the late gains, and has no place for 0 and below.
        if all(y > 0 for points in curves.values() for _, y in points):
            axes.set_yscale("log", subs=(2, 5))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_xlabel("step", color=_INK)
        axes.tick_params(colors=_INK, which="both")
        axes.spines[:].set_color(_INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2, which="both", color=_INK)
        axes.legend(frameon=False)
        out = io.StringIO()
        picture.savefig(out, format="svg", transparent=True, metadata=_NO_METADATA)
    drawing = out.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(_INK, "currentColor")
    # Inside a page the picture's own style would hold for all of it.
    return Html(drawing.replace("*{stroke", ".tunix svg *{stroke"))
