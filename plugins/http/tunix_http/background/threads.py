"""Threads that each hold a workspace open, so that nothing that blocks runs on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

from tunix_core import Workspace

P = ParamSpec("P")
T = TypeVar("T")

# A call, where its result is waited for, and the event loop of that.
_Task = tuple[Callable[[Workspace], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]
# Whoever waits, the result, and the error instead of it.
_Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]


class WorkspaceThreads:
    """A fixed number of threads, each with a connection to the database of its own.

    Calls beyond that number wait for their turn, in order. Results reach the event loop together:
    it is woken once for all that are there, which is what makes short calls cheap; the standard
    library's executor wakes it for each.

    Args:
        open_workspace: Opens the workspace over a connection of its own.
        size: Number of threads.
        name: Beginning of the threads' names.
        gather: How many results may wait for those of calls that wait already. More than 1 is for
            calls that are all short: a loop that is woken while the thread works takes turns with
            it, and every turn costs more than such a call.
    """

    def __init__(
        self, open_workspace: Callable[[], Workspace], size: int, name: str, gather: int = 1
    ) -> None:
        self._open_workspace = open_workspace
        self._gather = gather
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._done: deque[_Outcome] = deque()
        self._waking = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}") for number in range(size)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    async def run(
        self, function: Callable[Concatenate[Workspace, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function(workspace, *args, **kwargs)`` in one of the threads."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._tasks.put((lambda held: function(held, *args, **kwargs), future, loop))
        return await future

    def close(self) -> None:
        """Wait for the calls that have begun, forget those that have not, close the databases."""
        while not self._tasks.empty():
            self._tasks.get()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self) -> None:
        with self._open_workspace() as workspace:
            while (task := self._tasks.get()) is not None:
                call, future, loop = task
                if future.cancelled():
                    continue
                outcome: _Outcome
                try:
                    outcome = (future, call(workspace), None)
                except BaseException as error:
                    outcome = (future, None, error)
                self._deliver(outcome, loop)
                # What the call holds is not kept until the next one comes.
                del task, call, outcome

    def _deliver(self, outcome: _Outcome, loop: asyncio.AbstractEventLoop) -> None:
        self._done.append(outcome)
        if len(self._done) < self._gather and not self._tasks.empty():
            return
        if not self._waking:
            self._waking = True
            # Nobody waits any more when the loop is closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        """On the event loop: hand over every result that is there."""
        # In this order: a result that comes while these are handed over wakes the loop again.
        self._waking = False
        while self._done:
            future, result, error = self._done.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
