"""RediAI's model judges the shown work together with the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunix_judges.cache import ReplyCache
from tunix_judges.config import RediaiConfig
from tunix_judges.endpoints import RediaiEndpoint
from tunix_judges.judge import LanguageJudge
from tunix_judges.rubric import Rubric


class GemmaJudge(LanguageJudge):
    """Asks RediAI for a grade of every completion; its details hold a verdict and figures.

    Args:
        config: Where RediAI is.
        directory: Where replies are kept; None keeps none.
    """

    # All that its grades depend on has the evaluator's version.
    fingerprint = ""

    def __init__(self, config: RediaiConfig, directory: Path | None = None) -> None:
        super().__init__(RediaiEndpoint(config), [Rubric.builtin("gemma")], ReplyCache(directory))

    def _blank(self, rubric: Rubric) -> dict[str, Any]:
        return {**super()._blank(rubric), "correctness": 0.0}
