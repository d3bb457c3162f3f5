"""Writes golden_logits.json: what transformers answers for the small models of every family.

Run it with transformers and torch installed, from the root of the repository::

    python plugins/jax/tests/make_golden_logits.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from tunix_jax.testing import SMALL, small_tokens, write_small_model

POSITIONS = 6


def logits_of(kind: str) -> list[list[float]]:
    """float32 logits [POSITIONS, vocab_size] at the last positions, to 6 decimals."""
    with tempfile.TemporaryDirectory() as folder:
        write_small_model(Path(folder), kind)
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    if any(report.values()):
        raise SystemExit(f"{kind}: {report}")
    tokens = torch.from_numpy(small_tokens()).long()
    with torch.no_grad():
        logits = model(tokens).logits[0, -POSITIONS:]
    return [[round(value, 6) for value in row] for row in logits.tolist()]


if __name__ == "__main__":
    lines = (f"{json.dumps(kind)}: {json.dumps(logits_of(kind))}" for kind in SMALL)
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_name("golden_logits.json").write_text(text, encoding="utf-8")
