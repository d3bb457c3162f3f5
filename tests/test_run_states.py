"""The states of a run, under every order of events that Hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import lose_lease
from tunix_core import Workspace
from tunix_core.errors import ConflictError
from tunix_core.plugins import Plugins
from tunix_core.records import TERMINAL_STATUSES, Run, RunStatus, TrainingRequest
from tunix_core.runs import Runs
from tunix_core.runs.service import LEASE_S

LEGAL: dict[RunStatus, set[RunStatus]] = {
    "pending": {"running", "cancelled"},
    "running": {"completed", "failed", "timeout", "cancelled", "cancel_requested", "pending"},
    "cancel_requested": {"completed", "failed", "timeout", "cancelled"},
    "completed": set(),
    # Back to where they were when a worker shows up that was taken for dead.
    "failed": {"pending", "running"},
    "timeout": {"pending"},
    "cancelled": {"pending", "cancel_requested"},
}
ENDINGS: tuple[RunStatus, ...] = ("completed", "failed", "timeout", "cancelled", "pending")


@define
class Expected:
    """What a run should look like.

    Args:
        status: Its state.
        claims: What workers were given, oldest first; only the last counts.
        expires: When its lease runs out.
        error: Whether it has one.
        abandoned: Whether it ended because its worker was not heard of, and nobody resumed it.
    """

    status: RunStatus = "pending"
    claims: list[Run] = field(factory=list)
    expires: float = 0.0
    error: bool = False
    abandoned: bool = False


class RunStates(RuleBasedStateMachine):
    """Two services over one database, as two processes would hold them, and a clock."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.clock = 1_000_000.0
        self.folder = TemporaryDirectory()
        plugins = Plugins.of()
        self.open = [Workspace(Path(self.folder.name), plugins) for _ in range(2)]
        self.expected: dict[str, Expected] = {}

    def teardown(self) -> None:
        self.every_service_sees_every_run_as_it_should_be()
        for workspace in self.open:
            workspace.close()
        self.folder.cleanup()

    def service(self, number: int) -> Runs:
        return self.open[number].runs

    def is_held(self, run_id: str) -> bool:
        return self.expected[run_id].status in ("running", "cancel_requested")

    def become(self, run_id: str, status: RunStatus) -> None:
        expected = self.expected[run_id]
        assert status in LEGAL[expected.status], f"{expected.status} to {status}"
        expected.status = status

    # Few runs, so that much happens to each.
    @precondition(lambda self: len(self.expected) < 2)
    @rule(target=runs, number=st.integers(0, 1))
    def create(self, number: int) -> str:
        request = TrainingRequest(dataset_key="any", model_id="any", trainer="any")
        run = self.service(number).submit(request)
        self.expected[run.id] = Expected()
        return run.id

    @rule(number=st.integers(0, 1))
    def claim_the_oldest(self, number: int) -> None:
        self.expire()
        waiting = [run_id for run_id, e in self.expected.items() if e.status == "pending"]
        claimed = self.service(number).claim(f"worker {number}")
        assert (claimed and claimed.id) == (waiting[0] if waiting else None)
        if claimed is not None:
            self.take(claimed)

    @rule(number=st.integers(0, 1), run_id=runs)
    def claim_one(self, number: int, run_id: str) -> None:
        self.expire()
        claimed = self.service(number).claim(f"worker {number}", run_id)
        assert (claimed is not None) == (self.expected[run_id].status == "pending")
        if claimed is not None:
            self.take(claimed)

    def take(self, claimed: Run) -> None:
        expected = self.expected[claimed.id]
        self.become(claimed.id, "running")
        assert claimed.token == len(expected.claims) + 1
        expected.claims.append(claimed)
        expected.expires = self.clock + LEASE_S
        expected.error = expected.abandoned = False

    # The test itself takes time as well: it must not be what decides.
    @rule(seconds=st.sampled_from([LEASE_S + 1.0, LEASE_S - 5.0]))
    def wait(self, seconds: float) -> None:
        self.clock += seconds
        store = self.open[0].store.runs
        for run_id, expected in self.expected.items():
            if self.is_held(run_id):
                store.heartbeat(expected.claims[-1], expected.expires - self.clock)

    def expire(self) -> None:
        """What any look at the runs does to those whose worker was not heard of in time."""
        for run_id, expected in self.expected.items():
            if self.is_held(run_id) and expected.expires < self.clock:
                cancelled = expected.status == "cancel_requested"
                self.become(run_id, "cancelled" if cancelled else "failed")
                expected.error = expected.abandoned = True

    @rule(number=st.integers(0, 1), run_id=runs, data=st.data())
    def heartbeat(self, number: int, run_id: str, data: st.DataObject) -> None:
        expected = self.expected[run_id]
        if not expected.claims:
            return
        claim = data.draw(st.sampled_from(expected.claims))
        newest = claim is expected.claims[-1]
        if newest and expected.abandoned:
            cancelled = expected.status == "cancelled"
            self.become(run_id, "cancel_requested" if cancelled else "running")
            expected.error = expected.abandoned = False
        status = self.service(number).heartbeat(claim)
        assert status == (expected.status if newest else None)
        if newest:
            expected.expires = self.clock + LEASE_S
        self.expire()

    @rule(number=st.integers(0, 1), run_id=runs, data=st.data(), ending=st.sampled_from(ENDINGS))
    def finish(self, number: int, run_id: str, data: st.DataObject, ending: RunStatus) -> None:
        expected = self.expected[run_id]
        if not expected.claims:
            return
        claim = data.draw(st.sampled_from(expected.claims))
        held = claim is expected.claims[-1] and self.is_held(run_id)
        error = None if ending in ("completed", "pending") else "it ended"
        assert self.service(number).finish(claim, ending, error=error) == held
        if held:
            # A worker that stops puts its run back, but not when its end was asked for.
            unwanted = ending == "pending" and expected.status == "cancel_requested"
            self.become(run_id, "cancelled" if unwanted else ending)
            expected.error = unwanted or error is not None

    @rule(number=st.integers(0, 1), run_id=runs)
    def cancel(self, number: int, run_id: str) -> None:
        self.expire()
        status = self.expected[run_id].status
        cancel = self.service(number).cancel
        if status == "pending":
            self.become(run_id, "cancelled")
            self.expected[run_id].error = True
        elif status == "running":
            self.become(run_id, "cancel_requested")
        self.allow(lambda: cancel(run_id), status not in TERMINAL_STATUSES)

    @rule(number=st.integers(0, 1), run_id=runs)
    def resume(self, number: int, run_id: str) -> None:
        self.expire()
        status = self.expected[run_id].status
        resume = self.service(number).resume
        resumable = "pending" in LEGAL[status] and status in TERMINAL_STATUSES
        if resumable:
            self.become(run_id, "pending")
            self.expected[run_id].error = self.expected[run_id].abandoned = False
        self.allow(lambda: resume(run_id), resumable)

    def allow(self, action: Callable[[], Any], allowed: bool) -> None:
        if allowed:
            action()
            return
        with pytest.raises(ConflictError):
            action()

    @rule()
    def every_service_sees_every_run_as_it_should_be(self) -> None:
        self.expire()
        for number in range(2):
            for run in self.service(number).list(limit=1000):
                expected = self.expected[run.id]
                assert run.status == expected.status
                assert run.token == len(expected.claims)
                assert (run.completed_at is not None) == (run.status in TERMINAL_STATUSES)
                assert (run.error is not None) == expected.error
                if self.is_held(run.id):
                    assert run.started_at is not None


