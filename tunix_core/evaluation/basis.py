"""What a score depends on: whether that is there still, and whether two scores share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import NOTHING, frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.datasets.reading import find_outline
from tunix_core.errors import InvalidRecordError, NotFoundError
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Evaluation, EvaluationBasis, RunConfig, RunResult

UNKNOWN = "settings not known"
# They change which text is drawn, or how fast; not what is measured.
_NO_SETTING = frozenset(("seed", "batch_size", "temperature", "samples"))
# They are long; a part of their hash stands for them.
_TEXTS = {"system_prompt": "system prompt", "examples": "{count}-shot"}
_USUAL = unstructure(GenerationConfig())
_USUAL_TEMPLATE = RunConfig().template


@frozen
class Present:
    """What there is now of that which a score depends on.

    Args:
        has_model: Whether the run has made a model.
        weights_sha256: Digest of its weights; None when it is not known.
        dataset_sha256: Hash of the dataset; None when it is gone.
    """

    has_model: bool
    weights_sha256: str | None
    dataset_sha256: str | None

    @classmethod
    def of(cls, result: RunResult | None, dataset_sha256: str | None) -> Present:
        """That of a run by its result."""
        weights = None if result is None else result.weights_sha256
        return cls(result is not None, weights, dataset_sha256)


def dataset_hash(paths: WorkspacePaths, key: str) -> str | None:
    """The hash of a dataset by its manifest; None when it is gone or damaged."""
    with suppress(NotFoundError, InvalidRecordError, ValueError, KeyError, TypeError):
        return str(find_outline(paths.datasets, key)["sha256"])
    return None


def outdated(basis: EvaluationBasis | None, now: Present) -> str | None:
    """Why a score is none of what there is now; None where all that is known agrees.

    Args:
        basis: What it depends on; None of an evaluation that was stored without.
        now: What there is.
    """
    if basis is None:
        return None
    if basis.generation is None:
        return "the run has made a model since" if now.has_model else None
    if not now.has_model:
        return "the run is trained on"
    if _differ(basis.weights_sha256, now.weights_sha256):
        return "the run was trained on since"
    if _differ(basis.dataset_sha256, now.dataset_sha256):
        return "the dataset was built anew since"
    return None


def differences(before: Evaluation, after: Evaluation) -> list[tuple[str, str, str]]:
    """What two evaluations do not share that makes their scores differ, beside the model.

    Args:
        before: One of them.
        after: The other.

    Returns:
        What it is, and what it is for each; nothing that is not known of both.
    """
    found = [
        ("evaluator", before.evaluator, after.evaluator),
        ("version", before.evaluator_version, after.evaluator_version),
        ("dataset", before.dataset_key, after.dataset_key),
    ]
    first, second = before.basis, after.basis
    if first is not None and second is not None:
        # Another dataset has other data.
        same_key = before.dataset_key == after.dataset_key
        found.append(("evaluator's distribution", first.evaluator, second.evaluator))
        if same_key and None not in (first.dataset_sha256, second.dataset_sha256):
            found.append(("data", _hash_text(first), _hash_text(second)))
        if None not in (first.generation, second.generation):
            found.append(("sampling", settings_text(first), settings_text(second)))
    return [(what, one, other) for what, one, other in found if one != other]


def settings_text(basis: EvaluationBasis | None) -> str:
    """How the answers were made, in short: ``greedy``, or ``T=1 ×4``; equal means equal.

    What is as usual is not said; the seed is left out, as is how many rows are decoded at once.
    """
    if basis is None:
        return UNKNOWN
    if basis.generation is None:
        return "no answers"
    return sampling_text(basis.generation, basis.template)


def sampling_text(generation: Mapping[str, Any], template: str | None) -> str:
    """The same of a generation config as plain data, and of a template where it is known."""
    held = {**_USUAL, **generation}
    temperature, samples = held["temperature"], held["samples"]
    parts = [f"T={temperature:g}" if temperature else "greedy"]
    if samples != 1:
        parts.append(f"×{samples}")
    parts += _unusual(held)
    for name, said in _TEXTS.items():
        if held[name]:
            text = json.dumps(held[name], sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            parts.append(f"{said.format(count=len(held[name]))} {digest}")
    if template not in (None, _USUAL_TEMPLATE):
        parts.append(f"template {template}")
    return " ".join(parts)


def training_text(evaluation: Evaluation) -> str | None:
    """That the run was trained on what it was asked, or on some of it; None where it was not."""
    shared, asked = evaluation.training_overlap, evaluation.scorecard.n_items
    if not shared:
        return None
    if shared >= asked:
        return "judged on its own training data"
    return f"{shared} of {asked} questions are in its training data"


def _unusual(held: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}={value if isinstance(value, int | float) else json.dumps(value)}"
        for name, value in sorted(held.items())
        if name not in _NO_SETTING and name not in _TEXTS and value != _USUAL.get(name, NOTHING)
    ]


def _hash_text(basis: EvaluationBasis) -> str:
    return f"sha256 {str(basis.dataset_sha256)[:16]}"


def _differ(then: str | None, now: str | None) -> bool:
    return None not in (then, now) and then != now
