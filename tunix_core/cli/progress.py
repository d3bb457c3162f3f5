"""Progress of long work for people, on standard error: on a terminal, in a log, in a notebook."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from tunix_core.contributions import TRAINER
from tunix_core.errors import IntegrityError

if TYPE_CHECKING:
    from tunix_core.records import Run
    from tunix_core.workspace import Workspace

# Off a terminal a line comes every minute at first, later whenever so much more time has passed.
LINE_S = 60.0
LINE_GROWTH = 0.05


class Progress:
    """A bar with the time left on a terminal; elsewhere a line now and then, and when it ends.

    Args:
        total: Number of units, or 0 when it is not known.
        label: What is going on.
        started: When it began, by ``time.monotonic()``; now by default.
        done: Units that were done before; the time left follows from those done since.
    """

    def __init__(self, total: int, label: str, started: float | None = None, done: int = 0) -> None:
        self._total = total
        self._label = label
        self._before = self._done = done
        self._detail = ""
        self._started = time.monotonic() if started is None else started
        self._next_line = self._started + LINE_S
        self._bar: Any = None
        if total > 0 and sys.stderr.isatty():
            self._bar = click.progressbar(
                length=total,
                label=label,
                file=sys.stderr,
                width=0,  # what the terminal leaves
                show_eta=False,
                show_pos=True,
                item_show_func=lambda _: self._shown(),
            )
            self._bar.pos = done

    def advance(self, units: int, detail: str = "") -> None:
        """Move on by ``units``; ``detail`` is shown behind the bar."""
        self._done += units
        self._detail = detail or self._detail
        if self._bar is not None and units > 0:
            self._bar.update(units, self._detail)
        elif self._bar is None and time.monotonic() >= self._next_line:
            self._say_line()

    def _say_line(self) -> None:
        now = time.monotonic()
        spent = now - self._started
        self._next_line = now + max(LINE_S, LINE_GROWTH * spent)
        parts = [self._count(), f"{timedelta(seconds=round(spent))} so far", self._shown()]
        click.echo(f"{self._label}: {', '.join(filter(None, parts))}", err=True)

    def _count(self) -> str:
        return f"{self._done} of {self._total}" if self._total else str(self._done)

    def _shown(self) -> str:
        """Time left and detail. Click's own time left would count what was done before."""
        left = self._total - self._done
        if self._done == self._before or left <= 0:
            return self._detail
        seconds = (time.monotonic() - self._started) / (self._done - self._before) * left
        return f"{timedelta(seconds=round(seconds))} left  {self._detail}".rstrip()

    def reach(self, done: int, _total: int = 0) -> None:
        """Move to ``done`` units; what services call with (done, total)."""
        self.advance(done - self._done)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
        elif self._done:
            detail = f", {self._detail}" if self._detail else ""
            seconds = time.monotonic() - self._started
            click.echo(f"{self._label}: {self._count()}{detail} ({seconds:.1f} s)", err=True)


class TrainingProgress:
    """Call it now and then while a run trains; it draws its figure, tokens/s and the time left.

    Args:
        workspace: The workspace of the run.
        run: The run.
    """

    def __init__(self, workspace: Workspace, run: Run) -> None:
        # Imported by those that train alone.
        from tunix_core.runs.folder import RunFolder

        self._folder = RunFolder(workspace.paths.run(run.id))
        self._figure = workspace.plugins.find(TRAINER, run.trainer).contribution.figure
        self._bar: Any = None
        self._step = 0
        # An earlier attempt's plan lies here until the runner has cut its metrics back.
        self._stale = self._folder.plan_version()

    def __call__(self) -> None:
        if self._bar is None and not self._open():
            return
        try:
            latest = self._folder.metrics.last()
        except IntegrityError:
            # Whoever reads the metrics is told; a bar ends no training.
            return
        if latest is not None and latest["step"] > self._step:
            self._bar.advance(latest["step"] - self._step, _detail(latest, self._figure))
            self._step = latest["step"]

    def _open(self) -> bool:
        if self._folder.plan_version() in (None, self._stale):
            return False
        plan = self._folder.plan()
        if plan is None or plan.total_steps == 0:
            return False
        self._step = plan.resumed_from
        self._bar = Progress(plan.total_steps, "training", done=self._step)
        self._bar.__enter__()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self()
            self._bar.__exit__(kind, error, trace)


def _detail(latest: dict[str, Any], figure: str) -> str:
    """What a trainer says of its newest step."""
    parts = []
    if isinstance(latest.get(figure), int | float):
        parts.append(f"{figure} {latest[figure]:.3f}")
    rate = latest.get("timings", {}).get("tokens_per_second")
    if rate is not None:
        parts.append(f"{rate:,.0f} tokens/s")
    return ", ".join(parts)
