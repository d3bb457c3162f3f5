"""What lies in a directory of predictions, for those who write them and those who look on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import structure, unstructure
from tunix_core.datasets.reading import find_outline
from tunix_core.errors import ConflictError, IntegrityError
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Completion, Run
from tunix_core.runs import stored
from tunix_core.runs.folder import RunFolder

DATA = "predictions.jsonl"
META = "predictions_meta.json"
BEGUN = "predictions_begun.json"
_SAID = frozenset(("run_id", "dataset_key", "sha256", "generation_config"))


@frozen
class AnswerBasis:
    """What answers depend on.

    Args:
        weights_sha256: Digest of the model's file tree; None when it is not known.
        dataset_sha256: Hash of the data that is answered; None when it is not known.
        template: How questions are rendered; None when it is not known.
        generation_config: How to sample.
    """

    weights_sha256: str | None
    dataset_sha256: str | None
    template: str | None
    generation_config: GenerationConfig

    @classmethod
    def of(
        cls, paths: WorkspacePaths, run: Run, dataset_key: str, generation: GenerationConfig
    ) -> AnswerBasis:
        """That of answers which a run gives now.

        Raises:
            NotFoundError: No such dataset.
        """
        weights = None if run.result is None else run.result.weights_sha256
        data = find_outline(paths.datasets, dataset_key)["sha256"]
        return cls(weights, data, run.config.template, generation)

    @classmethod
    def stated(cls, meta: Mapping[str, Any]) -> AnswerBasis:
        """What a file beside answers says of them; an earlier version said less.

        Raises:
            InvalidRecordError: It is no such file.
        """
        return cls(
            meta.get("weights_sha256"),
            meta.get("dataset_sha256"),
            meta.get("template"),
            structure(GenerationConfig, meta["generation_config"]),
        )

    def difference(self, now: AnswerBasis) -> str | None:
        """Why answers on this basis are none on another; None where all that is known agrees."""
        for what, then, since in (
            ("other weights", self.weights_sha256, now.weights_sha256),
            ("other data", self.dataset_sha256, now.dataset_sha256),
            ("another template", self.template, now.template),
        ):
            if None not in (then, since) and then != since:
                return what
        return None

    def samples_alike(self, now: AnswerBasis) -> bool:
        """Whether the same is drawn; how many rows are decoded at once changes nothing."""
        then, since = (evolve(b.generation_config, batch_size=1) for b in (self, now))
        return then == since


def check_sampling(folder: Path, meta: Mapping[str, Any], now: AnswerBasis) -> None:
    """Refuse finished answers that were sampled otherwise.

    Raises:
        ConflictError: They were.
    """
    if not AnswerBasis.stated(meta).samples_alike(now):
        raise ConflictError(
            f"run {meta['run_id']} has answered {meta['dataset_key']} with another generation "
            "config",
            f"remove {'/'.join(folder.parts[-4:])} to answer again",
        )


def folder_of(paths: WorkspacePaths, run_id: str, dataset_key: str) -> Path:
    """Where a run's predictions for a dataset lie."""
    return RunFolder(paths.run(run_id)).predictions(dataset_key)


def format_line(completion: Completion) -> str:
    """A completion as a line of a predictions file."""
    fields = unstructure(completion)
    if not completion.token_ids:
        del fields["token_ids"], fields["logprobs"]
    # The wire contract's names come first; readers of it ignore the others.
    line = {"trace_id": fields.pop("item_id"), "prediction": fields.pop("text"), **fields}
    return json.dumps(line, ensure_ascii=False)


def parse_line(line: bytes) -> Completion:
    """A line of a predictions file."""
    fields = json.loads(line)
    return Completion(
        item_id=fields["trace_id"],
        text=fields["prediction"],
        stop=fields["stop"],
        tokens=fields["tokens"],
        sample=fields["sample"],
        token_ids=tuple(fields.get("token_ids", ())),
        logprobs=tuple(fields.get("logprobs", ())),
    )


def read_meta(folder: Path) -> dict[str, Any] | None:
    """What finished predictions say of themselves; None while they are not finished.

    Raises:
        IntegrityError: The file is damaged.
    """
    path = folder / META
    meta = stored.read(path, dict[str, Any])
    if meta is not None and not meta.keys() >= _SAID:
        raise stored.damaged(path, "it does not say what was answered, and how")
    return meta


def read_begun(folder: Path) -> AnswerBasis | None:
    """On what basis answers were begun; None where that was not written down."""
    begun = stored.read(folder / BEGUN, dict[str, Any])
    if begun is None:
        return None
    if "generation_config" not in begun:
        raise stored.damaged(folder / BEGUN, "it does not say how answers were sampled")
    return AnswerBasis.stated(begun)


def set_aside(folder: Path) -> Path:
    """Keep what was answered so far, but not as answers of what is asked now."""
    earlier = sum(1 for _ in folder.glob("before-*"))
    aside = folder / f"before-{earlier + 1}"
    aside.mkdir()
    # What they are said to be goes last, so that a crash between leaves no answers without it.
    for name in (DATA, META, BEGUN):
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    return aside


def read_completions(folder: Path, meta: Mapping[str, object]) -> list[Completion]:
    """Finished predictions in the order they were made.

    Args:
        folder: Where they lie.
        meta: What they say of themselves.

    Raises:
        IntegrityError: The file was changed after it was finished.
    """
    content = (folder / DATA).read_bytes()
    if hashlib.sha256(content).hexdigest() != meta["sha256"]:
        of = f"run {meta['run_id']} for {meta['dataset_key']}"
        raise IntegrityError(f"predictions of {of} were changed")
    return [parse_line(line) for line in content.splitlines()]
