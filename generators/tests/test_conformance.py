"""Both generators keep the contract that :mod:`tunix_core.testing` spells out."""

from __future__ import annotations

from tunix_core.protocols import Generator
from tunix_core.testing.generator import GeneratorConformance
from tunix_generators.golden import Golden
from tunix_generators.mix import DevReasoning, MixConfig


class TestDevReasoning(GeneratorConformance):
    splits = ("train", "validation", "test")
    factory = "tunix_generators.mix:DevReasoning"

    def make(self) -> Generator:
        return DevReasoning()


class TestOneSmallFamily(GeneratorConformance):
    """The same where every item of a split is looked at."""

    splits = ("train", "validation", "test")
    count = 1000

    def make(self) -> Generator:
        return DevReasoning(MixConfig(difficulty=1, families=("calendar_day",)))


class TestGolden(GeneratorConformance):
    """It has no validation items."""

    factory = "tunix_generators.golden:Golden"

    def make(self) -> Generator:
        return Golden()
