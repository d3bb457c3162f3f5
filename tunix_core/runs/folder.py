"""What lies in a run's directory, for those who look on."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from tunix_core.base import jsonl
from tunix_core.errors import ConfinementError, NotFoundError

LOCK = "lock"
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


@frozen
class RunProgress:
    """How far a run is; None before its training begins.

    Args:
        step: Steps taken.
        total_steps: Steps to take in all.
        resumed_from: The step that the present attempt went on from.
        loss: Loss of the newest step, where the trainer reports one.
    """

    step: int | None = None
    total_steps: int | None = None
    resumed_from: int | None = None
    loss: float | None = None


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


def progress(folder: Path) -> RunProgress:
    """How far the run in a directory is, by what its reporter wrote."""
    plan = folder / "progress.json"
    if not plan.exists():
        return RunProgress()
    begun = json.loads(plan.read_text(encoding="utf-8"))
    last = last_metrics(folder) or {}
    loss = last.get("loss")
    return RunProgress(
        step=last.get("step", begun["resumed_from"]),
        total_steps=begun["total_steps"],
        resumed_from=begun["resumed_from"],
        loss=float(loss) if isinstance(loss, int | float) else None,
    )


def metrics(folder: Path) -> Iterator[dict[str, Any]]:
    """The recorded steps, in order; a line still being written is left out."""
    yield from map(json.loads, jsonl.whole_lines(folder / "metrics.jsonl"))


def last_metrics(folder: Path) -> dict[str, Any] | None:
    """The newest recorded step."""
    line = jsonl.last(folder / "metrics.jsonl")
    fields: dict[str, Any] | None = None if line is None else json.loads(line)
    return fields


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
