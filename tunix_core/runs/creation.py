"""A run before it is stored: what was asked for, checked, and its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args
from uuid import UUID, uuid5

from attrs import frozen

from tunix_core.base.clock import new_id, now
from tunix_core.codec import canonical_json, structure, unstructure
from tunix_core.contributions import TRAINER
from tunix_core.datasets import Datasets
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins, ProvidedTrainer
from tunix_core.records import Run, RunConfig, RunMode, TrainingRequest
from tunix_core.rendering import TEMPLATES
from tunix_core.runs import output_dirs

# Names the run of a request, see :meth:`tunix_core.runs.Runs.create_or_resume`.
REQUESTS = UUID("6f0d3a5e-6a0b-4f7c-9f43-3a1d7d1f6f52")


@frozen(kw_only=True)
class RunRequest:
    """What a run is asked for with; the fields are those of :meth:`tunix_core.runs.Runs.create`."""

    dataset_key: str
    trainer: str
    settings: Mapping[str, Any] | None
    seed: int
    template: str
    eval_dataset_key: str | None
    time_budget_s: float | None
    output_dir: str | None
    resources: Mapping[str, float] | None
    mode: RunMode = "local"


@frozen
class Accepted:
    """A request with which nothing is wrong.

    Args:
        request: The request.
        trainer: Its trainer.
        model_id: Preset or model that the run starts from.
        config: The run's configuration, its settings resolved.
    """

    request: RunRequest
    trainer: ProvidedTrainer
    model_id: str
    config: RunConfig


def accept(request: RunRequest, plugins: Plugins, datasets: Datasets) -> Accepted:
    """Check everything that can be wrong with a request.

    Raises:
        NotFoundError: No such dataset.
        UsageError: No such trainer, template or mode, or a setting or data that the trainer
            refuses.
        InvalidRecordError: A seed or a budget that is no number.
    """
    provided = plugins.find(TRAINER, request.trainer)
    settings = provided.config(request.settings)
    for what, value, known in (
        ("template", request.template, tuple(TEMPLATES)),
        ("mode", request.mode, get_args(RunMode)),
    ):
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}", f"known: {', '.join(known)}")
    _check_data(
        provided, {"train": request.dataset_key, "eval": request.eval_dataset_key}, datasets
    )
    fields = {
        "trainer": unstructure(settings) or {},
        "requested": unstructure(request.settings) or {},
        "seed": request.seed,
        "template": request.template,
        "eval_dataset_key": request.eval_dataset_key,
        "time_budget_s": request.time_budget_s,
        "resources": dict(request.resources or {}),
    }
    config = structure(RunConfig, fields, "run")
    model_id = str(getattr(settings, "model_id", provided.full_name))
    return Accepted(request, provided, model_id, config)


def _check_data(
    trainer: ProvidedTrainer, keys: Mapping[str, str | None], datasets: Datasets
) -> None:
    """Refuse data that is not there, or that the trainer does not read."""
    reads = trainer.contribution.reads
    for use, key in keys.items():
        if key is None:
            continue
        record = datasets.manifest(key).record
        if use not in reads:
            raise UsageError(
                f"{trainer.full_name} reads no {use} data, so {key} has no use",
                f"it reads: {', '.join(reads)}",
            )
        if record != reads[use]:
            raise UsageError(
                f"{trainer.full_name} reads a {reads[use]} in every line of its {use} data, "
                f"{key} holds a {record}",
                "choose another dataset or trainer",
            )


def request_id(accepted: Accepted, datasets: Datasets) -> str:
    """The id of the run that a request is, however often it is made.

    Args:
        accepted: The request.
        datasets: Where the hashes of its data are.
    """
    config, chosen = accepted.config, accepted.config.trainer or {}
    held_out = config.eval_dataset_key
    execution = accepted.trainer.contribution.execution_settings
    same = {
        "data": datasets.manifest(accepted.request.dataset_key).sha256,
        "held_out": held_out and datasets.manifest(held_out).sha256,
        "trainer": accepted.trainer.full_name,
        "settings": {k: v for k, v in chosen.items() if k not in execution},
        "seed": config.seed,
        "template": config.template,
    }
    return str(uuid5(REQUESTS, canonical_json(same)))


def pending_run(
    request: RunRequest | TrainingRequest,
    trainer: str,
    model_id: str,
    config: RunConfig,
    versions: Mapping[str, str],
    run_id: str | None = None,
) -> Run:
    """The run of a request, not yet stored.

    Args:
        request: The request.
        trainer: Full name of its trainer, or the name that was asked for.
        model_id: Preset or model that it starts from.
        config: Its configuration.
        versions: Versions of the plugins that are active.
        run_id: Its id; random by default.

    Raises:
        UsageError: The request's ``output_dir`` is no path below ``outputs/``.
    """
    wanted = None if request.output_dir is None else output_dirs.normalise(request.output_dir)
    run_id = run_id or new_id()
    return Run(
        id=run_id,
        status="pending",
        trainer=trainer,
        dataset_key=request.dataset_key,
        model_id=model_id,
        mode=request.mode,
        config=config,
        output_dir=wanted or own_dir(run_id),
        plugins=versions,
        created_at=now(),
    )


def own_dir(run_id: str) -> str:
    """The ``output_dir`` of a run for which none was asked for."""
    return f"runs/{run_id}"
