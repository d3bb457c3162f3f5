"""The recorded steps of a run: a line of JSON each, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from attrs import frozen

from tunix_core.base.files import write_atomically
from tunix_core.runs.stored import damaged

TAIL_BYTES = 64 * 1024


@frozen
class Metrics:
    """The steps in a file, which need not exist yet; a line still being written is left out.

    Every reader raises IntegrityError for a line that is damaged.

    Args:
        path: The file.
    """

    path: Path

    def steps(self) -> Iterator[dict[str, Any]]:
        """All of them, in order."""
        for line in self._lines():
            yield self._step(line)

    def last(self) -> dict[str, Any] | None:
        """The newest."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return self.newest_since(max(0, size - TAIL_BYTES))[0]

    def newest_since(self, start: int) -> tuple[dict[str, Any] | None, int]:
        """The newest that was recorded since a place in the file, and the place after it.

        Args:
            start: Bytes from the beginning of the file.
        """
        if not self.path.exists():
            return None, start
        with self.path.open("rb") as file:
            file.seek(start)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return None, start
        return self._step(whole.rpartition(b"\n")[2]), start + len(whole) + len(b"\n")

    def open_after(self, step: int) -> IO[str]:
        """Cut back to ``step``, since later ones are done again, and open for more."""
        if self.path.exists():
            kept = []
            for line in self._lines():
                if self._step(line)["step"] > step:
                    break
                kept.append(line)
            write_atomically(self.path, b"".join(kept))
        return self.path.open("a", encoding="utf-8")

    def _lines(self) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def _step(self, line: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise damaged(self.path, str(error)) from None
        if not isinstance(fields, dict) or type(fields.get("step")) is not int:
            raise damaged(self.path, "a line tells no step")
        return fields
