"""Names that clients give to runs' directories: links below ``outputs/`` in the workspace."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from tunix_core.base.clock import new_id
from tunix_core.errors import ConflictError, UsageError

_HINT = "give a relative path without '..'; it is taken below outputs/ in the workspace"


def normalise(output_dir: str) -> str:
    """The path as the client meant it, without ``.`` and doubled slashes.

    Raises:
        UsageError: It is empty or absolute, leaves its root, or can be no path.
    """
    path = PurePosixPath(output_dir)
    bad = any(part == ".." or len(os.fsencode(part)) > 255 for part in _encodable(path))
    if not path.parts or path.is_absolute() or "\0" in output_dir or bad:
        raise UsageError(f"output_dir {output_dir!r} cannot be used", _HINT)
    return path.as_posix()


def reserve(outputs: Path, output_dir: str) -> Path:
    """The place of the link of a normalised path, free or taken by an earlier link.

    Args:
        outputs: The root of all links; made as needed, as are the directories on the way.
        output_dir: As :func:`normalise` returns it; a leading ``output`` or ``outputs`` is the
            root itself.

    Raises:
        ConflictError: A file, a directory or another run's link is in the way.
        UsageError: The path is too long.
    """
    parts = PurePosixPath(output_dir).parts
    if len(parts) > 1 and parts[0] in ("output", "outputs"):
        parts = parts[1:]
    place = outputs
    try:
        place.mkdir(exist_ok=True)
        for part in parts[:-1]:
            place = place / part
            if place.is_symlink():
                raise _conflict(output_dir, f"{place.name} is the directory of a run")
            place.mkdir(exist_ok=True)
        place = place / parts[-1]
        if not place.is_symlink() and place.exists():
            raise _conflict(output_dir, "it exists and is no run's")
    except FileExistsError:
        raise _conflict(output_dir, f"{place.name} is a file") from None
    except OSError as error:
        raise UsageError(f"output_dir {output_dir!r}: {error.strerror}", _HINT) from None
    return place


def link(place: Path, folder: Path) -> None:
    """Let ``place`` lead to ``folder``, whatever run it led to before."""
    target = os.path.relpath(folder.resolve(), place.parent.resolve())
    temporary = place.with_name(f".{new_id()}")
    temporary.symlink_to(target, target_is_directory=True)
    temporary.replace(place)


def _encodable(path: PurePosixPath) -> tuple[str, ...]:
    """The parts; a text that is no file name, as one with a lone surrogate, counts as ``..``."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return ("..",)
    return path.parts


def _conflict(output_dir: str, reason: str) -> ConflictError:
    return ConflictError(f"output_dir {output_dir!r} is taken: {reason}", "choose another")
