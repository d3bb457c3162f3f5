"""How long does a user wait for ``tunix-rt --help``, and how much of it could not be avoided?

    python benchmarks/startup.py [--rounds 25] [--json]

Measured: ``tunix-rt --help`` and ``tunix-rt plugins list`` as whole processes, with 10 more plugin
distributions on the path, each with an entry point, a module and one contribution.

Floor: a script that imports click and pluggy and reads the entry points of the same installation;
it loads none of them. The three run in turn, and the ratio is the median over the rounds.

Target: at most 2 times the floor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import asdict, frozen

from tunix_core.cli.kit import emit, print_table

TARGET = 2.0
PLUGINS = 10

FLOOR = """\
import click
import pluggy
from importlib.metadata import entry_points

list(entry_points(group="tunix_core"))
"""

MODULE = '''\
"""A small plugin."""

from tunix_core import hookimpl
from tunix_core.contributions import EvaluatorContribution


@hookimpl
def tunix_evaluators():
    return [
        EvaluatorContribution(
            name="{name}", summary="Gives no points", factory="{name}.none:Evaluator", version="1"
        )
    ]
'''

METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: 1.0
Requires-Dist: tunix-core>=0.1
"""


@frozen
class Command:
    """A command's median milliseconds, and the median of its ratios to the floor."""

    name: str
    ms: float
    ratio: float


def install_plugins(target: Path) -> None:
    """What pip leaves of small plugins in a target directory."""
    for number in range(PLUGINS):
        name = f"bench_plugin_{number}"
        info = target / f"{name}-1.0.dist-info"
        (target / name).mkdir()
        info.mkdir()
        (target / name / "__init__.py").write_text(MODULE.format(name=name))
        (info / "METADATA").write_text(METADATA.format(name=name))
        (info / "entry_points.txt").write_text(f"[tunix_core]\nplugin_{number} = {name}\n")
        (info / "RECORD").write_text("")


def run_ms(command: Sequence[str], environment: dict[str, str]) -> float:
    """Milliseconds from start to end of a process."""
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000


def measure(rounds: int) -> list[Command]:
    """Every command in turn, ``rounds`` times, after one turn that is not counted."""
    with tempfile.TemporaryDirectory() as directory:
        target, floor = Path(directory, "target"), Path(directory, "floor.py")
        target.mkdir()
        install_plugins(target)
        floor.write_text(FLOOR)
        ours = str(Path(sys.executable).with_name("tunix-rt"))
        commands = {
            "floor": [sys.executable, str(floor)],
            "tunix-rt --help": [ours, "--help"],
            "tunix-rt plugins list": [ours, "plugins", "list"],
        }
        environment = {**os.environ, "PYTHONPATH": str(target), "TUNIX_WORKSPACE": directory}
        environment.pop("TUNIX_PLUGINS", None)
        listed = subprocess.run(
            commands["tunix-rt plugins list"], env=environment, check=True, stdout=subprocess.PIPE
        )
        assert listed.stdout.count(b"bench-plugin-") == PLUGINS
        spent: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(rounds + 1):
            for name, command in commands.items():
                ms = run_ms(command, environment)
                if turn:
                    spent[name].append(ms)
    return [
        Command(
            name,
            statistics.median(times),
            statistics.median(t / f for t, f in zip(times, spent["floor"], strict=True)),
        )
        for name, times in spent.items()
    ]


def show(results: list[Command]) -> None:
    """Print one table, and whether the target is met."""
    print_table(
        {"command": result.name, "ms": f"{result.ms:.0f}", "ratio": f"{result.ratio:.2f}"}
        for result in results
    )
    worst = max(result.ratio for result in results)
    print()
    print(f"at most {TARGET:g} times the floor: target {'met' if worst <= TARGET else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=25, help="how often each command runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results = measure(options.rounds)
    met = all(result.ratio <= TARGET for result in results)
    data = {"commands": [asdict(result) for result in results], "met": met}
    emit(data, options.json, table=lambda: show(results))


if __name__ == "__main__":
    main()
