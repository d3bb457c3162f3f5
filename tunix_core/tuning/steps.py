"""The state machine behind a tuning job: judge what has ended, suggest what is next, conclude."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from tunix_core.base.clock import new_id, now
from tunix_core.base.locks import FileLock
from tunix_core.base.paths import WorkspacePaths
from tunix_core.contributions import TRAINER, TUNER
from tunix_core.errors import ConflictError, NotFoundError, TunixError, one_line
from tunix_core.evaluation import Evaluations
from tunix_core.plugins import Plugins
from tunix_core.protocols import Observation, SuggestRequest
from tunix_core.records import TERMINAL_STATUSES, Run, TuningJob, TuningStatus, TuningTrial
from tunix_core.runs import Runs
from tunix_core.search_space import SearchSpace
from tunix_core.store import Store
from tunix_core.store.runs import WORKER_DIED
from tunix_core.tuning.tunables import measure, trial_settings

# A run whose worker died goes on in another one, but not for ever: it may be what kills them.
MAX_RESTARTS = 4
MAX_ERROR_CHARS = 500


class StoppedError(Exception):
    """Whoever takes the steps is to end; what has been done is stored."""


def go_on() -> bool:
    """Never a reason to stop."""
    return False


class TuningSteps:
    """Moves jobs on, one worker per job at a time.

    Each step is stored before the next is taken, and a trial is stored before its run is made,
    under an id that it names: whoever comes after a crash goes on where it struck.
    """

    def __init__(
        self,
        store: Store,
        plugins: Plugins,
        paths: WorkspacePaths,
        runs: Runs,
        evaluations: Evaluations,
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._paths = paths
        self._runs = runs
        self._evaluations = evaluations

    def advance(self, job_id: str, stopping: Callable[[], bool] = go_on) -> bool:
        """Take the steps that are due; False when there are none or another worker is at it.

        Args:
            job_id: The job.
            stopping: Asked a few times a second whether to leave the rest to others.

        Raises:
            StoppedError: It said so.
        """
        folder = self._paths.root / "tuning"
        folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(folder / f"{job_id}.lock", wait_s=0.0))
            except ConflictError:
                return False
            job = self._job(job_id)
            advanced = False
            for trial in self.running(job_id):
                advanced |= self._follow(job, trial, stopping)
            while self._begin(job):
                advanced = True
            return self._conclude(job) or advanced

    def running(self, job_id: str) -> list[TuningTrial]:
        """The trials of a job that have not ended."""
        trials = self._store.tuning.trials(job_id)
        return [trial for trial in trials if trial.status == "running"]

    def run(self, trial: TuningTrial) -> Run | None:
        """The run of a trial; None when it has not been made yet."""
        with suppress(NotFoundError):
            return self._runs.get(trial.run_id or "")
        return None

    def end(
        self,
        job: TuningJob,
        status: TuningStatus,
        error: str | None = None,
        sources: tuple[TuningStatus, ...] = ("running",),
    ) -> bool:
        """End a job that is in one of ``sources``, with the best trial so far."""
        best = best_trial(job, self._store.tuning.trials(job.id))
        changes = {
            "completed_at": now(),
            "error": error,
            "best_run_id": None if best is None else best.run_id,
            "best_params": None if best is None else dict(best.params),
        }
        return self._store.tuning.end(job.id, sources, status, changes)

    def abandon(self, trial: TuningTrial, run: Run, reason: str) -> None:
        """End a trial together with its run."""
        with suppress(ConflictError):
            self._runs.cancel(run.id)
        self._fail(trial, reason)

    def _job(self, job_id: str) -> TuningJob:
        return self._store.tuning.find(job_id)[0]

    def _follow(self, job: TuningJob, trial: TuningTrial, stopping: Callable[[], bool]) -> bool:
        """Do what the states of a running trial's job and run ask for."""
        run = self.run(trial)
        # Asked each time: people cancel while earlier trials are judged.
        status = self._job(job.id).status
        if status != "running":
            if run is None:
                self._refuse(trial, f"the job is {status}")
            else:
                self.abandon(trial, run, f"the job is {status}")
        elif run is None:
            self._enqueue(job, trial)
        elif run.status not in TERMINAL_STATUSES:
            return False
        elif run.status == "completed":
            self._judge(job, trial, run, stopping)
        elif (run.error or "").startswith(WORKER_DIED) and self._store.tuning.count_restart(
            trial.id, MAX_RESTARTS
        ):
            # Somebody else may have resumed it just now.
            with suppress(ConflictError):
                self._runs.resume(run.id)
        else:
            self._fail(trial, run.error or f"the run is {run.status}")
        return True

    def _judge(
        self, job: TuningJob, trial: TuningTrial, run: Run, stopping: Callable[[], bool]
    ) -> None:
        def look(*_: int) -> None:
            if stopping():
                raise StoppedError

        try:
            value = measure(self._evaluations, job, run, look)
        except StoppedError:
            raise
        except Exception as error:
            self._fail(trial, one_line(error)[:MAX_ERROR_CHARS])
            return
        changes = {"metric_value": value, "completed_at": now()}
        self._store.tuning.end_trial(trial.id, "completed", changes)

    def _begin(self, job: TuningJob) -> bool:
        """Make the next trial, if one is due.

        It is due once the trial ``max_concurrent_trials`` before it, and all before that, have
        ended, and it is suggested from these alone: so the same seed gives the same trials,
        however many workers there are and however long each takes.
        """
        trials = self._store.tuning.trials(job.id)
        seen = max(0, len(trials) - job.max_concurrent_trials + 1)
        if (
            self._job(job.id).status != "running"
            or len(trials) >= self._store.tuning.wanted_trials(job.id)
            or any(trial.status == "running" for trial in trials[:seen])
        ):
            return False
        try:
            params = self._suggest(job, trials, seen)
        except Exception as error:
            self.end(job, "failed", f"tuner {job.tuner}: {one_line(error)[:MAX_ERROR_CHARS]}")
            return True
        trial = TuningTrial(
            id=new_id(),
            job_id=job.id,
            number=len(trials) + 1,
            run_id=new_id(),
            params=params,
            status="running",
            created_at=now(),
        )
        if self._store.tuning.add_trial(trial):
            self._enqueue(job, trial)
        return True

    def _suggest(self, job: TuningJob, trials: list[TuningTrial], seen: int) -> dict[str, Any]:
        tuner = self._plugins.find(TUNER, job.tuner).create()
        space = SearchSpace.parse(job.search_space)
        ended = [Observation(t.params, t.metric_value, t.status == "failed") for t in trials[:seen]]
        pending = [Observation(trial.params) for trial in trials[seen:]]
        number = len(trials) + 1
        request = SuggestRequest(space, (*ended, *pending), job.metric_mode, job.seed, number)
        params = tuner.suggest(request)
        problems = space.problems(params)
        if problems:
            raise TunixError(f"its suggestion lies outside the space: {'; '.join(problems)}")
        return {name: params[name] for name in space.parameters}

    def _enqueue(self, job: TuningJob, trial: TuningTrial) -> None:
        """Make the run that a stored trial names."""
        try:
            provided = self._plugins.find(TRAINER, job.trainer)
            self._runs.create(
                job.dataset_key,
                provided.full_name,
                trial_settings(provided, job, trial.params),
                seed=job.seed,
                eval_dataset_key=job.eval_dataset_key,
                run_id=trial.run_id,
            )
        except (TunixError, OSError) as error:
            self._refuse(trial, one_line(error)[:MAX_ERROR_CHARS])

    def _conclude(self, job: TuningJob) -> bool:
        """End a running job all of whose trials have ended."""
        trials = self._store.tuning.trials(job.id)
        wanted = self._store.tuning.wanted_trials(job.id)
        if len(trials) < wanted or any(trial.status == "running" for trial in trials):
            return False
        if best_trial(job, trials) is not None:
            return self.end(job, "completed")
        reason = f"all {len(trials)} trials failed; the last: {trials[-1].error}"
        return self.end(job, "failed", reason)

    def _fail(self, trial: TuningTrial, error: str) -> None:
        changes = {"error": error, "completed_at": now()}
        self._store.tuning.end_trial(trial.id, "failed", changes)

    def _refuse(self, trial: TuningTrial, error: str) -> None:
        """End a trial whose run was never made."""
        changes = {"error": error, "completed_at": now(), "run_id": None}
        self._store.tuning.end_trial(trial.id, "failed", changes)


def best_trial(job: TuningJob, trials: list[TuningTrial]) -> TuningTrial | None:
    """The best completed trial by the job's metric, the earliest of several; None without any."""
    sign = 1.0 if job.metric_mode == "max" else -1.0
    measured = [(sign * t.metric_value, t) for t in trials if t.metric_value is not None]
    return max(measured, key=lambda pair: pair[0])[1] if measured else None
