"""What trainers and evaluators are handed: evaluators and generators of the same workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from tunix_core.contributions import EVALUATOR, GENERATOR
from tunix_core.plugins.manager import Plugins
from tunix_core.protocols import Evaluator, Generator


@frozen
class PluginTools:
    """Plugins as :class:`~tunix_core.protocols.Tools`.

    Args:
        plugins: Where they are.
    """

    plugins: Plugins

    def evaluator(self, name: str, settings: Mapping[str, Any] | None = None) -> Evaluator:
        return self.plugins.find(EVALUATOR, name).create(settings, tools=self)

    def generator(self, name: str, settings: Mapping[str, Any] | None = None) -> Generator:
        return self.plugins.find(GENERATOR, name).create(settings)
