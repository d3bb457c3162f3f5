"""A further host's part in a run that a worker executes on the first host.

The hosts share the workspace directory. Only the first opens the database: SQLite's write-ahead
log does not work across hosts. A further host reads the run as it was created from ``run.json``.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from tunix_core.base.lookup import by_beginning
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import structure
from tunix_core.errors import ConflictError
from tunix_core.protocols import Executor, ProcessRequest
from tunix_core.records import Run
from tunix_core.runs.local_executor import LocalExecutor
from tunix_core.runs.processes import run_to_end


def created_run(paths: WorkspacePaths, run_id: str) -> Run:
    """A run as it was created, by its id or an unambiguous beginning of it.

    Args:
        paths: The workspace.
        run_id: Id, or beginning of one.

    Raises:
        NotFoundError: None or several runs match.
    """

    def created(beginning: str) -> list[Path]:
        files = paths.runs.glob("*/run.json")
        return [file for file in files if file.parent.name.startswith(beginning)]

    file = by_beginning("run", run_id, created, f"looked in {paths.runs}")
    return structure(Run, json.loads(file.read_text("utf-8")), "run")


def join(paths: WorkspacePaths, run_id: str, executor: Executor | None = None) -> None:
    """Train as a further host, in a process of its own; returns when training ends.

    What it prints goes to a file beside the run's own log.

    Args:
        paths: The workspace.
        run_id: Full id of the run.
        executor: Starts the process; by default it is a child of this one.

    Raises:
        ConflictError: The run has ended already.
        TunixError: This host's part failed; the message is the last line it wrote.
    """
    folder = paths.run(run_id)
    if (folder / "result.json").exists():
        raise ConflictError(f"run {run_id} has ended", "resume it on the first host, then join")
    log = folder / f"log-{socket.gethostname()}-{os.getpid()}.jsonl"
    request = ProcessRequest(job="join", workspace=paths.root, arguments=(run_id,), log=log)
    run_to_end(executor or LocalExecutor(), request, poll=lambda: None)
