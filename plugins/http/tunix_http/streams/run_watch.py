"""The log of a run, watched once for all its readers."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tunix_core.records import RunStatus

POLL_S = 0.2
POLLS_PER_BEAT = 5
# One event batch; a reader that stalls holds about this much.
BATCH_BYTES = 32 * 1024
MARK_BYTES = 1024 * 1024

LookUp = Callable[[str], Awaitable[RunStatus]]


@frozen
class Position:
    """A place between two lines of a log.

    Args:
        offset: Bytes before it.
        seq: Lines before it.
    """

    offset: int = 0
    seq: int = 0


class RunWatch:
    """What all readers of one run's log share: the open file, the run's status, a clock.

    Args:
        run_id: The run.
        path: Its log, which need not exist yet.
        status: The run's status just now.
        look_up: Looks a run's status up.
    """

    def __init__(self, run_id: str, path: Path, status: RunStatus, look_up: LookUp) -> None:
        self.status = status
        self.readers = 0
        self._turns: dict[int, asyncio.Event] = {}
        self._run_id = run_id
        self._path = path
        self._look_up = look_up
        self._file: int | None = None
        self._size = 0
        # Places about so many bytes apart, kept so that few lines have to be counted twice.
        self._marks = [Position()]
        self._batch = (Position(), Position(), b"")
        self._task = asyncio.create_task(self._watch())

    def turn(self, group: int) -> asyncio.Event:
        """What a group waits for; taken before looking, so that nothing is missed."""
        return self._turns.setdefault(group, asyncio.Event())

    async def wait(self, turn: asyncio.Event) -> None:
        """Until a turn is over: the log grew, or a second passed."""
        if self._task.done():
            self._task.result()
        await turn.wait()

    def batch(self, position: Position, since_seq: int) -> tuple[Position, bytes]:
        """The events of some whole lines after ``position``, and the place behind them.

        Args:
            position: Where to read.
            since_seq: Only later lines make events.
        """
        if position.seq < since_seq:
            end, lines = self._lines(position, BATCH_BYTES)
            wanted = lines[since_seq - position.seq :]
            return end, _log_events(max(position.seq, since_seq), wanted)
        begin, end, events = self._batch
        if begin != position or begin == end:
            end, lines = self._lines(position, BATCH_BYTES)
            events = _log_events(position.seq, lines)
            # Readers at the end of the log, most of them, all ask for the same.
            self._batch = (position, end, events)
        return end, events

    async def find(self, seq: int) -> Position:
        """The place behind line ``seq``, or behind the last line when there are fewer."""
        marks = self._marks
        while marks[-1].seq < seq:
            end, _ = self._lines(marks[-1], MARK_BYTES)
            if end == marks[-1]:
                break
            marks.append(end)
            await asyncio.sleep(0)
        begin = marks[bisect_right(marks, seq, key=lambda mark: mark.seq) - 1]
        passed = self._lines(begin, MARK_BYTES)[1][: max(0, seq - begin.seq)]
        offset = begin.offset + sum(len(line) + 1 for line in passed)
        return Position(offset, begin.seq + len(passed))

    def close(self) -> None:
        """Stop watching."""
        self._task.cancel()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _watch(self) -> None:
        try:
            while True:
                for _ in range(POLLS_PER_BEAT):
                    await asyncio.sleep(POLL_S)
                    if self._grew():
                        await self._stir()
                self.status = await self._look_up(self._run_id)
                await self._stir()
        finally:
            for turn in self._turns.values():
                turn.set()

    async def _stir(self) -> None:
        """Let everyone go on who waits now; other requests are answered between the groups."""
        for group in tuple(self._turns):
            self._turns.pop(group).set()
            await asyncio.sleep(0)

    def _grew(self) -> bool:
        before = self._size
        try:
            self._size = self._path.stat().st_size
        except FileNotFoundError:
            return False
        return self._size > before

    def _lines(self, position: Position, size: int) -> tuple[Position, list[bytes]]:
        """Whole lines from ``position`` on: ``size`` bytes of them, or one that is longer."""
        data = self._read(position.offset, size)
        while b"\n" not in data and len(data) == size:
            size *= 2
            data = self._read(position.offset, size)
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        return Position(position.offset + len(whole), position.seq + len(lines)), lines

    def _read(self, offset: int, size: int) -> bytes:
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        return os.pread(self._file, size, offset)


class RunWatches:
    """The watches of all runs whose logs are being read.

    Args:
        look_up: Looks a run's status up.
    """

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._watches: dict[str, RunWatch] = {}

    @contextmanager
    def watching(self, run_id: str, path: Path, status: RunStatus) -> Iterator[RunWatch]:
        """The watch of a run, for one more reader."""
        watch = self._watches.get(run_id)
        if watch is None:
            watch = self._watches[run_id] = RunWatch(run_id, path, status, self._look_up)
        watch.status = status
        watch.readers += 1
        try:
            yield watch
        finally:
            watch.readers -= 1
            if not watch.readers:
                del self._watches[run_id]
                watch.close()


def _log_events(seq: int, lines: Iterable[bytes]) -> bytes:
    """Lines behind line ``seq`` as events; a stored line is an event's data but for its number."""
    form = b'id: %d\nevent: log\ndata: {"seq": %d, %b\n\n'
    # What a damaged disk made of a line is left out, as by RunLog.
    whole = ((n, line) for n, line in enumerate(lines, seq + 1) if line[:1] + line[-1:] == b"{}")
    return b"".join(form % (number, number, line[1:]) for number, line in whole)
