"""Whether a step fits, what it says when it does not, and the command around it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tunix_core.cli import main
from tunix_core.codec import trace_to_json
from tunix_core.errors import UsageError
from tunix_core.records import Step, Trace
from tunix_core.rendering import render
from tunix_core.workspace import Workspace
from tunix_jax.config import TrainerConfig
from tunix_jax.fit.changes import estimated_changes
from tunix_jax.fit.check import FitReport, FitRequest, check_fit, compile_step, compiled_changes
from tunix_jax.fit.memory import gib, step_memory
from tunix_jax.fit.request import Places, dataset_places, resolve_model
from tunix_jax.fit.targets import find_target, memory_limit
from tunix_jax.fit.text import report_rows, verdict
from tunix_jax.models.costs import parameters, step_flops
from tunix_jax.sharding import make_mesh
from tunix_jax.training.train_step import TrainProgram

ONE_LAYER: dict[str, Any] = {
    "model_id": "tiny",
    "decoder": {"layers": 1},
    "optimizer": "adamw",
    "vocab_size": 300,
    "rows": 4,
    "max_length": 32,
}
MANY: dict[str, Any] = {"decoder": {"layers": 6}, "rows": 64, "max_length": 256, "unroll": 1}
# More memory than any machine has.
HUGE = 10**9
needs_libtpu = pytest.mark.skipif(find_spec("libtpu") is None, reason="libtpu is not installed")


def program(**changes: Any) -> TrainProgram:
    config = TrainerConfig(**{**ONE_LAYER, **changes})
    mesh = make_mesh(config.mesh.sizes, find_target("cpu").devices[:1])
    return TrainProgram(config, config.scratch_shape(config.vocab_size), mesh)


@pytest.fixture(scope="module")
def report() -> FitReport:
    """Of a step whose memory is mostly activations."""
    many = program(**MANY)
    return check_fit(FitRequest(many.config, many.shape, "cpu"))


def fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str
) -> tuple[int, str, str]:
    """Exit code and output of ``tunix-rt fit``."""
    with pytest.raises(SystemExit) as ended:
        main(["--workspace", str(tmp_path / "workspace"), "fit", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


TINY = ["--model=tiny", "--batch=4", "--seq=32", "--optimizer=adamw", "--set=vocab_size=300"]
TINY += ['--set=decoder={"layers":1}', "--topology=cpu"]


def test_says_where_the_bytes_go(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = fit(capsys, tmp_path, *TINY, "--json")
    assert code == 0
    assert err.startswith("compiling for cpu: ")
    found = json.loads(out)
    shape = program().shape
    size = sum(parameters(shape).values())
    named = {key: found[key] for key in ("model", "topology", "batch", "seq", "fits")}
    assert named == {"model": "tiny", "topology": "cpu", "batch": 4, "seq": 32, "fits": True}
    held = found["bytes_per_device"]
    # Two moments of each weight and a count or two; four arrays of tokens.
    assert held["weights"] == 4 * size
    assert 8 * size <= held["moments"] <= 8 * size + 16
    assert held["batch"] == 4 * 4 * 4 * 32
    assert held["arguments"] == held["weights"] + held["moments"] + held["batch"]
    # At least the gradients.
    assert held["temporaries"] > 4 * size
    assert held["total"] == held["arguments"] + held["temporaries"] < found["limit_bytes"]
    flops = step_flops(shape, 4 * 32, 32).hardware
    assert found["flops_per_device"] * found["devices"] == flops
    # Nobody knows the peak of just any CPU.
    assert found["step_seconds_bound"] is None


def test_says_it_to_people(report: FitReport) -> None:
    rows = list(report_rows(report))
    exact = [row["what"] for row in rows if row["note"].startswith("exact")]
    assert exact == ["weights", "moments", "batch"]
    assert verdict(report).startswith(f"fits: {gib(report.memory.total)} of ")
    tight = evolve(report, limit_bytes=report.memory.total - 1)
    assert verdict(tight).startswith("does not fit: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model=gemma-2-3b"],
            "'gemma-2-3b' is no shape, directory, Hub id or run (did you mean",
        ),
        ([*TINY, "--topology=v5e"], "unknown topology 'v5e' (give cpu, gpu, or a TPU slice such"),
        ([*TINY, "--mesh=fsdp"], "--mesh fsdp: 'fsdp' is not AXIS=SIZE"),
        ([*TINY, "--set=rows=8"], "rows: given by an option and by --set"),
        ([*TINY, "--remat=all"], "plugin tunix-jax/jax: remat: "),
        ([*TINY, "--mesh=fsdp=3,tensor=3"], "mesh: data=1, fsdp=3, tensor=3 does not make"),
    ],
)
def test_wrong_requests_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = fit(capsys, tmp_path, *arguments)
    last = err.splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith(f"error: {message}")


@pytest.mark.skipif(find_spec("libtpu") is not None, reason="libtpu is installed")
def test_a_tpu_without_libtpu_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command changes the variable; this puts it back.
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    code, _, err = fit(capsys, tmp_path, "--model=gemma-2-2b", "--topology=v5e:2x4")
    assert code == 2
    assert err == (
        "error: compiling for v5e:2x4 needs libtpu (pip install 'tunix-jax[tpu-compile]')\n"
    )


def test_a_run_that_cannot_fit_is_refused_before_it_starts() -> None:
    huge = program(vocab_size=HUGE)
    memory = step_memory(huge, 0)
    with pytest.raises(UsageError) as refused:
        compile_step(huge)
    said = str(refused.value)
    assert said.startswith("does not fit: ")
    limit = memory_limit(huge.mesh.devices.flat[0])
    assert limit is not None
    assert f" of {gib(limit)} GiB per device: " in said
    assert f"{gib(memory.weights + memory.moments)} weights and moments" in said


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("gemma-3-1b", "gemma-3-1b"),
        ("google/gemma-3-1b-it", "gemma-3-1b"),
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b"),
        ("somebody/some-model", "somebody/some-model"),
        (".", "."),
    ],
)
def test_a_model_goes_by_many_names(tmp_path: Path, name: str, model_id: str) -> None:
    with Workspace(tmp_path) as workspace:
        assert resolve_model(name, workspace) == model_id


def test_tokens_of_a_dataset_are_estimated_where_there_is_no_tokenizer(tmp_path: Path) -> None:
    trace = Trace("What is 1 + 1?", "2", (Step(0, "compute", "1 + 1 = 2"),))
    data = tmp_path / "data.jsonl"
    data.write_text((trace_to_json(trace) + "\n") * 100, encoding="utf-8")
    texts = render(trace)
    characters = 100 * (len(texts.prompt) + len(texts.completion))
    places = dataset_places(data, TrainerConfig(model_id="gemma-3-1b", epochs=2))
    assert places == Places(characters // 4 * 2, exact=False)


def test_changes_are_found_that_fit_and_the_compiler_agrees(report: FitReport) -> None:
    # As if the machine had two thirds of what it takes.
    limit = report.memory.total * 2 // 3
    changes = estimated_changes(program(**MANY), report.memory.temporaries, limit)
    assert [change.text for change in changes[:2]] == ["remat=full", "accumulation=2"]
    checked = check_fit(evolve(report.request, config=changes[0].config))
    assert checked.memory.total <= limit
    assert changes[0].total_bytes == pytest.approx(checked.memory.total, rel=0.25)


@pytest.mark.full
@needs_libtpu
def test_a_slice_that_is_elsewhere_is_compiled_for() -> None:
    config = TrainerConfig(**{**ONE_LAYER, "rows": 8})
    shape = config.scratch_shape(300)
    report = check_fit(FitRequest(config, shape, "v5e:2x4", tokens=10**9))
    assert (report.devices, report.fits) == (8, True)
    assert report.limit_bytes == int(15.75 * 2**30)
    assert report.memory.batch == 4 * 4 * 32
    assert report.tokens_per_second is not None
    assert report.hours == pytest.approx(10**9 / report.tokens_per_second / 3600)


@pytest.mark.full
@needs_libtpu
def test_what_the_compiler_refuses_is_counted_and_changed() -> None:
    config = TrainerConfig(
        **{**ONE_LAYER, "rows": 4096, "max_length": 2048, "remat": "none", "attention": "dense"}
    )
    report = check_fit(FitRequest(config, config.scratch_shape(300), "v5e:2x4"))
    assert not report.fits
    changes = compiled_changes(report, tries=3)
    assert any(change.compiled for change in changes)


@pytest.mark.full
@needs_libtpu
@pytest.mark.parametrize("name", ["v4:2x2x1", "v5e:1x1", "v5e:4x4", "v5p:2x2x1", "v6e:2x4"])
def test_slices_have_as_many_devices_as_chips(name: str) -> None:
    sides = [int(side) for side in name.partition(":")[2].split("x")]
    target = find_target(name)
    chips = 1
    for side in sides:
        chips *= side
    assert len(target.devices) == chips
    assert target.chip is not None
