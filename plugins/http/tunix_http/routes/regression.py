"""Regression checks: runs against baselines."""

from __future__ import annotations

from tunix_core import Workspace
from tunix_core.records import Verdict
from tunix_http.operations import Call, Operations
from tunix_http.wire.regression import (
    BaselineRequest,
    BaselineResponse,
    CheckRequest,
    CheckResponse,
    PairedComparison,
)

operations = Operations("regression")


@operations.post(
    "/api/regression/baselines",
    "createRegressionBaseline",
    body=BaselineRequest,
    returns=BaselineResponse,
    status=201,
    errors={400: "The run is unknown or was not judged, or has no such figure"},
)
def create_baseline(workspace: Workspace, call: Call) -> BaselineResponse:
    """Let a figure of a run be what later runs are compared with.

    A baseline of the same name is replaced; it keeps its id and its time.
    """
    body: BaselineRequest = call.body
    baseline = workspace.regressions.set_metric_baseline(
        body.name,
        str(body.run_id),
        body.metric,
        body.lower_is_better,
        body.eval_set,
        body.dataset_key,
    )
    return BaselineResponse(
        id=baseline.id,
        name=baseline.name,
        run_id=baseline.run_id,
        metric=body.metric,
        lower_is_better=baseline.lower_is_better,
        eval_set=baseline.eval_set,
        dataset_key=body.dataset_key,
        created_at=baseline.created_at,
    )


@operations.post(
    "/api/regression/check",
    "checkRegression",
    body=CheckRequest,
    returns=CheckResponse,
    errors={
        400: "The run is unknown or was not judged",
        404: "There is no such baseline, or no such figure of the run",
    },
)
def check(workspace: Workspace, call: Call) -> CheckResponse:
    """Compare a run with a baseline; up to 5 % worse passes."""
    body: CheckRequest = call.body
    done = workspace.regressions.check_metric(str(body.run_id), body.baseline_name)
    return CheckResponse(
        run_id=done.run_id,
        baseline_name=done.baseline_name,
        baseline_run_id=done.baseline_run_id,
        metric_name=done.metric_name,
        baseline_value=done.baseline_value,
        current_value=done.current_value,
        delta=done.delta,
        delta_percent=done.delta_percent,
        # The contract knows two words; what is not comparable must not pass.
        verdict="pass" if done.verdict == "pass" else "fail",
        details=done.details,
        paired=None if done.paired is None else _paired(done.paired),
    )


def _paired(verdict: Verdict) -> PairedComparison:
    return PairedComparison(
        regressed=verdict.regressed,
        delta=verdict.delta,
        low=verdict.low,
        high=verdict.high,
        p_value=verdict.p_value,
        n_paired=verdict.n_paired,
        smallest_detectable=verdict.smallest_detectable,
        reason=verdict.reason,
    )
