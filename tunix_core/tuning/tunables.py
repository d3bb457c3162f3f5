"""What a search may vary, and what it may compare: names turned into settings and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import fields_dict

from tunix_core.contributions import EVALUATOR
from tunix_core.errors import TunixError, UsageError
from tunix_core.evaluation import Evaluations
from tunix_core.evaluation.judging import Progress
from tunix_core.evaluators import USUAL_JUDGE
from tunix_core.plugins import Plugins, ProvidedTrainer
from tunix_core.records import Run, TuningJob
from tunix_core.runs.requests import setting_names as request_settings

# Final figures that trainers leave with a run by custom.
FIGURES = ("loss", "eval_loss", "best_eval_loss")
# The same measure under the names that the wire contract has for it; a score counts to 100.
SCALES = {"score": 100.0, "primary_score": 1.0}


def setting_names(provided: ProvidedTrainer, parameters: Iterable[str]) -> dict[str, str]:
    """The trainer's setting that each parameter of a search sets.

    Args:
        provided: The trainer.
        parameters: Names of settings of the trainer, or of fields of a training request.

    Raises:
        UsageError: A parameter sets nothing, or two set the same.
    """
    known = _tunable(provided)
    names: dict[str, str] = {}
    for parameter in parameters:
        if parameter not in known:
            raise UsageError(
                f"{parameter!r} is no setting of {provided.full_name}, so it cannot be tuned",
                f"known: {', '.join(sorted(known))}",
            )
        twin = next((p for p, setting in names.items() if setting == known[parameter]), None)
        if twin is not None:
            raise UsageError(
                f"{twin!r} and {parameter!r} both set {known[parameter]} of {provided.full_name}",
                "tune one of them",
            )
        names[parameter] = known[parameter]
    return names


def trial_settings(
    provided: ProvidedTrainer, job: TuningJob, params: Mapping[str, Any]
) -> dict[str, Any]:
    """The trainer's settings for one trial: those of the job, its model, then the sampled ones.

    Raises:
        UsageError: As :func:`setting_names`.
    """
    names = setting_names(provided, params)
    model = request_settings(provided).get("model_id")
    base = {} if model is None else {model: job.base_model_id}
    return {**job.settings, **base} | {
        names[parameter]: value for parameter, value in params.items()
    }


def check_metric(plugins: Plugins, metric: str, figure: str) -> None:
    """Refuse a metric that no run can have.

    Args:
        plugins: Evaluators among them.
        metric: The metric.
        figure: What the trainer reports at every step.

    Raises:
        UsageError: With the known ones.
    """
    if metric in SCALES or metric in FIGURES or metric == figure:
        return
    evaluators = plugins.all(EVALUATOR)
    bare = [provided.bare_name for provided in evaluators]
    if metric not in bare and all(metric != provided.full_name for provided in evaluators):
        known = sorted({*SCALES, *FIGURES, figure, *bare})
        raise UsageError(f"unknown metric {metric!r}", f"known: {', '.join(known)}")
    plugins.find(EVALUATOR, metric)


def measure(
    evaluations: Evaluations, job: TuningJob, run: Run, on_progress: Progress | None = None
) -> float:
    """What the job's metric says of a completed run; judges its model where that is needed.

    Args:
        evaluations: Who judges.
        job: The job.
        run: The run.
        on_progress: Called a few times a second while the run is judged.

    Raises:
        TunixError: The run does not have the metric, or it is no finite number.
    """
    left = run.result.metrics if run.result else {}
    if job.metric_name in FIGURES or job.metric_name in left:
        value = _figure(run, job.metric_name)
    else:
        evaluator = USUAL_JUDGE if job.metric_name in SCALES else job.metric_name
        judged = evaluations.judge(
            run.id, evaluator, job.eval_dataset_key, on_progress=on_progress
        ).score
        if judged is None:
            raise TunixError(f"{evaluator} had nothing to judge")
        value = judged * SCALES.get(job.metric_name, 1.0)
    if not math.isfinite(value):
        raise TunixError(f"{job.metric_name} is {value}")
    return value


def _figure(run: Run, name: str) -> float:
    figures = run.result.metrics if run.result else {}
    if name not in figures:
        there = ", ".join(figures) or "none"
        hint = "held-out loss needs an evaluation dataset" if "eval" in name else None
        raise TunixError(f"the run left no {name}, only: {there}", hint)
    return float(figures[name])


def _tunable(provided: ProvidedTrainer) -> dict[str, str]:
    """Every name that sets something, with the setting."""
    cls = provided.config_class()
    own = {} if cls is None else {name: name for name, a in fields_dict(cls).items() if a.init}
    return {**own, **request_settings(provided)}
