"""Directories that are replaced as a whole, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from tunix_core.base.files import sync_directory
from tunix_core.errors import TunixError


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """An empty directory that takes the place of ``directory``, durably, when the block ends.

    Raises:
        TunixError: The disk is full or the directory cannot be written; ``directory`` is as it
            was.
    """
    temporary = directory.with_name(f".{directory.name}.tmp")
    old = directory.with_name(f".{directory.name}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync_directory(temporary)
        shutil.rmtree(old, ignore_errors=True)
        if directory.exists():
            directory.rename(old)
        temporary.rename(directory)
        sync_directory(directory.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise TunixError(f"cannot write {directory}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise TunixError(f"cannot write {directory}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
