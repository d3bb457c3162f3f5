"""Model families, their versions, and the aliases that point to versions."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from sqlite_utils import Database

from tunix_core.codec import unstructure
from tunix_core.errors import ConflictError
from tunix_core.records import ModelArtifact, ModelVersion
from tunix_core.store.connection import write_transaction

_ARTIFACT = "id, name, description, task_type, created_at, updated_at"
_JSON = ("metrics", "config", "provenance")
_OWN = (
    "id",
    "version",
    "sha256",
    "size_bytes",
    "source_run_id",
    "registry",
    *_JSON,
    "created_at",
    "description",
)
_SELECT = (
    f"SELECT a.name AS artifact, {', '.join('v.' + name for name in _OWN)} "  # noqa: S608
    "FROM model_versions v JOIN model_artifacts a ON a.id = v.artifact_id"
)
_AUTOMATIC = re.compile(r"v(\d+)")


def insert_artifact(database: Database, artifact: ModelArtifact) -> None:
    """Store a new family.

    Raises:
        ConflictError: The name is taken.
    """
    with write_transaction(database) as connection:
        try:
            connection.execute(
                f"INSERT INTO model_artifacts ({_ARTIFACT}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                tuple(unstructure(artifact).values()),
            )
        except sqlite3.IntegrityError:
            raise ConflictError(f"model {artifact.name!r} exists already") from None


def find_artifact(database: Database, name_or_id: str) -> ModelArtifact | None:
    """A family by its name or id; a name that is the id of another does not hide that."""
    row = database.conn.execute(
        f"SELECT {_ARTIFACT} FROM model_artifacts WHERE name = :it OR id = :it "  # noqa: S608
        "ORDER BY id = :it DESC",
        {"it": name_or_id},
    ).fetchone()
    return None if row is None else ModelArtifact(*row)


def artifacts(database: Database, limit: int | None = None, offset: int = 0) -> list[ModelArtifact]:
    """Families, the last changed first; all of them without a ``limit``."""
    rows = database.conn.execute(
        f"SELECT {_ARTIFACT} FROM model_artifacts ORDER BY updated_at DESC, name "  # noqa: S608
        "LIMIT ? OFFSET ?",
        (-1 if limit is None else limit, offset),
    )
    return [ModelArtifact(*row) for row in rows]


def count(database: Database) -> int:
    """Number of families."""
    return int(database.conn.execute("SELECT count(*) FROM model_artifacts").fetchone()[0])


def insert_version(
    database: Database, artifact: ModelArtifact, version: ModelVersion, label: str | None
) -> ModelVersion:
    """Store a version under ``label``.

    Without a label, a version of the same content is returned as it is, and a new one is called
    ``v1``, ``v2``, ...

    Raises:
        ConflictError: The label names other content.
    """
    with write_transaction(database) as connection:
        held = _versions(connection, "WHERE v.artifact_id = ?", (artifact.id,))
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
        fields = unstructure(version)
        fields |= {name: json.dumps(fields[name], sort_keys=True) for name in _JSON}
        connection.execute(
            f"INSERT INTO model_versions (sequence, artifact_id, {', '.join(_OWN)}) "  # noqa: S608
            "VALUES ((SELECT coalesce(max(sequence), 0) + 1 FROM model_versions), ?, "
            f"{', '.join('?' * len(_OWN))})",
            (artifact.id, *(fields[name] for name in _OWN)),
        )
        connection.execute(
            "UPDATE model_artifacts SET updated_at = ? WHERE id = ?",
            (version.created_at, artifact.id),
        )
    return version


def versions(database: Database, artifact_id: str) -> list[ModelVersion]:
    """The versions of a family, newest first."""
    return _versions(database.conn, "WHERE v.artifact_id = ?", (artifact_id,))


def newest_versions(database: Database, names: Sequence[str]) -> dict[str, ModelVersion]:
    """The newest version of each family by the family's name; families without one left out."""
    held = _versions(
        database.conn,
        "WHERE v.sequence IN (SELECT max(sequence) FROM model_versions GROUP BY artifact_id) "
        "AND a.name IN (SELECT value FROM json_each(?))",
        (json.dumps(names),),
    )
    return {version.artifact: version for version in held}


def find_version(database: Database, version_id: str) -> ModelVersion | None:
    """A version by its id."""
    found = _versions(database.conn, "WHERE v.id = ?", (version_id,))
    return found[0] if found else None


def find_alias(database: Database, artifact_id: str, alias: str) -> ModelVersion | None:
    """The version that an alias points to."""
    where = "JOIN model_aliases n ON n.version_id = v.id WHERE n.artifact_id = ? AND n.alias = ?"
    found = _versions(database.conn, where, (artifact_id, alias))
    return found[0] if found else None


def put_alias(database: Database, artifact_id: str, alias: str, version_id: str) -> None:
    """Let an alias point to a version, wherever it pointed before."""
    with write_transaction(database) as connection:
        connection.execute(
            "INSERT INTO model_aliases (artifact_id, alias, version_id) VALUES (?, ?, ?) "
            "ON CONFLICT (artifact_id, alias) DO UPDATE SET version_id = excluded.version_id",
            (artifact_id, alias, version_id),
        )


def aliases(database: Database, artifact_id: str) -> dict[str, str]:
    """Version labels by alias."""
    rows = database.conn.execute(
        "SELECT n.alias, v.version FROM model_aliases n JOIN model_versions v "
        "ON v.id = n.version_id WHERE n.artifact_id = ? ORDER BY n.alias",
        (artifact_id,),
    )
    return dict(rows.fetchall())


def _versions(
    connection: sqlite3.Connection, where: str, values: Sequence[Any]
) -> list[ModelVersion]:
    rows = connection.execute(f"{_SELECT} {where} ORDER BY v.sequence DESC", values)
    found = []
    for row in rows:
        fields = dict(zip(("artifact", *_OWN), row, strict=True))
        found.append(ModelVersion(**fields | {name: json.loads(fields[name]) for name in _JSON}))
    return found
