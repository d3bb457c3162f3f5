"""Pictures for people; needs matplotlib, the extra ``tunix-core[plot]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunix_core.errors import UsageError


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
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "plots need matplotlib", "install it with: pip install 'tunix-core[plot]'"
        ) from None
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, linewidth=1.5)
    axes.set(xlabel="step", ylabel=metric)
    axes.grid(alpha=0.25)
    axes.legend()
    figure.savefig(output)
