"""Digests of file trees, by which a model is told from every other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

from tunix_core.errors import UsageError


@frozen
class TreeDigest:
    """What a file tree is.

    Args:
        sha256: SHA-256 of one line ``sha256  size  path`` per file, in the order of the paths.
        size_bytes: Sum of the file sizes.
    """

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, entries: Iterable[tuple[str, str, int]]) -> TreeDigest:
        """The digest of a tree by its files.

        Args:
            entries: Path from the root, SHA-256 and size of every file.
        """
        held = sorted(entries)
        lines = "".join(f"{digest}  {size}  {name}\n" for name, digest, size in held)
        whole = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
        return cls(whole, sum(size for _, _, size in held))


def tree_digest(directory: Path) -> TreeDigest:
    """Digest and size of the file tree below a directory.

    Raises:
        UsageError: Something in it is no plain file.
    """
    entries = []
    for path in files(directory):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        entries.append((path.relative_to(directory).as_posix(), digest, size))
    return TreeDigest.of(entries)


def files(directory: Path) -> Iterator[Path]:
    """The files of a tree, sorted.

    Raises:
        UsageError: Something in it is no plain file.
    """
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path} is no plain file", "a model consists of plain files only")
        if path.is_file():
            yield path
