"""A further host's part in a run that a worker executes on the first host.

The hosts share the workspace directory. Only the first opens the database: SQLite's write-ahead
log does not work across hosts. A further host reads the run as it was created from ``run.json``.
"""

from __future__ import annotations

import os
import socket

from tunix_core.base.paths import WorkspacePaths
from tunix_core.errors import ConflictError, NotFoundError
from tunix_core.records import Run
from tunix_core.runs.folder import RunFolder, described
from tunix_core.runs.processes import run_child


def created_run(paths: WorkspacePaths, run_id: str) -> Run:
    """A run as it was created, by its id or an unambiguous beginning of it.

    Args:
        paths: The workspace.
        run_id: Id, or beginning of one.

    Raises:
        NotFoundError: None or several runs match.
        IntegrityError: What describes it is damaged.
    """
    folders = described(paths.runs) if run_id else ()
    found = [folder for folder in folders if folder.path.name.startswith(run_id)]
    run = found[0].run() if len(found) == 1 else None
    if run is None:
        problem = "is ambiguous" if found else "not found"
        raise NotFoundError(f"run {run_id!r} {problem}", f"looked in {paths.runs}")
    return run


def join(paths: WorkspacePaths, run_id: str) -> None:
    """Train as a further host, in a child process; returns when training ends.

    What the child prints goes to a file beside the run's own log.

    Args:
        paths: The workspace.
        run_id: Full id of the run.

    Raises:
        ConflictError: The run has ended already.
        TunixError: This host's part failed; the message is the last line it wrote.
    """
    folder = RunFolder(paths.run(run_id))
    if folder.result() is not None:
        raise ConflictError(f"run {run_id} has ended", "resume it on the first host, then join")
    log = folder.log_of(socket.gethostname(), os.getpid())
    run_child(["join", str(paths.root), run_id], log, poll=lambda: None)
