"""An evaluator as it is used: made with settings, and named by all that its scores depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from tunix_core.codec import canonical_json, unstructure
from tunix_core.evaluators.remote import RemoteEvaluator
from tunix_core.plugins import ProvidedEvaluator
from tunix_core.plugins.tools import PluginTools
from tunix_core.protocols import Evaluator

MARK_CHARS = 12


@frozen
class Judge:
    """An evaluator that was made.

    Args:
        provided: Where it comes from.
        evaluator: The evaluator.
        version: The version of its rules, with a digest of its settings where there are any.
    """

    provided: ProvidedEvaluator
    evaluator: Evaluator
    version: str

    @property
    def file_name(self) -> str:
        """How the names of its files begin."""
        return f"{self.provided.full_name.replace('/', '.')}-{self.version}"


def make_judge(
    provided: ProvidedEvaluator, tools: PluginTools, settings: Mapping[str, Any] | None = None
) -> Judge:
    """Make an evaluator.

    Args:
        provided: Where it comes from.
        tools: The other plugins, and where it may keep a cache.
        settings: Its settings; what is not given has its default.

    Raises:
        UsageError: A setting was refused.
    """
    evaluator = tools.create(provided, settings)
    version, mark = provided.contribution.version, ""
    if isinstance(evaluator, RemoteEvaluator):
        mark = evaluator.fingerprint
    elif settings:
        known = canonical_json(unstructure(provided.config(settings)))
        mark = hashlib.sha256(known.encode()).hexdigest()
    return Judge(provided, evaluator, f"{version}+{mark[:MARK_CHARS]}" if mark else version)
