"""What trainers and evaluators are handed: evaluators and generators of the same workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.contributions import EVALUATOR, GENERATOR
from tunix_core.plugins.lookup import ProvidedEvaluator
from tunix_core.plugins.manager import Plugins
from tunix_core.protocols import Evaluator, Generator


@frozen
class PluginTools:
    """Plugins as :class:`~tunix_core.protocols.Tools`.

    Args:
        plugins: Where they are.
        paths: The workspace, where evaluators may keep a cache; without one they keep none.
    """

    plugins: Plugins
    paths: WorkspacePaths | None = None

    def evaluator(self, name: str, settings: Mapping[str, Any] | None = None) -> Evaluator:
        return self.create(self.plugins.find(EVALUATOR, name), settings)

    def create(
        self, provided: ProvidedEvaluator, settings: Mapping[str, Any] | None = None
    ) -> Evaluator:
        """An evaluator with all that it may ask for."""
        cache = None if self.paths is None else self.paths.cache_of(provided.full_name)
        return provided.create(settings, directory=cache, tools=self)

    def generator(self, name: str, settings: Mapping[str, Any] | None = None) -> Generator:
        return self.plugins.find(GENERATOR, name).create(settings)
