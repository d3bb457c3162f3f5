"""Replies by what was asked, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from tunix_core.base.files import write_atomically
from tunix_core.codec import canonical_json, loads, structure, unstructure
from tunix_core.errors import InvalidRecordError
from tunix_judges.endpoints import Reply


class ReplyCache:
    """A file for each reply, by the digest of its address, its request and its sample's number.

    Args:
        directory: Where the files are; None keeps nothing.
        ask_again: Write replies, and read none.
    """

    def __init__(self, directory: Path | None, ask_again: bool = False) -> None:
        self._directory = directory
        self._ask_again = ask_again
        # What makes a file looks at the process's umask, which threads share.
        self._writing = Lock()

    def reply(
        self,
        url: str,
        request: Mapping[str, Any],
        sample: int,
        ask: Callable[[Mapping[str, Any]], Reply],
    ) -> Reply:
        """The reply to a request: that which is kept, or else a new one, which is kept.

        Args:
            url: Who is asked.
            request: What is asked.
            sample: Which of several replies to the same request, from 0.
            ask: Gets a new reply; what it raises is not kept.

        Raises:
            TunixError: The reply cannot be written, or what ``ask`` raises.
        """
        if self._directory is None:
            return ask(request)
        asked = {"url": url, "request": dict(request), "sample": sample}
        digest = hashlib.sha256(canonical_json(asked).encode()).hexdigest()
        path = self._directory / digest[:2] / f"{digest}.json"
        kept = None if self._ask_again else _read(path)
        if kept is not None:
            return kept
        reply = ask(request)
        with self._writing:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps({**asked, "reply": unstructure(reply)}) + "\n")
        return reply


def _read(path: Path) -> Reply | None:
    """A kept reply; None where there is none, or only a damaged one."""
    try:
        return structure(Reply, loads(path.read_bytes())["reply"])
    except (FileNotFoundError, InvalidRecordError, KeyError, TypeError):
        return None
