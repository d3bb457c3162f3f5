"""Training that goes on from a Hugging Face directory, all weights or adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import load_file, save_file

from tunix_core.codec import trace_to_json
from tunix_core.errors import TunixError, UsageError
from tunix_core.protocols import GenerationConfig, LoadRequest, TrainJob
from tunix_core.records import Prompt, Step, Trace
from tunix_core.testing.trainer import RecordingReporter, train_job
from tunix_jax.config import TrainerConfig
from tunix_jax.trainer import JaxTrainer

COMMON: dict[str, Any] = {"rows": 4, "max_length": 96, "dtype": "float32", "warmup_steps": 0}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "dataset.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for n in range(100):
            a, b = n % 10, n // 10
            work = (Step(0, "compute", f"{a} + {b} = {a + b}"),)
            out.write(trace_to_json(Trace(f"What is {a} + {b}?", str(a + b), work)) + "\n")
    return path


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained model of a known family: the shape of a small Qwen 3."""
    folder = tmp_path_factory.mktemp("base")
    config = TrainerConfig(
        **COMMON,
        model_id="tiny",
        vocab_size=300,
        steps=20,
        decoder={"layers": 1, "previous_token": False, "embedding_scale": False},
    )
    made = JaxTrainer().fit(train_job(folder, config, data), RecordingReporter())
    assert json.loads((made.model_dir / "config.json").read_text())["model_type"] == "qwen3"
    return made.model_dir


def make_job(data: Path, folder: Path, model: Path, **settings: Any) -> TrainJob:
    folder.mkdir(exist_ok=True)
    config = TrainerConfig(**{**COMMON, "model_id": str(model), "steps": 12, **settings})
    return train_job(folder, config, data, seed=2)


def tensors(model: Path) -> dict[str, Any]:
    return load_file(model / "model.safetensors")


def test_no_step_leaves_the_pretrained_weights(data: Path, base: Path, tmp_path: Path) -> None:
    job = make_job(data, tmp_path / "run", base, steps=0)
    result = JaxTrainer().fit(job, RecordingReporter())
    before, after = tensors(base), tensors(result.model_dir)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.01},
        {"lora_rank": 8, "learning_rate": 0.02},
        {"lora_rank": 8, "learning_rate": 0.05, "optimizer": "muon"},
    ],
)
def test_it_learns_and_resumes_as_if_never_stopped(
    settings: dict[str, Any], data: Path, base: Path, tmp_path: Path
) -> None:
    settings = {**settings, "checkpoint_every": 2}
    reporter = RecordingReporter()
    whole = JaxTrainer().fit(make_job(data, tmp_path / "whole", base, **settings), reporter)
    losses = [values["loss"] for _, values in reporter.steps]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])

    job = make_job(data, tmp_path / "stopped", base, **settings)
    JaxTrainer().fit(job, RecordingReporter(stop_at=7))
    resumed = JaxTrainer().fit(evolve(job, resume=True), RecordingReporter())
    for name, tensor in tensors(whole.model_dir).items():
        np.testing.assert_array_equal(tensors(resumed.model_dir)[name], tensor)


def test_adapters_are_exported_and_merged(data: Path, base: Path, tmp_path: Path) -> None:
    targets = ("q_proj", "down_proj")
    job = make_job(
        data, tmp_path / "run", base, lora_rank=4, lora_targets=targets, learning_rate=0.01
    )
    result = JaxTrainer().fit(job, RecordingReporter())
    config = json.loads((job.output_dir / "adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 8.0)
    assert sorted(config["target_modules"]) == sorted(targets)
    adapter = load_file(job.output_dir / "adapter/adapter_model.safetensors")
    before, after = tensors(base), tensors(result.model_dir)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name.split(".")[-2] for name in changed} == set(targets)
    for name in changed:
        peft = f"base_model.model.{name.removesuffix('.weight')}"
        a, b = adapter[f"{peft}.lora_A.weight"], adapter[f"{peft}.lora_B.weight"]
        np.testing.assert_allclose(after[name], before[name] + 2.0 * b @ a, atol=1e-5)


def test_chat_turns_are_learned_and_used(data: Path, base: Path, tmp_path: Path) -> None:
    model = tmp_path / "chat"
    shutil.copytree(base, model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    count = len(tokenizer["model"]["vocab"])
    for text in ("<|im_start|>", "<|im_end|>"):
        tokenizer["added_tokens"].append(
            {
                "id": max(count, *(t["id"] + 1 for t in tokenizer["added_tokens"])),
                "content": text,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
        )
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    (model / "chat_template.jinja").write_text(CHAT)
    (model / "tunix.json").unlink()
    grow(model, 302)
    job = make_job(data, tmp_path / "run", model, learning_rate=0.003, steps=150)
    result = JaxTrainer().fit(job, RecordingReporter())
    assert json.loads((result.model_dir / "tunix.json").read_text())["markup"] == "chat"
    predictor = JaxTrainer().load(
        LoadRequest(
            model_dir=result.model_dir, generation=GenerationConfig(max_new_tokens=60, stop=())
        )
    )
    prompts = [Prompt(str(n), f"What is {n} + {n}?\n") for n in range(3)]
    completions = list(predictor.complete(prompts))
    assert all(completion.stop == "stop" for completion in completions)
    assert all("<|im_" not in completion.text for completion in completions)


def grow(model: Path, rows: int) -> None:
    """Give the embedding more rows."""
    stored = tensors(model)
    table = stored["model.embed_tokens.weight"]
    extra = np.zeros((rows - len(table), table.shape[1]), table.dtype)
    stored["model.embed_tokens.weight"] = np.concatenate([table, extra])
    save_file(stored, model / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": rows}))


def spoil_architecture(model: Path) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "mamba"}))


def spoil_shard(model: Path) -> None:
    names = dict.fromkeys(tensors(model), "model-00002-of-00002.safetensors")
    index = json.dumps({"metadata": {}, "weight_map": names})
    (model / "model.safetensors.index.json").write_text(index)
    (model / "model.safetensors").unlink()


def spoil_tensor(model: Path) -> None:
    stored = tensors(model)
    stored["model.norm.weight"] = stored["model.norm.weight"][:-1]
    save_file(stored, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_architecture, "mamba.*gemma2"),
        (spoil_shard, "model-00002-of-00002.safetensors"),
        (spoil_tensor, r"model\.norm\.weight"),
        (lambda model: grow(model, 4000), "different vocabularies: 293 tokens, 4000 rows"),
        (lambda model: (model / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda model: (model / "config.json").unlink(), "config.json is missing"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_in_one_line(
    spoil: Any, said: str, data: Path, base: Path, tmp_path: Path
) -> None:
    model = tmp_path / "spoilt"
    shutil.copytree(base, model)
    spoil(model)
    with pytest.raises((TunixError, UsageError), match=said) as error:
        JaxTrainer().fit(make_job(data, tmp_path / "run", model), RecordingReporter())
    assert "\n" not in str(error.value)


def test_settings_of_another_origin_are_refused(base: Path) -> None:
    with pytest.raises(ValueError, match=r"decoder: .* is pretrained and brings its own"):
        TrainerConfig(model_id=str(base), decoder={"layers": 3})
    with pytest.raises(ValueError, match="accumulation: 3 does not divide rows 16"):
        TrainerConfig(accumulation=3)
    with pytest.raises(ValueError, match="unknown qq_proj; known: q_proj"):
        TrainerConfig(lora_rank=2, lora_targets=("qq_proj",))
