"""Digests of what dev-reasoning-v1 gives: prints them as JSON, or stores them with ``--write``.

It needs nothing but the generator, so that any Python which has it can run this file. Storing
is for a new version or a new family: within a version the items never change.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunix_core.codec import trace_to_json
from tunix_core.records import Item
from tunix_generators.families import FAMILIES
from tunix_generators.family import LEVELS
from tunix_generators.mix import VERSION, DevReasoning, MixConfig

STORED = Path(__file__).with_name("golden_digests.json")
SEED = 42
PUBLISHED = {"train": 10_000, "test": 1_000}
SAMPLE = 20


def digest(items: Iterable[Item]) -> str:
    """SHA-256 over one canonical line per item."""
    total = hashlib.sha256()
    for item in items:
        total.update(f"{trace_to_json(item.trace)}\n".encode())
    return total.hexdigest()


def published() -> dict[str, str]:
    """The digest of each part of the published set, and of all of it."""
    generator = DevReasoning()
    parts = {
        split: [generator.item(split, SEED, index) for index in range(count)]
        for split, count in PUBLISHED.items()
    }
    digests = {split: digest(items) for split, items in parts.items()}
    return {**digests, "all": digest(item for items in parts.values() for item in items)}


def family(name: str) -> str:
    """The digest of the first items of a family, at each level."""
    makers = [DevReasoning(MixConfig(difficulty=level, families=(name,))) for level in LEVELS]
    return digest(maker.item("train", SEED, index) for maker in makers for index in range(SAMPLE))


def measure() -> dict[str, Any]:
    """Every digest, as it is stored."""
    return {
        "version": VERSION,
        "published": published(),
        "families": {name: family(name) for name in sorted(FAMILIES)},
    }


if __name__ == "__main__":
    text = json.dumps(measure(), indent=2) + "\n"
    if sys.argv[1:] == ["--write"]:
        STORED.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
