"""Offers the paired comparators to tunix-rt; imports no SciPy."""

from __future__ import annotations

from tunix_core.contributions import ComparatorContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_comparators() -> list[ComparatorContribution]:
    return [
        ComparatorContribution(
            name=f"{direction}-is-better",
            summary=f"Paired by item; {direction} values are better",
            factory=f"tunix_compare.paired:{direction}_is_better",
        )
        for direction in ("higher", "lower")
    ]
