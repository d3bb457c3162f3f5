"""Models: runs promoted to immutable versions, found again by name, label or alias."""

from __future__ import annotations

import builtins
import re
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tunix_core.base.clock import new_id, now
from tunix_core.base.file_trees import tree_digest
from tunix_core.base.files import atomic_file, copy_tree
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import unstructure
from tunix_core.contributions import REGISTRY
from tunix_core.datasets import Datasets
from tunix_core.errors import (
    ConflictError,
    NotFoundError,
    UsageError,
    did_you_mean,
)
from tunix_core.evaluation import Evaluations
from tunix_core.evaluation.basis import training_text
from tunix_core.plugins import Plugins
from tunix_core.protocols import Registry, StoredModel
from tunix_core.records import Evaluation, ModelArtifact, ModelVersion, Run
from tunix_core.runs import Runs
from tunix_core.runs.folder import RunFolder
from tunix_core.runs.weights import check_weights
from tunix_core.store import Store

DEFAULT_REGISTRY = "local"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,256}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The same bytes for the same model: a zip file records times, and these have none.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Models:
    """Promotes runs, and hands out what was promoted after checking it."""

    def __init__(
        self,
        store: Store,
        plugins: Plugins,
        paths: WorkspacePaths,
        datasets: Datasets,
        runs: Runs,
        evaluations: Evaluations,
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._paths = paths
        self._datasets = datasets
        self._runs = runs
        self._evaluations = evaluations

    def create(
        self, name: str, description: str | None = None, task_type: str | None = None
    ) -> ModelArtifact:
        """Make a family of versions.

        Raises:
            UsageError: The name is not letters, digits, ``.``, ``_`` and ``-``.
            ConflictError: It exists already.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the name of a model",
                "use 1 to 256 letters, digits, '.', '_' and '-'",
            )
        created = now()
        artifact = ModelArtifact(new_id(), name, description, task_type, created, created)
        self._store.models.insert_artifact(artifact)
        return artifact

    def promote(
        self,
        name: str,
        run_id: str,
        label: str | None = None,
        description: str | None = None,
        registry: str = DEFAULT_REGISTRY,
    ) -> ModelVersion:
        """Make a run's model a version; the family is made as needed.

        The version's metrics are the newest scores of each evaluator and version that are those
        of this very model; what was judged on its own training data gives way to what was not.

        Args:
            name: Name of the family.
            run_id: A completed run.
            label: Label of the version; ``v1``, ``v2``, ... by default.
            description: What is special about it.
            registry: Name of the registry that shall hold it.

        Returns:
            The version; without a label, the one with the same content when there is one.

        Raises:
            NotFoundError: No such run.
            UsageError: The run is not completed, has no model, or the label is not allowed.
            IntegrityError: The model is not the one that training left.
            ConflictError: The label names other content.
        """
        if label is not None and not _LABEL.fullmatch(label):
            raise UsageError(
                f"{label!r} cannot be a version",
                "use up to 64 letters, digits, '.', '_' and '-', the first a letter or digit",
            )
        run = self._runs.get(run_id)
        model = RunFolder(self._paths.run(run.id)).model
        if run.status != "completed" or not model.is_dir():
            why = f"its status is {run.status}" if run.status != "completed" else "it has no model"
            raise UsageError(
                f"run {run.id} cannot be promoted: {why}", f"see: tunix-rt runs show {run.id[:8]}"
            )
        held_by = self._plugins.find(REGISTRY, registry).full_name
        weights = tree_digest(model).sha256
        check_weights(run, weights)
        stored = self._registry(held_by).put(model)
        artifact = self._store.models.find_artifact(name) or self.create(name)
        version = self._version(run, weights, artifact, held_by, stored, description)
        kept = self._store.models.insert_version(artifact, version, label)
        if kept.id == version.id:
            self._plugins.observe("tunix_model_promoted", version=kept)
        return kept

    def _version(
        self,
        run: Run,
        weights: str,
        artifact: ModelArtifact,
        registry: str,
        stored: StoredModel,
        description: str | None,
    ) -> ModelVersion:
        """What a run's model is and where it came from; it has no label yet."""
        evaluations = _newest(
            evaluation
            for evaluation in self._evaluations.of_run(run.id)
            if self._evaluations.outdated(evaluation) is None
            and (evaluation.basis is None or evaluation.basis.weights_sha256 in (None, weights))
        )
        return ModelVersion(
            id=new_id(),
            artifact=artifact.name,
            version="",
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            source_run_id=run.id,
            registry=registry,
            metrics={_metric(e): e.score for e in reversed(evaluations)},
            config=unstructure(run.config),
            provenance={
                "dataset_key": run.dataset_key,
                "dataset_sha256": self._datasets.manifest(run.dataset_key).sha256,
                "weights_sha256": weights,
                "trainer": run.trainer,
                "model_id": run.model_id,
                "plugins": dict(run.plugins),
                "evaluations": [_reference(e) for e in evaluations],
            },
            created_at=now(),
            description=description,
        )

    def list(self, limit: int | None = None, offset: int = 0) -> builtins.list[ModelArtifact]:
        """Families, the last changed first; all of them unless ``limit`` is given."""
        return self._store.models.artifacts(limit, offset)

    def newest(self, names: Sequence[str]) -> dict[str, ModelVersion]:
        """The newest version of each of the families, by name; of those that have one."""
        return self._store.models.newest_versions(names)

    def get(self, name: str) -> ModelArtifact:
        """A family by its name or id.

        Raises:
            NotFoundError: There is none.
        """
        artifact = self._store.models.find_artifact(name)
        if artifact is None:
            known = [held.name for held in self.list()]
            hint = did_you_mean(name, known, "see: tunix-rt models list")
            raise NotFoundError(f"model {name!r} not found", hint)
        return artifact

    def versions(self, name: str) -> builtins.list[ModelVersion]:
        """The versions of a family, newest first."""
        return self._store.models.versions(self.get(name).id)

    def aliases(self, name: str) -> dict[str, str]:
        """The version label behind each alias of a family."""
        return self._store.models.aliases(self.get(name).id)

    def version(self, reference: str) -> ModelVersion:
        """A version by ``name`` (its newest), ``name@label``, ``name@alias`` or id.

        Raises:
            NotFoundError: There is none.
        """
        name, at, wanted = reference.partition("@")
        by_id = None if at else self._store.models.find_version(reference)
        if by_id is not None:
            return by_id
        artifact = self.get(name)
        held = self._store.models.versions(artifact.id)
        if not held:
            raise NotFoundError(
                f"model {name!r} has no version", f"tunix-rt models promote {name} RUN"
            )
        if not at:
            return held[0]
        for version in held:
            if version.version == wanted:
                return version
        aliased = self._store.models.find_alias(artifact.id, wanted)
        if aliased is None:
            known = ", ".join(version.version for version in held)
            raise NotFoundError(f"model {name!r} has no version {wanted!r}", f"known: {known}")
        return aliased

    def version_of_id(self, version_id: str) -> ModelVersion:
        """A version by its id alone.

        Raises:
            NotFoundError: There is none.
        """
        version = self._store.models.find_version(version_id)
        if version is None:
            raise NotFoundError(f"model version {version_id!r} not found")
        return version

    def location(self, version: ModelVersion) -> Path | None:
        """Where the files of a version lie, unchecked; None when not on this machine."""
        path = self._directory(version.registry) / version.sha256
        return path if path.is_dir() else None

    def alias(self, reference: str, alias: str) -> ModelVersion:
        """Let ``alias`` point to a version, wherever it pointed before.

        Raises:
            NotFoundError: No such version.
            UsageError: The alias is not allowed, or is the label of a version.
        """
        version = self.version(reference)
        artifact = self.get(version.artifact)
        if not _LABEL.fullmatch(alias):
            raise UsageError(f"{alias!r} cannot be an alias", "use letters, digits, '.', '_', '-'")
        if any(v.version == alias for v in self._store.models.versions(artifact.id)):
            raise UsageError(f"{alias!r} is a version of {artifact.name} already")
        self._store.models.put_alias(artifact.id, alias, version.id)
        return version

    def verify(self, reference: str) -> Path:
        """The directory of a version's files, checked just now.

        Raises:
            NotFoundError: No such version, or its files are gone.
            IntegrityError: Its files were changed.
        """
        version = self.version(reference)
        return self._registry(version.registry).get(version.sha256)

    def download(self, reference: str, target: Path) -> ModelVersion:
        """Write a version's files to ``target``: a ``.zip`` file, or else a new directory.

        Raises:
            ConflictError: The directory exists already.
            IntegrityError: The stored files were changed.
            TunixError: The disk is full; nothing is left behind.
        """
        version = self.version(reference)
        source = self.verify(reference)
        if target.suffix == ".zip":
            _write_zip(source, target)
        elif target.exists():
            raise ConflictError(f"{target} exists already", "choose a new directory")
        else:
            copy_tree(source, target)
        return version

    def _registry(self, full_name: str) -> Registry:
        provided = self._plugins.find(REGISTRY, full_name)
        return provided.create(directory=self._directory(provided.full_name))

    def _directory(self, full_name: str) -> Path:
        return self._paths.models / full_name.replace("/", ".")


def _newest(evaluations: Iterable[Evaluation]) -> builtins.list[Evaluation]:
    """The first of each evaluator and version, of evaluations that come newest first.

    Those on questions that the run was not trained on go before the others.
    """
    held: dict[tuple[str, str], Evaluation] = {}
    for evaluation in sorted(evaluations, key=lambda e: bool(e.training_overlap)):
        held.setdefault((evaluation.evaluator, evaluation.evaluator_version), evaluation)
    return [*held.values()]


def _metric(evaluation: Evaluation) -> str:
    """Bare name of the core's evaluators, full name of others."""
    return evaluation.evaluator.removeprefix("tunix-core/")


def _reference(evaluation: Evaluation) -> dict[str, object]:
    return {
        "id": evaluation.id,
        "evaluator": evaluation.evaluator,
        "version": evaluation.evaluator_version,
        "dataset_key": evaluation.dataset_key,
        "score": evaluation.score,
        "basis": unstructure(evaluation.basis),
        "beware": training_text(evaluation),
    }


def _write_zip(source: Path, target: Path) -> None:
    with atomic_file(target) as out, zipfile.ZipFile(out, "w") as archive:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(source).as_posix(), _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as member:
                shutil.copyfileobj(file, member)
