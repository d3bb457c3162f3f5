"""The published set: 10,000 train and 1,000 test items of seed 42, the same bytes everywhere.

``python generators/tests/digests.py --write`` stores the digests anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tunix_core.codec import trace_to_json
from tunix_core.records import Item
from tunix_generators.mix import DevReasoning

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STORED: dict[str, Any] = json.loads((HERE / "golden_digests.json").read_text(encoding="utf-8"))
SEED = 42
PUBLISHED = {"train": 10_000, "test": 1_000}
KINDS = ("number", "operator", "word", "dropped", "swapped", "carried")
ADDRESSES = [(split, index) for split, count in PUBLISHED.items() for index in range(count)]


def line_at(generator: DevReasoning, place: int) -> str:
    split, index = ADDRESSES[place]
    return trace_to_json(generator.item(split, SEED, index).trace)


def digest(lines: list[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@lru_cache(maxsize=3)
def items_of(split: str) -> tuple[Item, ...]:
    generator = DevReasoning()
    return tuple(generator.item(split, SEED, index) for index in range(PUBLISHED.get(split, 2000)))


def all_items() -> tuple[Item, ...]:
    return items_of("train") + items_of("test")


def measured_by(python: str | Path, hash_seed: str) -> Any:
    """What ``digests.py`` says under another Python."""
    done = subprocess.run(
        [python, HERE / "digests.py"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_generated_whole() -> None:
    assert digest([trace_to_json(item.trace) for item in all_items()]) == STORED["published"]["all"]
    for split in PUBLISHED:
        lines = [trace_to_json(item.trace) for item in items_of(split)]
        assert digest(lines) == STORED["published"][split]


def test_generated_in_seven_shards_in_any_order() -> None:
    bounds = [len(ADDRESSES) * shard // 7 for shard in range(8)]
    shards = {}
    for shard in (3, 6, 0, 5, 1, 4, 2):
        generator = DevReasoning()
        places = range(bounds[shard], bounds[shard + 1])
        shards[shard] = [line_at(generator, place) for place in places]
    assert (
        digest([line for shard in range(7) for line in shards[shard]])
        == (STORED["published"]["all"])
    )


def test_generated_by_random_access() -> None:
    generator = DevReasoning()
    # A stride that shares no factor with the number of items visits every one of them once.
    order = [place * 7919 % len(ADDRESSES) for place in range(len(ADDRESSES))]
    lines = {place: line_at(generator, place) for place in order}
    assert digest([lines[place] for place in range(len(ADDRESSES))]) == STORED["published"]["all"]


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295", "random"])
def test_generated_under_another_hash_seed(hash_seed: str) -> None:
    assert measured_by(sys.executable, hash_seed) == STORED


@pytest.mark.full
def test_generated_by_every_other_python(tmp_path: Path) -> None:
    found = other_pythons()
    if not found:
        pytest.skip("no other Python from 3.11 on, on the PATH or known to pyenv")
    # A copy, because building a wheel writes beside the sources.
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__", "build")
    shutil.copytree(ROOT / "tunix_core", source / "tunix_core", ignore=ignored)
    shutil.copytree(ROOT / "generators", source / "generators", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for version, interpreter in found.items():
        python = installed(interpreter, tmp_path / version, source)
        assert measured_by(python, "random") == STORED, version


def installed(interpreter: str, where: Path, source: Path) -> Path:
    """The Python of a new virtual environment with the core and the generators."""
    subprocess.run([interpreter, "-m", "venv", where], check=True)
    python = where / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    wanted = ["-c", str(ROOT / "constraints.txt"), str(source), str(source / "generators")]
    subprocess.run([*pip, *wanted], check=True)
    return python


def other_pythons() -> dict[str, str]:
    """An interpreter of each minor version from 3.11 on, this one's left out."""
    candidates = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True)
        versions = Path(root.stdout.strip()) / "versions"
        candidates += [str(path) for path in sorted(versions.glob("*/bin/python"))]
    found: dict[str, str] = {}
    for candidate in filter(None, candidates):
        version = version_of(candidate)
        if version is not None and version >= (3, 11) and version != sys.version_info[:2]:
            found.setdefault(".".join(map(str, version)), candidate)
    return found


def version_of(interpreter: str) -> tuple[int, int] | None:
    """Major and minor version, or None for what does not run: a name can lead to nothing."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    major, minor = done.stdout.split(".")
    return int(major), int(minor)


def test_no_prompt_is_asked_twice() -> None:
    prompts = Counter(
        item.prompt for split in ("train", "validation", "test") for item in items_of(split)
    )
    assert sum(prompts.values()) == 13_000
    assert prompts.most_common(1)[0][1] == 1


def test_splits_share_no_canonical_item() -> None:
    generator = DevReasoning()
    train, validation, test = (
        {generator.canonical(item) for item in items_of(split)}
        for split in ("train", "validation", "test")
    )
    assert (len(train), len(validation), len(test)) == (10_000, 2_000, 1_000)
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_seventy_to_thirty_to_the_item() -> None:
    for split, count in PUBLISHED.items():
        categories = Counter(item.label("category") for item in items_of(split))
        assert categories == {"reasoning": count * 70 // 100, "synthetic": count * 30 // 100}


def test_every_family_and_difficulty_has_its_share() -> None:
    for split, count in PUBLISHED.items():
        for category, share, families in (("reasoning", 70, 16), ("synthetic", 30, 8)):
            own = [item for item in items_of(split) if item.label("category") == category]
            cells = Counter((item.label("family"), item.label("difficulty")) for item in own)
            assert len(cells) == 3 * families
            even = count * share // 100 // len(cells)
            assert set(cells.values()) <= {even, even + 1}


def test_every_answer_is_right_by_another_path() -> None:
    generator = DevReasoning()
    assert all(generator.verify(item, item.answer) for item in all_items())


def test_every_step_passes_the_checker() -> None:
    """At most 0.1 % of correct text may be flagged; none is."""
    generator = DevReasoning()
    flagged = [
        verdict
        for item in all_items()
        for verdict in generator.check(item, "\n".join(step.content for step in item.trace.steps))
        if not verdict.ok
    ]
    assert flagged == []


def test_ten_thousand_corruptions_are_caught() -> None:
    """At least 99.9 % must be, and the first line found at fault is the one that was spoilt."""
    generator = DevReasoning()
    kinds: Counter[str] = Counter()
    missed, misplaced = [], []
    for item in items_of("train"):
        corruption = generator.corrupt(item, "published")
        kinds[corruption.kind] += 1
        verdicts = generator.check(item, corruption.text)
        faults = [verdict.line for verdict in verdicts if not verdict.ok]
        if not faults:
            missed.append((item.id, corruption))
        elif faults[0] != corruption.line:
            misplaced.append((item.id, corruption, faults))
    assert sum(kinds.values()) == 10_000
    assert len(missed) <= 10, missed
    assert misplaced == []
    assert min(kinds[kind] for kind in KINDS) > 300
