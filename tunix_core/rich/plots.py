"""Pictures for people, as files and in a terminal; needs the extra ``tunix-core[plot]``."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_core.records import Evaluation
from tunix_core.rich.curves import Points, curves, thin
from tunix_core.rich.readable import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tunix_core.runs import Runs

# Where no terminal says how large it is: columns and rows.
PLAIN_SIZE = (80, 24)
MOST_ROWS = 30
_LEAST_ROWS = 10
_TICKS = 8
# Curves differ by more than their colour, which not every terminal has.
_MARKERS = ("•", "+", "x", "o", "*", "#", "=", "%")


@frozen
class Picture:
    """A PNG file that a notebook shows.

    Args:
        path: The file.
    """

    path: Path

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


def metric_curves(runs: Runs, run_ids: Sequence[str], metric: str) -> dict[str, Points]:
    """A recorded figure of each of several runs over its steps, by the run's short id.

    Runs without it are left out, and so are values that are not finite.

    Args:
        runs: Where the runs are.
        run_ids: Ids, or unambiguous beginnings of them.
        metric: The figure, such as ``loss`` or ``eval_loss``.

    Raises:
        NotFoundError: There is no such run.
        UsageError: No run has recorded it.
    """
    recorded = {
        short(run.id): curves(runs.metrics(run.id)) for run in map(runs.get, dict.fromkeys(run_ids))
    }
    series = {
        name: [(x, y) for x, y in found.get(metric, ()) if math.isfinite(y)]
        for name, found in recorded.items()
    }
    drawn: dict[str, Points] = {name: points for name, points in series.items() if points}
    if not drawn:
        known = sorted({name for found in recorded.values() for name in found})
        hint = f"recorded: {', '.join(known)}" if known else "nothing is recorded yet"
        raise UsageError(f"no step of these runs has a metric {metric!r}", hint)
    return drawn


def draw_metric(series: Mapping[str, Points], metric: str) -> str:
    """Draw curves over training steps as text with colours, as wide as the terminal.

    Args:
        series: Points (step, value) by the name of the curve.
        metric: What the values are.

    Raises:
        UsageError: plotext is not installed.
    """
    try:
        import plotext
    except ImportError:
        raise _missing("plotext") from None
    width, rows = shutil.get_terminal_size(PLAIN_SIZE)
    plotext.terminal.limit(False, False)
    picture = plotext.figure
    picture.clear()
    picture.theme("simple").plot_size(width, max(_LEAST_ROWS, min(rows - 2, MOST_ROWS)))
    for (name, points), marker in zip(series.items(), cycle(_MARKERS), strict=False):
        xs, ys = zip(*thin(points), strict=True)
        picture.draw(picture.signal(xs, ys, marker=marker).lines().label(name))
    every = [point for points in series.values() for point in points]
    low, high = ([pick(axis) for axis in zip(*every, strict=True)] for pick in (min, max))
    for axis in (0, 1):
        ticks = _round_ticks(low[axis], high[axis])
        picture.ruler(axis).ticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    # Where a curve that falls, or one that rises, leaves room.
    falls = sum(points[0][1] - points[-1][1] for points in series.values()) > 0
    corner, side = (high[0], "right") if falls else (low[0], "left")
    picture.legend(len(series) > 1, corner, high[1], ha=side, relative=True)
    picture.title(metric if len(series) > 1 else f"{metric} of {next(iter(series))}")
    picture.label("step")
    return str(picture.build().string())


def _round_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``, five or so."""
    if low == high:
        return [low]
    decade = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    step = next(f * decade for f in (1, 2, 5, 10) if (high - low) / (f * decade) <= _TICKS)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def plot_metric(series: Mapping[str, Points], metric: str, output: Path) -> Picture:
    """Draw curves over training steps into a PNG file.

    Args:
        series: Points (step, value) by the name of the curve.
        metric: What the values are.
        output: File to write.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figure = _figure(8, 4.5)
    axes = figure.subplots()
    for name, points in series.items():
        marker = "o" if len(points) == 1 else ""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(xs, ys, label=name, linewidth=1.5, marker=marker)
    axes.set(xlabel="step", ylabel=metric)
    axes.grid(alpha=0.25)
    axes.legend()
    figure.savefig(output)
    return Picture(output)


def plot_outcome(
    losses: Points,
    before: Sequence[Evaluation],
    after: Sequence[Evaluation],
    output: Path,
) -> Picture:
    """Draw a training run beside what it changed: loss, scores, and the first score by family.

    Args:
        losses: Points (step, loss).
        before: Evaluations of the untrained model.
        after: The same evaluations of the trained model.
        output: PNG file to write.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figure = _figure(12, 5)
    curve, scores, families = figure.subplots(1, 3, width_ratios=(1.3, 1, 1.2))
    curve.plot([x for x, _ in losses], [y for _, y in losses], linewidth=1.2)
    curve.set(xlabel="step", title="loss (nats per token)", yscale="log")
    curve.grid(alpha=0.25, which="both")
    for offset, label, evaluations in ((0.2, "before", before), (-0.2, "after", after)):
        drawn = [e for e in evaluations if e.scorecard.overall.mean is not None]
        places = [len(after) - 1 - list(evaluations).index(e) + offset for e in drawn]
        means = [e.scorecard.overall.mean or 0.0 for e in drawn]
        low = [m - (e.scorecard.overall.low or 0.0) for m, e in zip(means, drawn, strict=True)]
        high = [(e.scorecard.overall.high or 0.0) - m for m, e in zip(means, drawn, strict=True)]
        scores.barh(places, means, 0.38, xerr=(low, high), label=label, capsize=2)
    names = [e.evaluator.rpartition("/")[2].replace("_", " ") for e in after]
    scores.set_yticks(range(len(after))[::-1], names)
    scores.set(xlim=(0, 1.05), title="scores, with 95 % intervals")
    scores.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2, frameon=False)
    groups = sorted(
        ((e.mean or 0.0, name) for name, e in after[0].scorecard.groups.get("family", {}).items())
    )
    families.barh([name.replace("_", " ") for _, name in groups], [mean for mean, _ in groups])
    families.tick_params(axis="y", labelsize=7)
    families.set(xlim=(0, 1.05), title=f"{names[0]} by family, after")
    figure.savefig(output)
    return Picture(output)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise _missing("matplotlib") from None
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _missing(library: str) -> UsageError:
    return UsageError(f"plots need {library}", "install it with: pip install 'tunix-core[plot]'")
