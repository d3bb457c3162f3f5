"""What a run recorded, as curves over its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_POINTS = 800

Points = Sequence[tuple[float, float]]


def curves(steps: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Points (step, value) of every figure that a run recorded, by its name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in steps:
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, []).append((record["step"], value))
    return found


def thin(points: Points, most: int = MAX_POINTS) -> Points:
    """At most about ``most`` points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return points
    step = -(-(len(points) - 1) // (most - 1))
    kept = points[::step]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
