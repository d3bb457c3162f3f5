"""Offers the generators to tunix-rt."""

from __future__ import annotations

from tunix_core.contributions import GeneratorContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_generators() -> list[GeneratorContribution]:
    return [
        GeneratorContribution(
            name="dev-reasoning-v1",
            summary="Reasoning and synthetic items with steps that can be checked, 70 to 30",
            factory="tunix_generators.mix:DevReasoning",
            config="tunix_generators.mix:MixConfig",
        ),
        GeneratorContribution(
            name="golden-v1",
            summary="A small set written by hand, for smoke tests",
            factory="tunix_generators.golden:Golden",
        ),
    ]
