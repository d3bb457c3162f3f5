"""Model families, their versions, and the aliases that point to versions."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence

from attrs import evolve

from tunix_core.errors import ConflictError
from tunix_core.records import ModelArtifact, ModelVersion
from tunix_core.store.connection import Connection
from tunix_core.store.rows import Table, Values, as_it_is

_ARTIFACTS = Table("model_artifacts", ModelArtifact)
_VERSIONS = Table(
    "model_versions",
    ModelVersion,
    json=dict.fromkeys(("metrics", "config", "provenance"), as_it_is),
    joined=("artifact",),
    is_ordered=True,
    sort_keys=True,
)
_JOINED = (
    "JOIN (SELECT id AS artifact_id, name AS artifact FROM model_artifacts) USING (artifact_id)"
)
_AUTOMATIC = re.compile(r"v(\d+)")


class ModelStore:
    """Families by name, and their versions in the order in which they were made."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert_artifact(self, artifact: ModelArtifact) -> None:
        """Store a new family.

        Raises:
            ConflictError: The name is taken.
        """
        with self._connection.transaction():
            try:
                _ARTIFACTS.insert(self._connection, artifact)
            except sqlite3.IntegrityError:
                raise ConflictError(f"model {artifact.name!r} exists already") from None

    def find_artifact(self, name_or_id: str) -> ModelArtifact | None:
        """A family by its name or id; a name that is the id of another does not hide that."""
        rest = "WHERE name = :it OR id = :it ORDER BY id = :it DESC"
        return _ARTIFACTS.first(self._connection, rest, {"it": name_or_id})

    def artifacts(self, limit: int | None = None, offset: int = 0) -> list[ModelArtifact]:
        """Families, the last changed first; all of them without a ``limit``."""
        rest = "ORDER BY updated_at DESC, name LIMIT ? OFFSET ?"
        return _ARTIFACTS.all(self._connection, rest, (-1 if limit is None else limit, offset))

    def count(self) -> int:
        """Number of families."""
        return _ARTIFACTS.count(self._connection)

    def insert_version(
        self, artifact: ModelArtifact, version: ModelVersion, label: str | None
    ) -> ModelVersion:
        """Store a version under ``label``.

        Without a label, a version of the same content is returned as it is, and a new one is
        called ``v1``, ``v2``, ...

        Raises:
            ConflictError: The label names other content.
        """
        with self._connection.transaction():
            held = self.versions(artifact.id)
            for other in held:
                if other.sha256 == version.sha256 and label in (None, other.version):
                    return other
                if other.version == label:
                    raise ConflictError(
                        f"{artifact.name}@{label} exists already with other content",
                        "versions never change: choose another label",
                    )
            numbers = [int(m.group(1)) for v in held if (m := _AUTOMATIC.fullmatch(v.version))]
            version = evolve(version, version=label or f"v{max(numbers, default=0) + 1}")
            _VERSIONS.insert(self._connection, version, more={"artifact_id": artifact.id})
            self._connection.execute(
                "UPDATE model_artifacts SET updated_at = ? WHERE id = ?",
                (version.created_at, artifact.id),
            )
        return version

    def versions(self, artifact_id: str) -> list[ModelVersion]:
        """The versions of a family, newest first."""
        return self._versions("artifact_id = ?", (artifact_id,))

    def newest_versions(self, names: Sequence[str]) -> dict[str, ModelVersion]:
        """The newest version of each family by the family's name; of those that have one."""
        held = self._versions(
            "sequence IN (SELECT max(sequence) FROM model_versions GROUP BY artifact_id) "
            "AND artifact IN (SELECT value FROM json_each(?))",
            (json.dumps(names),),
        )
        return {version.artifact: version for version in held}

    def find_version(self, version_id: str) -> ModelVersion | None:
        """A version by its id."""
        found = self._versions("id = ?", (version_id,))
        return found[0] if found else None

    def find_alias(self, artifact_id: str, alias: str) -> ModelVersion | None:
        """The version that an alias points to."""
        where = "id = (SELECT version_id FROM model_aliases WHERE artifact_id = ? AND alias = ?)"
        found = self._versions(where, (artifact_id, alias))
        return found[0] if found else None

    def put_alias(self, artifact_id: str, alias: str, version_id: str) -> None:
        """Let an alias point to a version, wherever it pointed before."""
        with self._connection.transaction():
            self._connection.execute(
                "INSERT INTO model_aliases (artifact_id, alias, version_id) VALUES (?, ?, ?) "
                "ON CONFLICT (artifact_id, alias) DO UPDATE SET version_id = excluded.version_id",
                (artifact_id, alias, version_id),
            )

    def aliases(self, artifact_id: str) -> dict[str, str]:
        """Version labels by alias."""
        rows = self._connection.execute(
            "SELECT n.alias, v.version FROM model_aliases n JOIN model_versions v "
            "ON v.id = n.version_id WHERE n.artifact_id = ? ORDER BY n.alias",
            (artifact_id,),
        )
        return dict(rows.fetchall())

    def _versions(self, where: str, values: Values) -> list[ModelVersion]:
        rest = f"{_JOINED} WHERE {where} ORDER BY sequence DESC"
        return _VERSIONS.all(self._connection, rest, values)
