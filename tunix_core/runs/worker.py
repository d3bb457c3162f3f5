"""Claims runs, trains them in processes of their own, and validates dry runs itself."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress

from attrs import frozen

from tunix_core.base.paths import WorkspacePaths
from tunix_core.errors import TunixError, one_line
from tunix_core.plugins import Plugins
from tunix_core.protocols import Executor, Process, ProcessRequest
from tunix_core.records import TERMINAL_STATUSES, Run, RunResult, RunStatus, StopReason
from tunix_core.runs.folder import RunFolder
from tunix_core.runs.local_executor import LocalExecutor
from tunix_core.runs.log import LogWriter, RunLog, Stream
from tunix_core.runs.processes import GRACE_S, POLL_S, stop
from tunix_core.runs.service import Runs

HEARTBEAT_S = 2.0
IDLE_S = 1.0
MAX_ERROR_CHARS = 500
# Reasons for which training ends of itself, with the model that was asked for.
COMPLETE: tuple[StopReason, ...] = ("completed", "early_stopping", "time_budget")


@frozen
class _Outcome:
    """How a run ended; ``pending`` puts it back in the queue."""

    status: RunStatus
    exit_code: int | None = None
    error: str | None = None
    result: RunResult | None = None


class Worker:
    """Executes runs one at a time.

    Args:
        runs: Where runs are claimed.
        plugins: Whose observers are told when a run starts and ends.
        paths: The workspace.
        time_limit_s: Hard limit for a run in seconds; one that exceeds it ends as ``timeout``.
        idle: Called when no run is pending; returns whether it did something, so that there may
            be one now.
        executor: Starts the processes in which runs are trained; by default they are children of
            this one.
    """

    def __init__(
        self,
        runs: Runs,
        plugins: Plugins,
        paths: WorkspacePaths,
        time_limit_s: float | None = None,
        idle: Callable[[], bool] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._runs = runs
        self._plugins = plugins
        self._paths = paths
        self._executor = executor or LocalExecutor()
        self._time_limit_s = time_limit_s
        self._idle = idle
        self._stopping = False
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self) -> None:
        """End after putting the present run back in the queue; safe in a signal handler."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping

    def work(self, once: bool = False) -> None:
        """Execute pending runs until :meth:`stop`, or until there are none when ``once``.

        Whatever goes wrong with a run costs that run and a line on standard error. A database
        that cannot be written to is tried again, unless ``once``.
        """
        while not self._stopping:
            try:
                busy = self._work_on_one()
            except Exception as error:
                if once:
                    raise
                self._warn(error)
                busy = False
            if not busy and once:
                return
            if not busy:
                time.sleep(IDLE_S)

    def execute(self, run_id: str, on_poll: Callable[[], None] | None = None) -> Run:
        """Execute a pending run, or wait for its end when another worker has it.

        Args:
            run_id: The run.
            on_poll: Called several times a second until it ends.

        Returns:
            Its final state, or its present one after :meth:`stop`.

        Raises:
            NotFoundError: No such run.
        """
        while True:
            run = self._runs.get(run_id)
            if run.status in TERMINAL_STATUSES or self._stopping:
                return run
            claimed = self._runs.claim(self.name, run.id) if run.status == "pending" else None
            if claimed is not None:
                self._supervise(claimed, on_poll)
                continue
            if on_poll is not None:
                on_poll()
            time.sleep(POLL_S)

    def _work_on_one(self) -> bool:
        run = self._runs.claim(self.name)
        if run is not None:
            try:
                self._supervise(run, None)
            except Exception as error:
                self._warn(error)
            return True
        return self._idle is not None and self._idle()

    def _warn(self, error: Exception) -> None:
        print(f"warning: worker {self.name}: {one_line(error)}", file=sys.stderr)  # noqa: T201

    def _supervise(self, run: Run, on_poll: Callable[[], None] | None) -> None:
        """Execute a claimed run; whatever happens, it is not left running."""
        self._plugins.observe("tunix_run_started", run=run)
        log = self._folder(run).log()
        try:
            if run.mode == "dry-run":
                outcome = self._validate(run, log)
            else:
                outcome = self._train(run, log, on_poll)
        except Exception as error:
            outcome = _Outcome("failed", error=one_line(error)[:MAX_ERROR_CHARS])
            _note(log, f"error: {outcome.error}")
            self._conclude(run, outcome)
            # What is wrong with the request is told by the run.
            if not isinstance(error, TunixError):
                raise
        except BaseException:
            self._conclude(run, _Outcome("cancelled", error="interrupted"))
            raise
        else:
            if outcome is not None:
                self._conclude(run, outcome)

    def _validate(self, run: Run, log: RunLog) -> _Outcome | None:
        """Execute a dry run in a thread, since a large dataset takes longer than the lease."""
        with log.writer() as writer, ThreadPoolExecutor(1) as pool:
            job = pool.submit(_report, self._runs.dry_run(run), writer)
            while not wait_for([job], timeout=HEARTBEAT_S).done:
                self._beat(run)
            job.result()
        status = self._runs.heartbeat(run)
        if status == "cancel_requested":
            return _Outcome("cancelled", error="cancelled while it was validated")
        return None if status is None else _Outcome("completed", exit_code=0)

    def _train(self, run: Run, log: RunLog, on_poll: Callable[[], None] | None) -> _Outcome | None:
        """Execute a run in a process of its own; None when another worker took it over."""
        run, left_out = self._runs.prepare(run)
        if left_out is not None:
            _note(log, left_out, "stdout")
        self._folder(run).remove_result()
        child = self._executor.start(
            ProcessRequest(
                job="train",
                workspace=self._paths.root,
                arguments=(run.id,),
                log=log.path,
                resources=run.config.resources,
            )
        )
        try:
            cause = self._watch(run, child, on_poll)
        except BaseException as error:
            exit_code = self._stop(run, child)
            if not isinstance(error, Exception):
                self._conclude(run, self._outcome(run, child, exit_code, "cancelled"))
            raise
        if cause == "lost":
            child.kill()
            return None
        ended = child.poll() if cause is None else self._stop(run, child)
        outcome = self._outcome(run, child, ended, cause)
        if outcome.error is not None and (cause is not None or (ended or 0) < 0):
            _note(log, outcome.error)
        return outcome

    def _watch(self, run: Run, child: Process, on_poll: Callable[[], None] | None) -> str | None:
        """Wait for the child; returns why it has to be stopped, or None when it ended itself."""
        started = time.monotonic()
        beat = started
        while child.poll() is None:
            if on_poll is not None:
                on_poll()
            time.sleep(POLL_S)
            if self._stopping:
                return "pending"
            if self._time_limit_s is not None and time.monotonic() - started > self._time_limit_s:
                return "timeout"
            if time.monotonic() - beat < HEARTBEAT_S:
                continue
            beat = time.monotonic()
            status = self._beat(run)
            if status == "cancel_requested":
                return "cancelled"
            if status != "running":
                return "lost"
        return None

    def _stop(self, run: Run, child: Process) -> int | None:
        """Let the child end with a checkpoint, and keep the lease meanwhile."""
        beat = 0.0

        def keep_lease() -> None:
            nonlocal beat
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                self._beat(run)

        return stop(child, keep_lease)

    def _beat(self, run: Run) -> RunStatus | None:
        """Keep the lease; a database that cannot be written to ends no training."""
        try:
            return self._runs.heartbeat(run)
        except TunixError as error:
            self._warn(error)
            return "running"

    def _outcome(
        self, run: Run, child: Process, exit_code: int | None, cause: str | None
    ) -> _Outcome:
        """What follows from how the child ended, and why."""
        result = self._folder(run).result()
        if result is not None and result.stop_reason in COMPLETE:
            return _Outcome("completed", exit_code, None, result)
        if cause == "pending":
            return _Outcome("pending", exit_code, None, result)
        if cause == "timeout":
            stopped = _stopped_message(self._time_limit_s, exit_code, result)
            return _Outcome("timeout", exit_code, stopped, result)
        if cause == "cancelled" or result is not None:
            stopped = _stopped_message(None, exit_code, result)
            return _Outcome("cancelled", exit_code, stopped, result)
        error = child.last_line().removeprefix("error: ")[:MAX_ERROR_CHARS]
        if exit_code is not None and exit_code < 0:
            error = f"killed by signal {-exit_code}; last output: {error}"
        return _Outcome("failed", exit_code, error)

    def _conclude(self, run: Run, outcome: _Outcome) -> None:
        """Record how a run ended, unless another worker took it over."""
        # It may have been taken for dead just now, while the machine slept.
        self._beat(run)
        if self._runs.finish(
            run,
            outcome.status,
            exit_code=outcome.exit_code,
            error=outcome.error,
            result=outcome.result,
        ):
            ended = self._runs.get(run.id)
            if ended.status in TERMINAL_STATUSES:
                self._plugins.observe("tunix_run_finished", run=ended)

    def _folder(self, run: Run) -> RunFolder:
        return RunFolder(self._paths.run(run.id))


def _report(lines: Iterator[str], log: LogWriter) -> None:
    for line in lines:
        log.feed("stdout", f"{line}\n".encode())


def _note(log: RunLog, text: str, stream: Stream = "stderr") -> None:
    """A line of the worker's own, where the log can be written."""
    with suppress(OSError), log.writer() as writer:
        writer.feed(stream, f"{text}\n".encode())


def _stopped_message(limit_s: float | None, exit_code: int | None, result: RunResult | None) -> str:
    if result is not None:
        at = f"at step {result.steps} with a checkpoint"
    elif exit_code == -signal.SIGKILL:
        at = f"without ending within {GRACE_S:.0f} s"
    else:
        at = "before it had begun"
    return (
        f"stopped {at}"
        if limit_s is None
        else f"time limit of {limit_s:.0f} s reached, stopped {at}"
    )
