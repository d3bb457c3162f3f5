"""Files that are either whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tunix_core.errors import TunixError


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable; a no-op where directories cannot be opened."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name, durable, when the block ends without an error.

    The bytes go to a temporary file beside ``path``, which is renamed over it at the end.

    Raises:
        TunixError: The disk is full or the directory cannot be written; ``path`` is as it was.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            # mkstemp makes private files; a finished one gets the usual permissions.
            os.fchmod(out.fileno(), 0o666 & ~_umask())
            os.fsync(out.fileno())
        temporary.replace(path)
        temporary = None
        sync_directory(path.parent)
    except OSError as error:
        raise TunixError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` (text as UTF-8); readers see the old or the new, whole.

    Raises:
        TunixError: The disk is full or the directory cannot be written; ``path`` is as it was.
    """
    with atomic_file(path) as out:
        out.write(content.encode() if isinstance(content, str) else content)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a directory; the copy is whole or not there, and writable whatever the source is.

    Raises:
        TunixError: The disk is full, or the source cannot be read; nothing is left behind.
    """
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        _copy_into(source, aside)
        # mkdtemp makes private directories.
        aside.chmod(0o777 & ~_umask())
        aside.rename(target)
    except OSError as error:
        raise TunixError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _copy_into(source: Path, target: Path) -> None:
    # Not by shutil.copytree, which copies the modes of directories.
    for path in sorted(source.iterdir()):
        copy = target / path.name
        if path.is_symlink():
            copy.symlink_to(path.readlink())
        elif path.is_dir():
            copy.mkdir()
            _copy_into(path, copy)
        else:
            shutil.copyfile(path, copy)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
