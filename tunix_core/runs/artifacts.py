"""The files of a run as they are listed and given out."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from attrs import frozen

from tunix_core.errors import ConfinementError, NotFoundError
from tunix_core.runs.folder import LOCK

LOCK_SUFFIX = ".lock"


@frozen
class Artifact:
    """A file of a run.

    Args:
        name: Its name.
        path: Its path below the run's directory, with ``/``.
        size: Its size in bytes.
    """

    name: str
    path: str
    size: int


def artifacts(folder: Path) -> list[Artifact]:
    """The plain files in a directory and below it, sorted by path; locks are left out."""
    root = folder.resolve()
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            size = _size(path, root)
            if size is not None:
                found.append(Artifact(name, path.relative_to(root).as_posix(), size))
    return sorted(found, key=lambda artifact: artifact.path)


def artifact(folder: Path, path: str) -> Path:
    """A file of a directory by its path in it.

    Raises:
        ConfinementError: The path leaves the directory, symbolic links resolved.
        NotFoundError: There is no such file.
    """
    root = folder.resolve()
    try:
        wanted = root.joinpath(path)
        inside = wanted.resolve().is_relative_to(root)
        size = _size(wanted, root)
    except (OSError, RuntimeError, ValueError):
        # A loop of links, or a name that is too long or that no file can have.
        raise NotFoundError(f"artifact {path!r} not found") from None
    if not inside:
        raise ConfinementError(f"artifact {path!r} leaves the run's directory")
    if size is None:
        raise NotFoundError(f"artifact {path!r} not found", "see: tunix-rt runs artifacts RUN")
    return wanted.resolve()


def _size(path: Path, root: Path) -> int | None:
    """Size of a plain file that lies below ``root``; None of anything else."""
    try:
        if (
            path.name == LOCK
            or path.suffix == LOCK_SUFFIX
            or not path.resolve().is_relative_to(root)
        ):
            return None
        status = path.stat()
    except (OSError, RuntimeError):
        # It has vanished, or is a loop of links.
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
