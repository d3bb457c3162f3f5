"""Waiting for the processes that executors start, and ending them."""

from __future__ import annotations

import time
from collections.abc import Callable

from tunix_core.errors import TunixError
from tunix_core.protocols import Executor, Process, ProcessRequest

POLL_S = 0.2
# Enough to write a checkpoint and a model of some ten gigabytes to a slow disk.
GRACE_S = 600.0


def stop(process: Process, while_waiting: Callable[[], object] = lambda: None) -> int | None:
    """Terminate a process, wait a while, then kill it; returns the exit code.

    Args:
        process: The process.
        while_waiting: Called several times a second until it has ended.
    """
    try:
        process.terminate()
        deadline = time.monotonic() + GRACE_S
        while process.poll() is None and time.monotonic() < deadline:
            while_waiting()
            time.sleep(POLL_S)
    finally:
        process.kill()
    return process.poll()


def run_to_end(executor: Executor, request: ProcessRequest, poll: Callable[[], None]) -> None:
    """Run a process to its end, calling ``poll`` now and then.

    Raises:
        TunixError: It failed; the message is the last line it wrote.
    """
    process = executor.start(request)
    try:
        while process.poll() is None:
            poll()
            time.sleep(POLL_S)
    except BaseException:
        stop(process)
        raise
    poll()
    if process.poll() != 0:
        line = process.last_line().removeprefix("error: ")
        raise TunixError(line, f"log: {request.log}")
