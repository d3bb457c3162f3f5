"""google-tunix's Sampler on prepared prompts, greedy; prints one JSON line.

    python -m peers.google_tunix_generate '{"model": DIR, "prompts": FILE, ...}'

Runs in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from peers.google_tunix_model import load
from tunix.generate import sampler as sampling


class Ids:
    """A tokenizer of texts that are token ids already."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def encode(self, text: str, **_rest: Any) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: list[int], **_rest: Any) -> str:
        return " ".join(map(str, ids))

    def bos_id(self) -> int:
        return int(self._config["bos_token_id"])

    def eos_id(self) -> int:
        return int(self._config["eos_token_id"])

    def pad_id(self) -> int:
        return int(self._config["pad_token_id"])


def main(job: dict[str, Any]) -> None:
    directory = Path(job["model"])
    shape = json.loads((directory / "config.json").read_text())
    prompts = [" ".join(map(str, ids)) for ids in json.loads(Path(job["prompts"]).read_text())]
    longest = 1 << (max(len(prompt.split()) for prompt in prompts) - 1).bit_length()
    cache = sampling.CacheConfig(
        cache_size=longest + job["most"],
        num_layers=shape["num_hidden_layers"],
        num_kv_heads=shape["num_key_value_heads"],
        head_dim=shape["head_dim"],
    )
    sampler = sampling.Sampler(load(directory), Ids(shape), cache)

    def complete(batch: list[str]) -> list[list[int]]:
        made = sampler(batch, max_generation_steps=job["most"], max_prompt_length=longest)
        return [[int(token) for token in tokens] for tokens in made.tokens]

    began = time.perf_counter()
    complete(prompts[: job["batch"]])
    first, began = time.perf_counter() - began, time.perf_counter()
    processor = time.process_time()
    made = []
    for begin in range(0, len(prompts), job["batch"]):
        made += complete(prompts[begin : begin + job["batch"]])
    seconds = time.perf_counter() - began
    # An end token was made too, but is not handed out.
    counts = [min(len(tokens) + 1, job["most"]) for tokens in made]
    result = {
        "tokens_per_s": sum(counts) / seconds,
        "seconds": seconds,
        "cpu_s": time.process_time() - processor,
        "first_s": first,
        "tokens": sum(counts),
        "made": made,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
