"""JSON files of a run: written whole, read as the record that they hold, named when damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from tunix_core.base.files import write_atomically
from tunix_core.codec import structure
from tunix_core.errors import IntegrityError, InvalidRecordError

T = TypeVar("T")


def write(path: Path, data: Any, indent: int | None = None) -> None:
    """Replace a file by plain data as JSON; readers see the old or the new, whole.

    Raises:
        TunixError: The disk is full or the directory cannot be written.
    """
    write_atomically(path, json.dumps(data, indent=indent) + "\n")


def read(path: Path, kind: type[T]) -> T | None:
    """The record in a file; None where there is no file.

    Raises:
        IntegrityError: The file is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return structure(kind, json.loads(content))
    except InvalidRecordError as error:
        raise damaged(path, "; ".join(error.problems)) from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None


def damaged(path: Path, reason: str) -> IntegrityError:
    """The error of a file of a run that does not hold what was written."""
    where = "/".join(path.parts[-3:])
    return IntegrityError(f"{where} is damaged: {reason}", "restore it, or execute the run again")
