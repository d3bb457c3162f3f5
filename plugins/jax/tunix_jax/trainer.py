"""The trainer: data in, checkpoints and a usable model out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import jax
from attrs import asdict, evolve

from tunix_core.errors import UsageError
from tunix_core.protocols import LoadRequest, Predictor, Reporter, TrainJob, TrainResult
from tunix_jax.config import DEVICES, TrainerConfig
from tunix_jax.data.packing import PackedRows
from tunix_jax.fit.check import compile_step
from tunix_jax.fit.disk_space import check_disk
from tunix_jax.generation.predictor import JaxPredictor
from tunix_jax.model_directory import Origin, load_model, pretrained, save_model
from tunix_jax.models.decoder import Decoder, Params
from tunix_jax.models.parts import join_params
from tunix_jax.models.weights import read_params
from tunix_jax.objectives.objective import Objective
from tunix_jax.objectives.table import OBJECTIVES
from tunix_jax.sharding import describe, make_mesh, present_devices
from tunix_jax.text.prompt_encoder import PromptEncoder, choose_markup
from tunix_jax.text.tokenizer import TextTokenizer
from tunix_jax.training.checkpoints import Checkpoints, Progress
from tunix_jax.training.distributed import join_processes
from tunix_jax.training.loop import Training
from tunix_jax.training.train_step import TrainProgram, TrainState


class JaxTrainer:
    """Trains decoders from scratch or further; the same seed gives the same weights."""

    def fit(self, job: TrainJob, reporter: Reporter) -> TrainResult:
        """Train, or continue from the newest checkpoint.

        Raises:
            UsageError: The data is empty, nothing fits, the model or its tokenizer cannot be
                used, or the step needs more memory than there is.
            ConflictError: The checkpoint belongs to another config or other data.
            TunixError: The loss is no longer a number, or has left all bounds.
        """
        config: TrainerConfig = job.config
        choose_device(config.device)
        join_processes(not job.host.leads)
        use_compilation_cache()
        if config.early_stopping_patience and "eval" not in job.data:
            raise UsageError("early stopping needs held-out data", "give --eval-dataset")
        mesh = make_mesh(config.mesh.sizes)
        _check_device(config.device, mesh.devices.flat[0].platform)
        objective = OBJECTIVES[config.objective]
        origin = _origin(job, objective)
        program = TrainProgram(config, origin.shape, mesh)
        data = objective.rows(job, origin.encoder, config)
        steps = _steps(config, len(data.learned))
        program = evolve(program, total_steps=steps)
        reporter.log(_summary(data.learned, program))
        identity = {
            "data": data.digest,
            "weights": origin.digest(),
            "shape": asdict(origin.shape),
            "seed": job.seed,
        }
        checkpoints = Checkpoints(job.output_dir / "checkpoints", config, identity)
        try:
            checkpoints.check(job.resume)
            if job.host.leads:
                check_disk(job.output_dir, program, origin.export_dtype(config))
            began = time.perf_counter()
            compiled = compile_step(program) if steps else None
            compile_seconds = time.perf_counter() - began
            progress = checkpoints.progress()
            state, frozen = _begin(job, program, origin, checkpoints, progress is not None)
            training = Training(program, compiled, data, checkpoints, reporter, job)
            state, progress, reason = training.run(state, frozen, progress or Progress())
            if config.early_stopping_patience and progress.best_step not in (None, training.step):
                # The last state makes room for the best one.
                del state
                state = checkpoints.restore(program.abstract_state(), progress.best_step)
            model, adapter = job.output_dir / "model", job.output_dir / "adapter"
            save_model(model, join_params(state["params"], frozen), origin, config, adapter)
        finally:
            checkpoints.close()
        return TrainResult(
            model_dir=model,
            steps=training.step,
            tokens=training.meter.tokens,
            stop_reason=reason,
            metrics=training.final_metrics(progress),
            timings={"compile_seconds": compile_seconds, **training.meter.timings()},
            hardware=describe(mesh),
        )

    def load(self, request: LoadRequest) -> Predictor:
        """A saved model, ready to answer.

        Raises:
            UsageError: The directory holds no model, or the device is none, is not here, or is
                not the one that this process computes on.
            TunixError: Its files are broken or do not belong to each other.
        """
        use_compilation_cache()
        choose_device(request.device)
        _check_device(request.device, present_devices()[0].platform)
        params, shape, encoder, dtype = load_model(request.model_dir)
        return JaxPredictor(
            params,
            Decoder(shape),
            encoder,
            request.generation,
            dtype,
            logprobs=request.logprobs,
        )


def choose_device(device: str) -> None:
    """Let the process compute on a kind of device, before it touches any.

    Args:
        device: ``cpu``, ``cuda`` or ``tpu``; ``auto`` leaves the choice to JAX.

    Raises:
        UsageError: It is none of these.
    """
    if device not in DEVICES:
        raise UsageError(f"device: {device!r} is none", f"choose one of {', '.join(DEVICES)}")
    if device != "auto":
        jax.config.update("jax_platforms", device)


def _check_device(device: str, platform: str) -> None:
    """Refuse to compute elsewhere than asked: a process that has begun on a device stays there."""
    if device not in ("auto", "cuda" if platform == "gpu" else platform):
        raise UsageError(f"device: this process computes on {platform} already", "start another")


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, as JAX's variables of the environment say."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunix-jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _origin(job: TrainJob, objective: Objective) -> Origin:
    """The model that the run begins with; a tokenizer from scratch is trained on the data."""
    config: TrainerConfig = job.config
    if not config.from_scratch:
        return pretrained(config, job.template)
    if config.tokenizer is not None:
        tokenizer = TextTokenizer.load(Path(config.tokenizer))
    else:
        tokenizer = TextTokenizer.train(objective.texts(job), config.vocab_size)
    markup = choose_markup(job.template, tokenizer, config.chat_template)
    shape = config.scratch_shape(tokenizer.vocab_size)
    return Origin(shape, PromptEncoder(tokenizer, markup))


def _steps(config: TrainerConfig, rows: int) -> int:
    """Optimizer steps of a run over so many rows."""
    return -(-rows * config.epochs // config.rows) if config.steps is None else config.steps


def _summary(rows: PackedRows, program: TrainProgram) -> str:
    config, mesh = program.config, program.mesh
    parts = [
        f"{len(rows.order)} examples in {len(rows)} rows of {config.max_length} tokens",
        f"{rows.padding:.1%} padding",
        f"{rows.too_long} left out as too long",
    ]
    if rows.truncated:
        parts.append(f"{rows.truncated} cut at the end")
    axes = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    return (
        f"{', '.join(parts)}; vocabulary {program.shape.vocab_size}; "
        f"{program.total_steps} steps of {config.rows} rows; "
        f"{mesh.size} {mesh.devices.flat[0].device_kind} ({axes})"
    )


def _begin(
    job: TrainJob, program: TrainProgram, origin: Origin, checkpoints: Checkpoints, resumes: bool
) -> tuple[TrainState, Params]:
    """The state to go on from, and the frozen parameters."""
    if resumes and not program.freezes:
        return checkpoints.restore(program.abstract_state()), {}
    if origin.directory is None:
        trained, frozen = program.new_params(job.seed)
    else:
        trained, frozen = _pretrained_params(origin.directory, program, job.seed)
    if resumes:
        return checkpoints.restore(program.abstract_state()), frozen
    return program.new_state(trained), frozen


def _pretrained_params(directory: Path, program: TrainProgram, seed: int) -> tuple[Params, Params]:
    """What is trained and what is frozen, where one of them comes from files."""
    lora = program.config.lora is not None
    abstract = program.abstract_params()[lora]
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    dtype = jax.tree.leaves(abstract)[0].dtype
    read = read_params(directory, program.shape, dtype, shardings)
    return (program.new_adapters(seed), read) if lora else (read, program.kept(read))
