"""How fast are complete traces made, beside the items of reasoning-gym in the same run?

    python benchmarks/generate.py [--seconds 0.3] [--limit 2] [--json]

Measured: dev-reasoning-v1 on one core, from the index of an item to its line of JSON in a file,
for the whole mix and for each family alone. Slices of the mix alternate with the peer's families,
so that a busy machine slows both.

Floor: the median family of reasoning-gym, which makes a question and an answer, no steps, and
writes nothing. Each of its families runs in a process of its own that is stopped after
``--limit`` seconds; those that were stopped or failed are named and left out of the median, which
favours the peer: a family that is stopped has a slow item, or is slow to set up.

Target: the whole mix at least as fast as that median; every family of ours at least 3,000 per
second.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from attrs import asdict, frozen

from tunix_core.cli.kit import emit, print_table, say
from tunix_core.codec import trace_to_json
from tunix_core.contributions import GENERATOR
from tunix_core.plugins import Plugins

FAMILY_TARGET = 3000
PEER_SIZE = 1_000_000
SEED = 42
PEERS_PER_SLICE = 10


@frozen
class Result:
    """What was measured; rates are per second."""

    mix_rate: float
    family_rates: dict[str, float]
    peer_median: float
    peer_rates: dict[str, float]
    peers_stopped: list[str]
    peers_failed: dict[str, str]

    @property
    def ratio(self) -> float:
        return self.mix_rate / self.peer_median


def rate(make: Callable[[int], object], seconds: float, start: int = 0) -> float:
    """Items per second of ``make(index)``, over about ``seconds``."""
    make(start)
    count = 0
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        make(start + count)
        count += 1
    return count / spent


def writer(config: dict[str, Any]) -> Callable[[int], object]:
    """A function that makes item i of the mix and writes its line to a file."""
    generator: Any = Plugins.discover().find(GENERATOR, "dev-reasoning-v1").create(config)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the function lives

    def write(index: int) -> int:
        trace = generator.item("train", SEED, index).trace
        return file.write(f"{trace_to_json(trace)}\n".encode())

    return write


def family_names() -> list[str]:
    """The families of the whole mix."""
    mix: Any = Plugins.discover().find(GENERATOR, "dev-reasoning-v1").create()
    return sorted({mix.item("train", SEED, i).label("family") for i in range(2000)})


def peer_rate(name: str, seconds: float, answer: Connection) -> None:
    """Send the rate of one family of reasoning-gym, or why it has none."""
    import reasoning_gym

    # Some families print what goes wrong within them.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        dataset = reasoning_gym.create_dataset(name, size=PEER_SIZE, seed=SEED)
        answer.send(rate(dataset.__getitem__, seconds))
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}".splitlines()[0])


def peer_rates(seconds: float, limit: float) -> Iterator[tuple[str, float | str | None]]:
    """Each family with its rate, why it failed, or None when it had to be stopped."""
    from reasoning_gym.factory import DATASETS

    # Forked, so that a family does not pay for the import again; frozen, so that nobody pays for
    # the garbage collector's visits to what was imported.
    gc.freeze()
    context = multiprocessing.get_context("fork")
    for name in sorted(set(DATASETS) - {"composite"}):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=peer_rate, args=(name, seconds, sender))
        child.start()
        sender.close()
        outcome: float | str | None = None
        try:
            if receiver.poll(limit):
                outcome = receiver.recv()
        except EOFError:
            outcome = "its process died"
        child.kill()
        child.join()
        yield name, outcome


def measure(seconds: float, limit: float) -> Result:
    """Run everything once."""
    families = {name: rate(writer({"families": [name]}), seconds) for name in family_names()}
    whole = writer({})
    slices: list[float] = []
    rates: dict[str, float] = {}
    stopped: list[str] = []
    failed: dict[str, str] = {}
    for place, (name, outcome) in enumerate(peer_rates(seconds, limit)):
        if place % PEERS_PER_SLICE == 0:
            slices.append(rate(whole, seconds, start=1_000_000 * place))
        if outcome is None:
            stopped.append(name)
        elif isinstance(outcome, str):
            failed[name] = outcome
        else:
            rates[name] = outcome
    median = statistics.median(rates.values())
    return Result(statistics.median(slices), families, median, rates, stopped, failed)


def show(result: Result) -> None:
    """Print one table, and whether the targets are met."""
    families = sorted(result.family_rates.items(), key=lambda pair: pair[1])
    rows = [
        ("dev-reasoning-v1, whole mix", result.mix_rate, f">= {result.peer_median:,.0f}"),
        (f"reasoning-gym, median of {len(result.peer_rates)}", result.peer_median, ""),
        *((f"  {name}", value, f">= {FAMILY_TARGET:,}") for name, value in families),
    ]
    print_table({"what": w, "per second": f"{v:,.0f}", "target": t} for w, v, t in rows)
    slow = [name for name, value in families if value < FAMILY_TARGET]
    print()
    print(f"whole mix: {result.ratio:.2f} of the peer's median, {met(result.ratio >= 1)}")
    print(f"every family at least {FAMILY_TARGET:,} per second: {met(not slow)} {' '.join(slow)}")
    print(f"peer's families stopped at the limit: {', '.join(result.peers_stopped) or 'none'}")
    for name, why in result.peers_failed.items():
        say(f"peer's family left out: {name}: {why}")


def met(reached: bool) -> str:
    """The words for a target."""
    return "target met" if reached else "target MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.3, help="time per family")
    parser.add_argument("--limit", type=float, default=2.0, help="most seconds per peer's family")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = measure(options.seconds, options.limit)
    emit({**asdict(result), "ratio": result.ratio}, options.json, table=lambda: show(result))


if __name__ == "__main__":
    main()
