"""A further host's part in a run that a worker executes on the first host.

The hosts share the workspace directory. Only the first opens the database: SQLite's write-ahead
log does not work across hosts. A further host reads the run as it was created from ``run.json``.
"""

from __future__ import annotations

import os
import socket

from tunix_core.base.lookup import by_beginning
from tunix_core.base.paths import WorkspacePaths
from tunix_core.errors import ConflictError, NotFoundError
from tunix_core.protocols import Executor, ProcessRequest
from tunix_core.records import Run
from tunix_core.runs.folder import RunFolder, described
from tunix_core.runs.local_executor import LocalExecutor
from tunix_core.runs.processes import run_to_end


def created_run(paths: WorkspacePaths, run_id: str) -> Run:
    """A run as it was created, by its id or an unambiguous beginning of it.

    Args:
        paths: The workspace.
        run_id: Id, or beginning of one.

    Raises:
        NotFoundError: None or several runs match.
        IntegrityError: What describes it is damaged.
    """

    def beginning_with(beginning: str) -> list[RunFolder]:
        return [each for each in described(paths.runs) if each.path.name.startswith(beginning)]

    hint = f"looked in {paths.runs}"
    run = by_beginning("run", run_id, beginning_with, hint).run()
    if run is None:
        raise NotFoundError(f"run {run_id!r} not found", hint)
    return run


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
    folder = RunFolder(paths.run(run_id))
    if folder.result() is not None:
        raise ConflictError(f"run {run_id} has ended", "resume it on the first host, then join")
    log = folder.log_of(socket.gethostname(), os.getpid()).path
    request = ProcessRequest(job="join", workspace=paths.root, arguments=(run_id,), log=log)
    run_to_end(executor or LocalExecutor(), request, poll=lambda: None)
