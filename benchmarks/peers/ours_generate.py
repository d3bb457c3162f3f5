"""Our predictor on prepared prompts, greedy; prints one JSON line.
python -m peers.ours_generate '{"model": DIR, "data": FILE, ...}'
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from peers.inputs import TEMPLATE

from tunix_core.protocols import GenerationConfig, LoadRequest
from tunix_core.records import Prompt
from tunix_jax.data.token_cache import read_examples
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer
from tunix_jax.trainer import JaxTrainer


def main(job: dict[str, Any]) -> None:
    rendered = islice(read_examples(Path(job["data"]), TEMPLATE), job["count"])
    prompts = [Prompt(str(place), example.prompt) for place, example in enumerate(rendered)]
    config = GenerationConfig(max_new_tokens=job["most"], stop=(), batch_size=job["batch"])
    predictor = JaxTrainer().load(LoadRequest(model_dir=Path(job["model"]), generation=config))
    # Every length once, so that all that depends on it is compiled.
    encoder = PromptEncoder(TextTokenizer.from_directory(Path(job["model"])))
    encoded = encoder.prompt_ids([prompt.text for prompt in prompts])
    lengths = {len(ids): prompt for ids, prompt in zip(encoded, prompts, strict=True)}
    began = time.perf_counter()
    list(predictor.complete(lengths.values()))
    first, began = time.perf_counter() - began, time.perf_counter()
    processor = time.process_time()
    completions = list(predictor.complete(prompts))
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    tokens = sum(completion.tokens for completion in completions)
    result = {
        "tokens_per_s": tokens / seconds,
        "seconds": seconds,
        "cpu_s": processor,
        "first_s": first,
        "tokens": tokens,
        "made": encoder.tokenizer.encode([completion.text for completion in completions]),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
