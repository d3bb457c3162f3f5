"""Rate of complete traces as JSON lines, against the items of reasoning-gym in the same run.

    python benchmarks/generate.py [--seconds 0.5] [--json]

reasoning-gym makes a question and an answer, without steps; every family of it that gives at
least two items in the time counts, and the median family is the peer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from tunix_core.codec import unstructure
from tunix_core.plugins import Plugins


def rate(make: Callable[[int], object], seconds: float) -> float:
    """Items per second of ``make(index)``, over about ``seconds``."""
    make(0)
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            make(count)
            count += 1
    return count / (time.perf_counter() - started)


def our_rates(seconds: float) -> dict[str, float]:
    provided = Plugins.discover().find("generator", "dev-reasoning-v1")
    mix: Any = provided.create()
    families = sorted({mix.item("train", 42, i).label("family") for i in range(2000)})
    rates = {}
    for name in [None, *families]:
        generator: Any = provided.create({} if name is None else {"families": [name]})

        def line(index: int, generator: Any = generator) -> str:
            return json.dumps(unstructure(generator.item("train", 42, index).trace)) + "\n"

        rates[name or "the whole mix"] = rate(line, seconds * (4 if name is None else 1))
    return rates


def peer_rates(seconds: float) -> dict[str, float]:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    rates = {}
    for name in sorted(DATASETS):
        if name == "composite":
            continue
        try:
            dataset = reasoning_gym.create_dataset(name, size=1_000_000, seed=42)
            started = time.perf_counter()
            dataset[0]
            first = time.perf_counter() - started
            rates[name] = 1 / first if first > seconds else rate(dataset.__getitem__, seconds)
        except Exception as error:
            print(f"left out {name}: {type(error).__name__}: {error}", file=sys.stderr)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="time per family")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ours, peers = our_rates(options.seconds), peer_rates(options.seconds)
    median = statistics.median(peers.values())
    whole = ours.pop("the whole mix")
    slowest = min(ours, key=lambda name: ours[name])
    result = {
        "dev_reasoning_v1_per_s": round(whole),
        "slowest_family": {slowest: round(ours[slowest])},
        "reasoning_gym_median_per_s": round(median),
        "reasoning_gym_families": len(peers),
        "ratio": round(whole / median, 2),
        "families_per_s": {name: round(value) for name, value in ours.items()},
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, value in sorted(ours.items(), key=lambda pair: pair[1]):
        print(f"{name:32} {value:10,.0f} traces/s")
    print(f"{'dev-reasoning-v1, whole mix':32} {whole:10,.0f} traces/s")
    print(f"{f'reasoning-gym, median of {len(peers)}':32} {median:10,.0f} items/s")
    print(f"ratio to the peer: {whole / median:.2f}; slowest family: {slowest}")


if __name__ == "__main__":
    main()
