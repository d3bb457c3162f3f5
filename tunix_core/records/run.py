"""Executions of a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import frozen

from tunix_core.records.run_config import RunConfig, RunMode, RunResult

RunStatus = Literal[
    "pending", "running", "completed", "failed", "timeout", "cancel_requested", "cancelled"
]
TERMINAL_STATUSES: frozenset[RunStatus] = frozenset({"completed", "failed", "timeout", "cancelled"})


@frozen
class Run:
    """One execution of a trainer.

    Args:
        id: Random UUID.
        status: State of the run.
        trainer: Full name of the trainer, ``distribution/name``.
        dataset_key: The dataset it trains on.
        model_id: Preset or model that it starts from.
        mode: ``local`` trains, ``dry-run`` only validates.
        config: What was asked for, and what its trainer made of it.
        output_dir: Where the client wants it below ``outputs/``, else ``runs/<id>``; its files
            are in ``runs/<id>`` always.
        plugins: Versions of the plugins that were active.
        created_at: When it was enqueued, UTC ISO-8601.
        started_at: When a worker claimed it.
        completed_at: When it reached a terminal state.
        exit_code: Exit code of the runner process.
        error: One line that says why it failed.
        token: Fencing token; it grows with every claim, and only its holder may write.
        result: What the trainer did, once it has returned.
    """

    id: str
    status: RunStatus
    trainer: str
    dataset_key: str
    model_id: str
    mode: RunMode
    config: RunConfig
    output_dir: str
    plugins: Mapping[str, str]
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    exit_code: int | None = None
    error: str | None = None
    token: int = 0
    result: RunResult | None = None

    @property
    def datasets(self) -> dict[str, str]:
        """The datasets that it reads, by use: ``train``, and ``eval`` when data is held out."""
        held_out = self.config.eval_dataset_key
        return {"train": self.dataset_key} | ({} if held_out is None else {"eval": held_out})

    @property
    def seconds(self) -> float | None:
        """How long it took, once it has ended; 0 where the clock was set back meanwhile."""
        if self.started_at is None or self.completed_at is None:
            return None
        begun, ended = map(datetime.fromisoformat, (self.started_at, self.completed_at))
        return max(0.0, (ended - begun).total_seconds())


@frozen
class RunTotal:
    """The runs that share a status and a mode.

    Args:
        status: Their status.
        mode: How they were asked to be executed.
        count: Number of runs.
        timed: Those of them that have both started and ended.
        seconds: Sum of the seconds that those took.
        within: How many of those took at most as long as each bound, in the order of the bounds.
    """

    status: RunStatus
    mode: str
    count: int
    timed: int
    seconds: float
    within: tuple[int, ...]
