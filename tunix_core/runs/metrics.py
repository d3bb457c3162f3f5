"""The recorded steps of a run: a line of JSON each, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from attrs import frozen

from tunix_core.base import jsonl
from tunix_core.base.files import atomic_file
from tunix_core.errors import IntegrityError
from tunix_core.runs.stored import damaged


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
        return map(self._step, jsonl.whole_lines(self.path))

    def last(self) -> dict[str, Any] | None:
        """The newest."""
        line = jsonl.last(self.path)
        return None if line is None else self._step(line)

    def open_after(self, step: int) -> FileIO:
        """Cut back to ``step``, since later ones are done again, and open for more.

        Damaged lines are left out, so that good checkpoints can be gone on from.
        """
        if self.path.exists():
            with atomic_file(self.path) as out:
                out.writelines(self._lines_until(step))
        return jsonl.resume(self.path)

    def _lines_until(self, step: int) -> Iterator[bytes]:
        for line in jsonl.whole_lines(self.path):
            try:
                recorded = self._step(line)["step"]
            except IntegrityError:
                continue
            if recorded > step:
                return
            yield line

    def _step(self, line: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise damaged(self.path, str(error)) from None
        if not isinstance(fields, dict) or type(fields.get("step")) is not int:
            raise damaged(self.path, "a line tells no step")
        return fields
