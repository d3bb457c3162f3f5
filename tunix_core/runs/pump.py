"""Carries what a process prints into its log, at any speed, in a thread of its own."""

from __future__ import annotations

import os
import selectors
import threading

from tunix_core.runs.log import PARTIAL_S, LogWriter, Stream

READ_BYTES = 64 * 1024
TICK_S = 0.1
# More than two pipes hold: what a stray process goes on printing is not waited for.
DRAIN_BYTES = 2 * 1024 * 1024


class Pump:
    """Reads two pipes until they end, or until :meth:`finish`.

    Args:
        writer: The log; closed at the end, as are the pipes.
        stdout: Read end of the pipe of standard output.
        stderr: Read end of the pipe of standard error.
    """

    def __init__(self, writer: LogWriter, stdout: int, stderr: int) -> None:
        self._writer = writer
        self._pipes: dict[Stream, int] = {"stdout": stdout, "stderr": stderr}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="run-log", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The process has ended: store what is left in the pipes, then close everything."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with self._writer, selectors.DefaultSelector() as selector:
            try:
                for stream, pipe in self._pipes.items():
                    selector.register(pipe, selectors.EVENT_READ, stream)
                self._pump(selector)
            finally:
                for pipe in self._pipes.values():
                    os.close(pipe)

    def _pump(self, selector: selectors.BaseSelector) -> None:
        left = DRAIN_BYTES
        while selector.get_map() and left > 0:
            ended = self._ended.is_set()
            ready = selector.select(0 if ended else TICK_S)
            if ended and not ready:
                return
            for key, _ in ready:
                data = os.read(key.fd, READ_BYTES)
                if data:
                    self._writer.feed(key.data, data)
                    left -= len(data) if ended else 0
                else:
                    selector.unregister(key.fileobj)
            self._writer.flush(PARTIAL_S)
