"""Models as file trees on this machine, named by the digest of what is in them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from tunix_core.base.clock import new_id
from tunix_core.base.file_trees import TreeDigest, files, tree_digest
from tunix_core.base.files import sync_directory
from tunix_core.base.locks import FileLock
from tunix_core.errors import IntegrityError, NotFoundError, TunixError, UsageError
from tunix_core.protocols import StoredModel

CHUNK = 1 << 20

_INCOMING = ".incoming-"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class LocalRegistry:
    """A directory with one read-only file tree per digest.

    Args:
        directory: Where the trees lie; made as needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, source: Path) -> StoredModel:
        """Copy the file tree below ``source``; it appears whole or not at all.

        Raises:
            UsageError: There are no files, or something that is no plain file.
            TunixError: The disk is full; nothing was stored.
        """
        held = list(files(source))
        if not held:
            raise UsageError(f"{source} holds no files to store")
        with FileLock(self._directory / ".lock", wait_s=600.0):
            # Whoever made these died: it would hold the lock otherwise.
            for abandoned in self._directory.glob(f"{_INCOMING}*"):
                shutil.rmtree(abandoned)
            incoming = self._directory / f"{_INCOMING}{new_id()}"
            try:
                stored = _copy(source, held, incoming)
                target = self._directory / stored.sha256
                if target.exists():
                    # An earlier copy of the same content may have been damaged since.
                    self.get(stored.sha256)
                else:
                    incoming.rename(target)
                    sync_directory(self._directory)
            except OSError as error:
                raise TunixError(f"cannot store {source}: {error.strerror or error}") from error
            finally:
                shutil.rmtree(incoming, ignore_errors=True)
        return stored

    def get(self, sha256: str) -> Path:
        """The directory of a stored tree, checked just now.

        Raises:
            NotFoundError: Nothing is stored under this digest.
            IntegrityError: What is stored is not what the digest says.
        """
        path = self._directory / sha256
        if not _DIGEST.fullmatch(sha256) or not path.is_dir():
            raise NotFoundError(f"no model {sha256[:16]!r} in {self._directory}")
        try:
            found = tree_digest(path)
        except UsageError as error:
            raise IntegrityError(f"model {sha256[:16]} was changed: {error}") from None
        if found.sha256 != sha256:
            raise IntegrityError(
                f"model {sha256[:16]} was changed: its files now have digest {found.sha256[:16]}",
                f"remove {path} and promote the run again",
            )
        return path


def _copy(source: Path, held: list[Path], target: Path) -> StoredModel:
    """Copy and digest in one pass, so that the digest is that of what was copied."""
    entries = []
    target.mkdir()
    for path in held:
        name = path.relative_to(source)
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("rb") as reader, copy.open("wb") as writer:
            while chunk := reader.read(CHUNK):
                digest.update(chunk)
                writer.write(chunk)
            writer.flush()
            os.fchmod(writer.fileno(), 0o444)
            os.fsync(writer.fileno())
            size = writer.tell()
        entries.append((name.as_posix(), digest.hexdigest(), size))
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        sync_directory(folder)
    copied = TreeDigest.of(entries)
    return StoredModel(copied.sha256, copied.size_bytes)