def test_a_run_whose_worker_died_ends_as_was_asked(tmp_path: Path) -> None:
    request = TrainingRequest(dataset_key="any", model_id="any", trainer="any")
    with Workspace(tmp_path, Plugins.of()) as workspace:
        runs = workspace.runs
        ids = [runs.submit(request).id for _ in range(3)]
        lost, cancelled, busy = [run for _ in ids if (run := runs.claim("a worker"))]
        runs.cancel(cancelled.id)
        for run in (lost, cancelled):
            lose_lease(workspace, run.id)
        # A worker that is busy with its own run notices; nobody has to ask for the others.
        assert runs.heartbeat(busy) == "running"
        ended = {run.id: run for run in runs.list()}
        assert [ended[run_id].status for run_id in ids] == ["failed", "cancelled", "running"]
        assert "runs resume" in str(ended[lost.id].error)
        assert not runs.finish(lost, "completed")


def test_neither_a_clock_that_is_set_nor_a_restart_of_the_machine_deceives(tmp_path: Path) -> None:
    request = TrainingRequest(dataset_key="any", model_id="any", trainer="any")
    with Workspace(tmp_path, Plugins.of()) as workspace:
        runs = workspace.runs
        run = runs.submit(request)
        claim = runs.claim("a worker")
        assert claim is not None
        for jump in (86_400.0, -86_400.0):
            # To set the clock is to move every lease the other way.
            workspace.store.runs.heartbeat(claim, LEASE_S - jump)
            assert runs.get(run.id).status == "failed", "of a dead worker nothing more is heard"
            assert runs.heartbeat(claim) == "running", "but this one lives"
            assert runs.get(run.id).status == "running"
        lose_lease(workspace, run.id)
        assert runs.get(run.id).status == "failed", "its worker ended with the machine"


def test_a_worker_that_was_taken_for_dead_goes_on_unless_its_run_is_anothers(
    tmp_path: Path,
) -> None:
    request = TrainingRequest(dataset_key="any", model_id="any", trainer="any")
    with Workspace(tmp_path, Plugins.of()) as workspace:
        runs = workspace.runs
        run = runs.submit(request)
        slept = runs.claim("a worker that slept")
        assert slept is not None
        lose_lease(workspace, run.id)
        assert runs.get(run.id).status == "failed"
        assert runs.heartbeat(slept) == "running"
        back = runs.get(run.id)
        assert (back.status, back.error, back.completed_at) == ("running", None, None)
        runs.cancel(run.id)
        lose_lease(workspace, run.id)
        assert runs.get(run.id).status == "cancelled"
        assert runs.heartbeat(slept) == "cancel_requested"
        lose_lease(workspace, run.id)
        runs.resume(run.id)
        assert runs.heartbeat(slept) == "pending"
        other = runs.claim("another worker")
        assert other is not None
        assert runs.heartbeat(slept) is None
        assert runs.finish(other, "failed", error="it ended")
        assert runs.heartbeat(other) == "failed", "what has ended of itself does not go on"


def test_a_run_only_changes_as_it_may() -> None:
    run_state_machine_as_test(
        RunStates, settings=settings(max_examples=250, stateful_step_count=50, deadline=None)
    )
