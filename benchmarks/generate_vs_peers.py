"""How fast does our predictor generate, beside google-tunix's Sampler?

    python benchmarks/generate_vs_peers.py [--rounds 2] [--full] [--json]

Measured: generated tokens per second after compilation, greedy, float32, 32 rows at once, on one
Qwen 3 shape (4 layers, width 256, tied head) with a vocabulary of 32,768 and of 151,936, prompts
of dev-reasoning-v1. Two loads: ``stops``, where a model that was trained for 150 steps ends its
answers by itself, after 15 to 160 tokens; and ``fixed``, 64 tokens for every prompt, from random
weights, which never stop. Both sides read the same files; what they say of ``stops`` must be the
same, token for token.

Peer: google-tunix's Sampler in an environment of its own below ``.venv-peers``. It gets the
prompts in batches of 32 and one prompt length, so that it compiles once. Every side is a process,
the sides take turns, ratios are medians over the rounds.

Target: 2 times the Sampler.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from peers.inputs import TEMPLATE, Shape, widen, write_data, write_model
from peers.rounds import Side, interleaved, medians, ratios, run

from tunix_core.cli.kit import emit, print_table, say
from tunix_jax.data.token_cache import read_examples
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer

VOCABULARIES = (32_768, 151_936)
TARGET = 2.0
EXAMPLES, BATCH = 1000, 32
# Words of the tokenizer; what is trained has no more.
WORDS = 1024
TRAINING = {"length": 256, "rows": 6, "steps": 150, "warmup": 1, "learning_rate": 3e-3}
OPTIMIZER = {"beta2": 0.99, "weight_decay": 0.01, "clip_norm": 1.0}
# The share of answers that must be the same; rounding may decide between equally likely words.
SAME = 0.98


@frozen
class Row:
    """Both sides' medians at one vocabulary and load."""

    vocabulary: int
    load: str
    tokens: int
    tokens_per_s: float
    peer_tokens_per_s: float
    ratio: float
    same: float | None


def trained_model(directory: Path, data: Path) -> Path:
    """A model that has learnt to end its answers."""
    begin = directory / "untrained"
    write_model(begin, Shape(WORDS), data)
    say("training a model that stops by itself")
    output = directory / "trained"
    job = {"model": str(begin), "data": str(data), "output": str(output), **TRAINING, **OPTIMIZER}
    run(Side("training", "ours_train", job), directory / "cache")
    return output / "model"


def write_prompts(path: Path, model: Path, data: Path, count: int) -> None:
    """Token ids of the first prompts."""
    encoder = PromptEncoder(TextTokenizer.from_directory(model))
    texts = [example.prompt for example in islice(read_examples(data, TEMPLATE), count)]
    path.write_text(json.dumps(encoder.prompt_ids(texts)))


def compare(
    directory: Path, model: Path, data: Path, load: str, count: int, most: int, rounds: int
) -> Row:
    """Both sides on one load."""
    prompts = directory / f"prompts-{count}.json"
    write_prompts(prompts, model, data, count)
    job: dict[str, Any] = {"model": str(model), "batch": BATCH, "most": most, "count": count}
    both = [
        Side("ours", "ours_generate", {**job, "data": str(data)}),
        Side(
            "google-tunix",
            "google_tunix_generate",
            {**job, "prompts": str(prompts)},
            "google_tunix",
        ),
    ]
    results = interleaved(both, rounds, directory / "cache")
    ours, peer = results[0]
    same = None
    if load == "stops":
        pairs = zip(ours["made"], peer["made"], strict=True)
        same = sum(a == b for a, b in pairs) / count
        assert same >= SAME, f"only {same:.0%} of the answers are the same"
    else:
        assert ours["tokens"] == peer["tokens"] == count * most
    rate, peer_rate = medians(results, "tokens_per_s")
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    ratio = ratios(results, "tokens_per_s")[1]
    return Row(vocabulary, load, ours["tokens"], rate, peer_rate, ratio, same)


def measure(rounds: int, prompts: int) -> list[Row]:
    """All loads at all vocabularies."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        directory, data = Path(name), Path(name, "data.jsonl")
        write_data(data, EXAMPLES)
        small = trained_model(directory, data)
        for vocabulary in VOCABULARIES:
            say(f"vocabulary {vocabulary:,}")
            trained, random = (directory / f"{kind}-{vocabulary}" for kind in ("wide", "random"))
            widen(small, trained, vocabulary)
            write_model(random, Shape(vocabulary), data)
            rows.append(compare(directory, trained, data, "stops", prompts, 160, rounds))
            rows.append(compare(directory, random, data, "fixed", 2 * BATCH, 64, rounds))
    return rows


def show(rows: list[Row]) -> None:
    """Print one table, and whether the target is met."""
    print_table(
        {
            "vocabulary": f"{row.vocabulary:,}",
            "load": row.load,
            "tokens": f"{row.tokens:,}",
            "tokens/s": f"{row.tokens_per_s:,.0f}",
            "google-tunix": f"{row.peer_tokens_per_s:,.0f}",
            "ratio": f"{row.ratio:.2f}",
            "same answers": "" if row.same is None else f"{row.same:.1%}",
        }
        for row in rows
    )
    met = min(row.ratio for row in rows) >= TARGET
    print()
    print(f"at least {TARGET:g} times google-tunix: target {'met' if met else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often both sides run")
    parser.add_argument("--full", action="store_true", help="five rounds of more prompts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = measure(5, 384) if options.full else measure(options.rounds, 192)
    met = min(row.ratio for row in rows) >= TARGET
    emit({"rows": [asdict(row) for row in rows], "met": met}, options.json, lambda: show(rows))


if __name__ == "__main__":
    main()
