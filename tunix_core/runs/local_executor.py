"""Child processes on this machine, which never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

from tunix_core.protocols import Process, ProcessRequest
from tunix_core.runs.log import RunLog
from tunix_core.runs.pump import Pump

PARENT_DIED = 75


class LocalExecutor:
    """Starts processes as children of this one; they have all the devices of this machine."""

    def start(self, request: ProcessRequest) -> Process:
        return Child(request)


class Child:
    """A runner process in a session of its own, whose output goes to a log.

    The child holds the read end of a pipe from this process; when this process ends, however it
    ends, the pipe closes and the child stops at once (see :func:`stop_when_parent_dies`). What
    the child started and left behind is killed when the child has ended.

    Args:
        request: The process.
    """

    def __init__(self, request: ProcessRequest) -> None:
        self._log = log = RunLog(request.log)
        # -P: what lies in the current directory is never run.
        command = [sys.executable, "-P", "-m", "tunix_core.runner"]
        command += [request.job, str(request.workspace), *request.arguments]
        with contextlib.ExitStack() as opened:
            writer = opened.enter_context(log.writer())
            self._log_start = writer.start
            pipes = []
            for _ in range(2):
                ours, theirs = os.pipe()
                opened.callback(os.close, ours)
                pipes.append((ours, opened.enter_context(os.fdopen(theirs, "wb"))))
            (stdout, stdout_end), (stderr, stderr_end) = pipes
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=stdout_end,
                stderr=stderr_end,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            stdout_end.close()
            stderr_end.close()
            # From here on the pump closes what was opened.
            opened.pop_all()
        self._pump = Pump(writer, stdout, stderr)

    def poll(self) -> int | None:
        """Exit code, or None while it runs; what it printed is in the log by then."""
        if self._process.returncode is None and self._has_ended(os.WNOHANG):
            self._bury()
        code: int | None = self._process.returncode
        return code

    def terminate(self) -> None:
        """Ask it to end with a checkpoint."""
        # Popen.terminate might reap it before its group is dealt with.
        if self.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything it started."""
        if self.poll() is None:
            self._kill_group()
            self._has_ended(0)
            self._bury()

    def last_line(self) -> str:
        """The last line it wrote, for a one-line error."""
        return self._log.last_line(self._log_start) or "no output"

    def _has_ended(self, options: int) -> bool:
        """Whether it has ended; it stays a zombie, so that its number stays its group's."""
        try:
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | options)
        except ChildProcessError:
            return True
        return ended is not None

    def _bury(self) -> None:
        """Kill what it left behind, reap it, and store the rest of what it printed."""
        self._kill_group()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._pump.finish()

    def _kill_group(self) -> None:
        # macOS says PermissionError of a group of which only the zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def stop_when_parent_dies() -> None:
    """In a child: end this process, and what it started, when standard input reaches its end."""

    standard_input = sys.stdin.fileno()

    def watch() -> None:
        # Unbuffered: a buffered read holds a lock that the interpreter wants when it ends.
        while os.read(standard_input, 1):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(PARENT_DIED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
