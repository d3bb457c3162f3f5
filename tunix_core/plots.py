"""Pictures for people; needs matplotlib, the extra ``tunix-core[plot]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunix_core.errors import UsageError
from tunix_core.records import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_metric(
    series: Mapping[str, Sequence[tuple[float, float]]], metric: str, output: Path
) -> None:
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
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, linewidth=1.5)
    axes.set(xlabel="step", ylabel=metric)
    axes.grid(alpha=0.25)
    axes.legend()
    figure.savefig(output)


def plot_outcome(
    losses: Sequence[tuple[float, float]],
    before: Sequence[Evaluation],
    after: Sequence[Evaluation],
    output: Path,
) -> None:
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


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "plots need matplotlib", "install it with: pip install 'tunix-core[plot]'"
        ) from None
    return Figure(figsize=(width, height), dpi=120, layout="constrained")
