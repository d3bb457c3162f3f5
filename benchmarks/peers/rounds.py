"""Measurements in processes of their own, side after side, round after round."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from peers.venvs import python_of

from tunix_core.cli.kit import say

_BENCHMARKS = Path(__file__).parents[1]
THREADS = len(os.sched_getaffinity(0))


@frozen
class Side:
    """One side of a comparison.

    Args:
        name: What tables call it.
        module: What runs, below ``peers``; it takes a JSON object and prints one.
        job: The object.
        peer: Whose environment it runs in; None for ours.
    """

    name: str
    module: str
    job: Mapping[str, Any]
    peer: str | None = None


def run(side: Side, cache: Path) -> dict[str, Any]:
    """What a side prints.

    Args:
        side: What to run.
        cache: Directory for compiled programs and tokens; every side may use it.
    """
    python = sys.executable if side.peer is None else str(python_of(side.peer))
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache / "compiled"),
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    command = [python, "-m", f"peers.{side.module}", json.dumps(side.job)]
    done = subprocess.run(
        command, cwd=_BENCHMARKS, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{side.name} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def interleaved(sides: list[Side], rounds: int, cache: Path) -> list[list[dict[str, Any]]]:
    """Results of every round, in the order of the sides."""
    results: list[list[dict[str, Any]]] = []
    for turn in range(rounds):
        results.append([])
        for side in sides:
            say(f"round {turn + 1} of {rounds}: {side.name}")
            results[-1].append(run(side, cache))
    return results


def ratios(results: list[list[dict[str, Any]]], figure: str) -> list[float]:
    """How many times the first side's figure is that of each side: the median of the rounds."""
    columns = range(len(results[0]))
    return [statistics.median(r[0][figure] / r[side][figure] for r in results) for side in columns]


def medians(results: list[list[dict[str, Any]]], figure: str) -> list[float]:
    """The median of a figure for every side."""
    columns = range(len(results[0]))
    return [statistics.median(r[side][figure] for r in results) for side in columns]
