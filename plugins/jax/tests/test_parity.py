"""Models made by transformers give the same answers here, and ours give the same there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tunix_core.protocols import GenerationConfig
from tunix_core.records import Prompt
from tunix_jax.generation.predictor import JaxPredictor
from tunix_jax.models.adapters import write_adapter
from tunix_jax.models.decoder import Decoder
from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.huggingface import decoder_config, hf_config
from tunix_jax.models.weights import read_params, write_model
from tunix_jax.testing import SMALL, merge_lora, write_small_model
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer

pytestmark = pytest.mark.full

LENGTH = 40
TOKENS = np.random.default_rng(0).integers(0, 40, (2, LENGTH)).astype(np.int32)
FAMILIES = [name for name in SMALL if name != "llama-tied"]
LORA = Lora(rank=3, alpha=6.0)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def transformers(torch: Any) -> Any:
    module = pytest.importorskip("transformers", reason="transformers is not installed")
    module.utils.logging.disable_progress_bar()
    return module


@pytest.fixture(scope="module")
def peft(transformers: Any) -> Any:
    return pytest.importorskip("peft", reason="peft is not installed")


def fill(model: Any, torch: Any) -> Any:
    """Values that are far from those of a new model, so that nothing can be left out."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def make(kind: str, tied: bool, transformers: Any, torch: Any, **changes: Any) -> Any:
    """A small model of a family, with weights by transformers."""
    settings = {**SMALL[kind], "tie_word_embeddings": tied, **changes}
    config = transformers.AutoConfig.for_model(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return fill(model, torch)


def their_logits(model: Any, torch: Any) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model(torch.from_numpy(TOKENS).long()).logits.numpy()
    return logits


def load(directory: Path, transformers: Any) -> Any:
    """A model of ours in transformers, which must find all that it expects and no more."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        directory, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    return model.eval()


def our_logits(
    config: DecoderConfig, params: Any, lora: Lora | None = None
) -> np.ndarray[Any, Any]:
    decoder = Decoder(config, lora)

    @jax.jit
    def compute(params: Any) -> jax.Array:
        tokens = jnp.asarray(TOKENS)
        positions = jnp.broadcast_to(jnp.arange(LENGTH), tokens.shape)
        segments = jnp.ones_like(tokens)
        hidden = decoder.hidden(params, tokens, segments, positions, jnp.dtype("float32"))
        return decoder.logits(params, hidden)

    return np.asarray(compute(params))


def read(directory: Path) -> tuple[dict[str, Any], DecoderConfig, Any]:
    base = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config = decoder_config(base)
    return base, config, read_params(directory, config, np.float32)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", FAMILIES)
def test_logits_there_and_back(
    kind: str, tied: bool, transformers: Any, torch: Any, tmp_path: Path
) -> None:
    theirs = make(kind, tied, transformers, torch)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="30KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 1
    base, config, params = read(tmp_path / "theirs")
    assert config.tied is tied
    expected = their_logits(theirs, torch)
    assert expected.std() > 0.5
    np.testing.assert_allclose(our_logits(config, params), expected, atol=1e-4)
    for name, source in (("kept", base), ("new", None)):
        text = json.dumps(hf_config(config, source, "float32")).encode()
        write_model(
            tmp_path / name,
            params,
            config,
            {"config.json": text},
            dtype=np.float32,
            max_shard_bytes=30_000,
        )
        back = their_logits(load(tmp_path / name, transformers), torch)
        np.testing.assert_allclose(back, expected, atol=1e-6)


@pytest.mark.parametrize("kind", FAMILIES)
def test_greedy_continuations(kind: str, transformers: Any, torch: Any, tmp_path: Path) -> None:
    words = "one two three four five six seven eight nine ten"
    tokenizer = TextTokenizer.train([words * 3], 300)
    encoder = PromptEncoder(tokenizer)
    theirs = make(kind, False, transformers, torch, vocab_size=tokenizer.vocab_size)
    theirs.save_pretrained(tmp_path)
    theirs.generation_config.eos_token_id = list(encoder.ends)
    _, config, params = read(tmp_path)
    generation = GenerationConfig(max_new_tokens=40, stop=())
    predictor = JaxPredictor(params, Decoder(config), encoder, generation, "float32")
    texts = [words, words[:9], words[10:] + words]
    prompts = [Prompt(text, text) for text in texts]
    seen: set[int] = set()
    for text, completion in zip(texts, predictor.complete(prompts), strict=True):
        ids = torch.tensor(encoder.prompt_ids([text]))
        made = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40
        )[0, ids.shape[1] :].tolist()
        seen.update(made)
        assert (completion.text, completion.tokens) == (tokenizer.decode(made), len(made))
    assert len(seen) > 3, "a model that repeats one token shows nothing"


def test_the_text_part_of_a_multimodal_model(transformers: Any, torch: Any, tmp_path: Path) -> None:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = transformers.AutoConfig.for_model(
        "gemma3", text_config=SMALL["gemma3"], vision_config=vision, mm_tokens_per_image=4
    )
    model = transformers.Gemma3ForConditionalGeneration._from_config(
        config, attn_implementation="eager"
    )
    fill(model, torch).save_pretrained(tmp_path / "whole")
    base, ours, params = read(tmp_path / "whole")
    expected = their_logits(model, torch)
    np.testing.assert_allclose(our_logits(ours, params), expected, atol=1e-4)
    text = json.dumps(hf_config(ours, base, "float32")).encode()
    write_model(tmp_path / "text", params, ours, {"config.json": text}, dtype=np.float32)
    back = their_logits(load(tmp_path / "text", transformers), torch)
    np.testing.assert_allclose(back, expected, atol=1e-4)


# PEFT asks transformers for what will be renamed.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["gemma3", "qwen2"])
def test_adapters(kind: str, peft: Any, transformers: Any, torch: Any, tmp_path: Path) -> None:
    write_small_model(tmp_path / "base", kind)
    base, config, params = read(tmp_path / "base")
    new = jax.jit(Decoder(config, LORA).init)(0)["blocks"]
    for name, part in params["blocks"].items():
        if "lora_a" in new[name]:
            b = new[name]["lora_b"]
            part["lora_a"] = new[name]["lora_a"]
            part["lora_b"] = 0.2 * jax.random.normal(jax.random.key(1), b.shape)
    plain = our_logits(config, read_params(tmp_path / "base", config, np.float32))
    adapted = our_logits(config, params, lora=LORA)
    assert np.abs(adapted - plain).max() > 0.1
    merged = our_logits(config, merge_lora(params, LORA.alpha))
    np.testing.assert_allclose(merged, adapted, atol=1e-5, rtol=1e-5)

    write_adapter(tmp_path / "adapter", params, config, alpha=LORA.alpha)
    theirs = peft.PeftModel.from_pretrained(
        load(tmp_path / "base", transformers), tmp_path / "adapter"
    ).eval()
    np.testing.assert_allclose(their_logits(theirs, torch), adapted, atol=1e-4)

    files: dict[str, bytes | Path] = {"config.json": json.dumps(base).encode()}
    write_model(tmp_path / "merged", params, config, files, dtype=np.float32, lora_alpha=LORA.alpha)
    expected = theirs.merge_and_unload().state_dict()
    for name, value in load(tmp_path / "merged", transformers).state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name].numpy(), atol=1e-5)
