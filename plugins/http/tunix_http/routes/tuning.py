"""Tuning: jobs that search for the best settings."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException

from tunix_core import Workspace
from tunix_core.contributions import DEFAULT, TUNER
from tunix_core.errors import ConflictError
from tunix_core.records import TuningJob, TuningTrial
from tunix_http.operations import Call, Operations
from tunix_http.wire.run_views import without_root
from tunix_http.wire.tuning import (
    JobPath,
    JobRead,
    JobRequest,
    JobsQuery,
    JobStarted,
    TrialRead,
)

operations = Operations("tuning")


@operations.post(
    "/api/tuning/jobs",
    "createTuningJob",
    body=JobRequest,
    returns=JobRead,
    status=201,
)
def create_job(workspace: Workspace, call: Call) -> JobRead:
    """Write down what is to be searched for; nothing runs yet.

    The tuner, the metric and the names of parameters are looked up when the job is started, the
    dataset and the model by its trials.
    """
    body: JobRequest = call.body
    job = workspace.tuning.create(
        body.name,
        body.dataset_key,
        body.base_model_id,
        search_space=body.model_dump()["search_space"],
        metric_name=body.metric_name,
        metric_mode=body.metric_mode,
        num_samples=body.num_samples,
        max_concurrent_trials=body.max_concurrent_trials,
        tuner=body.tuner or DEFAULT,
        trainer=body.trainer or call.services.settings.default_trainer,
        settings=body.settings,
        eval_dataset_key=body.eval_dataset_key,
        seed=body.seed,
    )
    return _read(workspace, job)


@operations.get("/api/tuning/jobs", "listTuningJobs", query=JobsQuery, returns=list[JobRead])
def list_jobs(workspace: Workspace, call: Call) -> list[JobRead]:
    """List jobs, newest first."""
    return [
        _read(workspace, job) for job in workspace.tuning.list(call.query.limit, call.query.offset)
    ]


@operations.get(
    "/api/tuning/jobs/{job_id}",
    "getTuningJob",
    parameters=JobPath,
    returns=JobRead,
    errors={404: "There is no such job"},
)
def get_job(workspace: Workspace, call: Call) -> JobRead:
    """Show a job with its trials."""
    job = workspace.tuning.get(str(call.path.job_id))
    return _read(workspace, job, workspace.tuning.trials(job.id))


@operations.post(
    "/api/tuning/jobs/{job_id}/start",
    "startTuningJob",
    parameters=JobPath,
    returns=JobStarted,
    errors={
        400: "The job has been started, or its tuner, metric or a parameter is not known",
        404: "There is no such job",
        501: "No tuner is installed",
    },
    refusals={ConflictError: 400},
)
def start_job(workspace: Workspace, call: Call) -> JobStarted:
    """Let workers search; a failed job goes on where it ended."""
    if not workspace.plugins.all(TUNER):
        raise HTTPException(501, "a tuner is not installed: pip install tunix-tune")
    started = workspace.tuning.start(str(call.path.job_id))
    return JobStarted(
        job_id=started.id, message=f"Tuning job started: {started.num_samples} trials"
    )


def _read(
    workspace: Workspace, job: TuningJob, trials: Sequence[TuningTrial] | None = None
) -> JobRead:
    return JobRead(
        id=job.id,
        name=job.name,
        status=job.status,
        dataset_key=job.dataset_key,
        base_model_id=job.base_model_id,
        mode=job.mode,
        metric_name=job.metric_name,
        metric_mode=job.metric_mode,
        num_samples=job.num_samples,
        max_concurrent_trials=job.max_concurrent_trials,
        search_space_json=dict(job.search_space),
        best_run_id=job.best_run_id,
        best_params_json=None if job.best_params is None else dict(job.best_params),
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        error=job.error and without_root(workspace, job.error),
        trials=None if trials is None else [_read_trial(workspace, t) for t in trials],
    )


def _read_trial(workspace: Workspace, trial: TuningTrial) -> TrialRead:
    return TrialRead(
        id=trial.id,
        tuning_job_id=trial.job_id,
        run_id=trial.run_id,
        params_json=dict(trial.params),
        metric_value=trial.metric_value,
        status=trial.status,
        error=trial.error and without_root(workspace, trial.error),
        created_at=trial.created_at,
        completed_at=trial.completed_at,
    )
