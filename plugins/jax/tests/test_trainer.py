"""The JAX trainer through its public door: its contract, its data, its answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attrs import evolve

from tunix_core.codec import trace_to_json
from tunix_core.errors import ConflictError, TunixError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import GenerationConfig, Trainer, TrainJob
from tunix_core.records import Prompt, Step, Trace
from tunix_core.testing.trainer import RecordingReporter, TrainerConformance, sample_prompts
from tunix_jax.config import TrainerConfig
from tunix_jax.loss import summed_loss
from tunix_jax.model import make_model
from tunix_jax.trainer import JaxTrainer

TINY: dict[str, Any] = {"preset": "tiny", "rows": 4, "max_length": 64, "vocab_size": 300}


class TestJaxTrainer(TrainerConformance):
    def make(self) -> Trainer:
        return JaxTrainer()

    def config(self, steps: int) -> TrainerConfig:
        return TrainerConfig(**TINY, steps=steps, checkpoint_every=2)


def write_sums(path: Path, numbers: range) -> Path:
    """Sums of one-digit numbers with their work."""
    with path.open("w", encoding="utf-8") as out:
        for n in numbers:
            a, b = n % 10, n // 10 % 10
            work = (Step(0, "compute", f"{a} + {b} = {a + b}"),)
            out.write(trace_to_json(Trace(f"What is {a} + {b}?", str(a + b), work)) + "\n")
    return path


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    (tmp_path / "run").mkdir()
    data = write_sums(tmp_path / "train.jsonl", range(100))
    config = TrainerConfig(**TINY, steps=4, checkpoint_every=2)
    return TrainJob("run", data, None, tmp_path / "run", config, seed=1)


def test_is_offered_by_the_installed_plugin() -> None:
    provided = Plugins.discover().find("trainer", "jax")
    assert provided.full_name == "tunix-jax/jax"
    assert isinstance(provided.create(), JaxTrainer)
    with pytest.raises(UsageError, match="plugin tunix-jax/jax: stepz"):
        provided.config({"stepz": 3})


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_it_learns(job: TrainJob, optimizer: Any) -> None:
    config = evolve(job.config, steps=60, optimizer=optimizer, warmup_steps=5)
    reporter = RecordingReporter()
    JaxTrainer().fit(evolve(job, config=config), reporter)
    losses = [values["loss"] for _, values in reporter.steps]
    assert losses[0] == pytest.approx(np.log(300), rel=0.25), "a new model knows nothing"
    assert losses[-1] < 0.5 * losses[0]


def test_held_out_loss_is_reported_when_it_is_due(job: TrainJob, tmp_path: Path) -> None:
    held_out = write_sums(tmp_path / "held.jsonl", range(0, 100, 7))
    config = evolve(job.config, eval_every=3)
    reporter = RecordingReporter()
    JaxTrainer().fit(evolve(job, config=config, eval_data=held_out), reporter)
    assert [step for step, values in reporter.steps if "eval_loss" in values] == [3, 4]


def test_zero_steps_make_the_untrained_model(job: TrainJob) -> None:
    result = JaxTrainer().fit(evolve(job, config=evolve(job.config, steps=0)), RecordingReporter())
    assert (result.steps, result.tokens) == (0, 0)
    predictor = JaxTrainer().load(result.model_dir, GenerationConfig(max_new_tokens=4))
    assert len(list(predictor.complete(sample_prompts(2)))) == 2


def test_tokens_are_those_of_the_steps_without_padding(job: TrainJob) -> None:
    reporter = RecordingReporter()
    result = JaxTrainer().fit(job, reporter)
    assert [values["tokens"] for _, values in reporter.steps][-1] == result.tokens
    assert 0 < result.tokens <= 4 * 4 * 64


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"rows": 2}, {"steps": 9}])
def test_a_checkpoint_of_other_settings_is_refused(job: TrainJob, change: Any) -> None:
    JaxTrainer().fit(job, RecordingReporter(stop_at=2))
    changed = evolve(job, config=evolve(job.config, **change), resume=True)
    with pytest.raises(ConflictError, match="another " + next(iter(change))):
        JaxTrainer().fit(changed, RecordingReporter())


def test_a_checkpoint_of_other_data_is_refused(job: TrainJob) -> None:
    JaxTrainer().fit(job, RecordingReporter(stop_at=2))
    write_sums(job.train_data, range(1, 101))
    with pytest.raises(ConflictError, match="another data"):
        JaxTrainer().fit(evolve(job, resume=True), RecordingReporter())


def test_a_loss_that_is_no_number_stops_the_run(job: TrainJob) -> None:
    config = evolve(job.config, optimizer="adamw", learning_rate=1e30, clip_norm=0.0)
    with pytest.raises(TunixError, match="not a number at step"):
        JaxTrainer().fit(evolve(job, config=config), RecordingReporter())


def test_examples_that_are_too_long_are_counted_and_none_is_an_error(job: TrainJob) -> None:
    reporter = RecordingReporter()
    with job.train_data.open("a", encoding="utf-8") as out:
        out.write(trace_to_json(Trace("long " * 80, "1", (Step(0, "compute", "x"),))) + "\n")
    JaxTrainer().fit(job, reporter)
    assert any("1 left out as too long" in message for message in reporter.messages)
    config = evolve(job.config, max_length=4)
    with pytest.raises(UsageError, match="raise max_length"):
        JaxTrainer().fit(evolve(job, config=config), RecordingReporter())


def test_a_tokenizer_can_be_brought_along(job: TrainJob, tmp_path: Path) -> None:
    first = JaxTrainer().fit(job, RecordingReporter())
    brought = tmp_path / "tokenizer.json"
    shutil.copy(first.model_dir / "tokenizer.json", brought)
    other = evolve(job, output_dir=tmp_path / "other", config=evolve(job.config, vocab_size=9999))
    other.output_dir.mkdir()
    config = evolve(other.config, tokenizer=str(brought))
    second = JaxTrainer().fit(evolve(other, config=config), RecordingReporter())
    assert (second.model_dir / "tokenizer.json").read_bytes() == brought.read_bytes()
    missing = evolve(config, tokenizer=str(tmp_path / "nothing.json"))
    with pytest.raises(UsageError, match="cannot read the tokenizer"):
        JaxTrainer().fit(evolve(other, config=missing), RecordingReporter())


def test_a_damaged_model_is_refused(job: TrainJob) -> None:
    model = JaxTrainer().fit(job, RecordingReporter()).model_dir
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(TunixError, match="is broken"):
        JaxTrainer().load(model, GenerationConfig())
    weights.unlink()
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        JaxTrainer().load(model, GenerationConfig())


def test_the_cache_gives_what_the_whole_forward_pass_gives(job: TrainJob) -> None:
    """Greedy generation equals choosing the likeliest token by full passes, token for token."""
    from tunix_jax.checkpoints import load_model
    from tunix_jax.model import merge

    config = evolve(job.config, steps=30)
    model_dir = JaxTrainer().fit(evolve(job, config=config), RecordingReporter()).model_dir
    params, shape, tokenizer, _ = load_model(model_dir)
    graph, _ = make_model(shape, 0)
    prompts = [Prompt("a", "What is 3 + 4?\n"), Prompt("b", "What is 3 + 4? " * 5 + "\n")]
    generation = GenerationConfig(max_new_tokens=20, stop=())
    completions = JaxTrainer().load(model_dir, generation).complete(prompts)
    module = merge(graph, params)
    for prompt, completion in zip(prompts, completions, strict=True):
        ids = [tokenizer.begin, *tokenizer.encode([prompt.text])[0]]
        made: list[int] = []
        while len(made) < 20 and (not made or made[-1] != tokenizer.end):
            tokens = jnp.asarray([ids + made])
            places = jnp.arange(tokens.shape[1])[None]
            hidden = module.hidden(tokens, jnp.ones_like(tokens), places, jnp.dtype("float32"))
            made.append(int(jnp.argmax(module.logits(hidden[0, -1]))))
        assert completion.text == tokenizer.decode(made)
        assert completion.tokens == len(made)


def test_packed_examples_do_not_see_each_other(job: TrainJob) -> None:
    """The loss of packed rows equals that of the same examples in rows of their own."""
    from tunix_core.rendering import Rendered
    from tunix_jax.data import pack, tokenize
    from tunix_jax.tokenizer import TextTokenizer

    texts = [Rendered(f"What is {n}?\n", f"<answer>{n * n}</answer>") for n in range(12)]
    tokenizer = TextTokenizer.train((t.prompt + t.completion for t in texts), 300)
    examples = tokenize(texts, tokenizer)
    shape = TrainerConfig(preset="tiny").shape(tokenizer.vocab_size)
    graph, params = make_model(shape, 3)

    def loss(length: int) -> tuple[float, float, int]:
        rows = pack(examples, length, tokenizer.pad)
        batch = rows.take(np.arange(len(rows), dtype=np.int32))
        total, count = summed_loss(graph, params, batch, jnp.dtype("float32"))
        return float(total), float(count), len(rows)

    longest = max(len(example.ids) for example in examples)
    packed, alone = loss(4 * longest), loss(longest)
    assert packed[2] < alone[2] == len(examples)
    assert packed[1] == alone[1] == sum(len(e.ids) - e.prompt_length for e in examples)
    assert packed[0] == pytest.approx(alone[0], rel=1e-5)


def test_only_the_completion_is_learned() -> None:
    from tunix_core.rendering import Rendered
    from tunix_jax.data import pack, tokenize
    from tunix_jax.tokenizer import TextTokenizer

    tokenizer = TextTokenizer.train(["ab cd"], 300)
    example = tokenize([Rendered("ab", "cd")], tokenizer)
    rows = pack(example, 16, tokenizer.pad)
    learned = rows.tokens[rows.targets == 1].tolist()
    assert tokenizer.decode(learned) == "cd"
    assert learned[-1] == tokenizer.end


def test_the_step_takes_the_memory_of_its_state(job: TrainJob) -> None:
    from tunix_jax.train_step import make_state, make_step

    shape = job.config.shape(300)
    graph, params = make_model(shape, 0)
    state = make_state(params, job.config, 4)
    before = jax.tree.leaves(state)
    batch = {name: jnp.ones((2, 8), jnp.int32) for name in ("tokens", "segments", "targets")}
    batch["positions"] = jnp.broadcast_to(jnp.arange(8), (2, 8))
    make_step(graph, job.config, 4)(state, batch)
    assert all(leaf.is_deleted() for leaf in before), "two copies of the state would be kept"


def test_the_model_directory_says_what_it_is(job: TrainJob) -> None:
    model = JaxTrainer().fit(job, RecordingReporter()).model_dir
    config = json.loads((model / "config.json").read_text())
    assert config["model"]["layers"] == 2
    assert {path.name for path in model.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
