"""Builds the folder that a notebook without internet installs tunix-rt from.

It holds the wheels of this repository that a notebook needs and of all that these need, for one
Python on Linux x86_64. JAX is left out: a notebook's host brings the one that fits its devices.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOTS = (
    "tunix-core[plot]",
    "tunix-compare",
    "tunix-generators",
    "tunix-jax",
    "tunix-tensorboard",
)
HOST = frozenset({"jax", "jaxlib", "libtpu"})
# Written against interfaces that JAX changes without notice, so that each goes with few of it.
FOLLOWERS = frozenset({"flax", "optax", "orbax-checkpoint"})
# Debian 10, Ubuntu 20.04 and all that came after them have this glibc or a later one.
NEWEST_GLIBC = 28
MIB = 2**20


@frozen
class Release:
    """One version of a distribution, as pip resolved it.

    Args:
        version: Its version.
        requires: What it requires, by PEP 508, of whatever environment and extra.
    """

    version: str
    requires: tuple[str, ...]


def pip(command: str, *arguments: str) -> str:
    """What a command of pip prints.

    Raises:
        SystemExit: It failed; pip has said why on standard error.
    """
    called = [sys.executable, "-m", "pip", "--disable-pip-version-check", command, "-qq"]
    done = subprocess.run([*called, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("error: pip found no set of wheels (its reason stands above)")
    return done.stdout


def pip_options(python: str, wheels: Path, constraints: Path) -> list[str]:
    """Options of pip that stand for a CPython ``python``, such as 3.12, on Linux x86_64."""
    legacy = ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64")
    glibc = [f"manylinux_2_{minor}_x86_64" for minor in range(NEWEST_GLIBC, 4, -1)]
    platforms = [f"--platform={platform}" for platform in (*glibc, *legacy)]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    return [*target, *platforms, f"--find-links={wheels}", f"--constraint={constraints}"]


def beside(jax: str, constraints: str) -> str:
    """``constraints`` with that JAX, and with free choice of what has to go with it."""
    free = HOST | FOLLOWERS
    kept = [
        line
        for line in constraints.splitlines()
        if canonicalize_name(line.partition("==")[0]) not in free
    ]
    return "\n".join([*kept, f"jax=={jax}", ""])


def markers_of(python: str) -> dict[str, str]:
    """The environment that PEP 508 markers see there."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def resolve(requirements: Collection[str], options: Collection[str]) -> dict[str, Release]:
    """What pip would install for ``requirements``, by normalized name."""
    dry = ("--dry-run", "--ignore-installed", "--report=-")
    report = pip("install", *dry, *options, *requirements)
    found: dict[str, Release] = {}
    for entry in json.loads(report)["install"]:
        metadata = entry["metadata"]
        requires = tuple(metadata.get("requires_dist", ()))
        found[canonicalize_name(metadata["name"])] = Release(metadata["version"], requires)
    return found


def required(
    release: Release, extras: Collection[str], markers: Mapping[str, str]
) -> Iterator[Requirement]:
    """What ``release`` with ``extras`` requires where ``markers`` hold."""
    for requirement in map(Requirement, release.requires):
        marker = requirement.marker
        if marker is None or any(
            marker.evaluate({**markers, "extra": extra}) for extra in ("", *extras)
        ):
            requirement.marker = None
            yield requirement


def closure(
    releases: Mapping[str, Release], markers: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """What the roots lead to without passing through the host's distributions.

    Returns:
        The versions by name, and the requirements that ``releases`` do not meet.
    """
    versions: dict[str, str] = {}
    unmet: list[str] = []
    waiting = [Requirement(root) for root in ROOTS]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in HOST or str(requirement) in seen:
            continue
        seen.add(str(requirement))
        release = releases.get(name)
        if release is None or not requirement.specifier.contains(release.version, prereleases=True):
            unmet.append(str(requirement))
        else:
            versions[name] = release.version
            waiting.extend(required(release, requirement.extras, markers))
    return versions, unmet


def resolve_for(python: str, options: Collection[str]) -> tuple[dict[str, str], str]:
    """Versions, by name, of all that belongs into the wheelhouse, and that of the host's JAX."""
    markers = markers_of(python)
    asked = list(ROOTS)
    while True:
        releases = resolve(asked, options)
        versions, unmet = closure(releases, markers)
        if not unmet:
            return dict(sorted(versions.items())), releases["jax"].version
        # pip evaluates markers for the Python that runs it, even where it resolves for another.
        asked += unmet


def build(target: Path, python: str, wheels: Path, constraints: Path) -> str:
    """Fill ``target`` and remove the wheels that lay there.

    Returns:
        A line that says what is there now.
    """
    options = pip_options(python, wheels, constraints)
    versions, jax = resolve_for(python, options)
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*.whl"):
        stale.unlink()
    pins = [f"{name}=={version}" for name, version in versions.items()]
    pip("download", "--no-deps", f"--dest={target}", *options, *pins)
    suits = f"for CPython {python} on Linux x86_64, beside jax {jax}"
    lines = [f"# {suits}", *pins, ""]
    (target / "requirements.txt").write_text("\n".join(lines), encoding="utf-8")
    sizes = [wheel.stat().st_size for wheel in target.glob("*.whl")]
    return f"{target}: {len(sizes)} wheels, {sum(sizes) / MIB:.0f} MiB, {suits}"


def minor_version(text: str) -> str:
    """Checks that ``text`` is like 3.12."""
    if not re.fullmatch(r"3\.\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no Python version (say 3.12)")
    return text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="folder to fill")
    parser.add_argument("--python", type=minor_version, required=True, help="such as 3.12")
    parser.add_argument("--wheels", type=Path, required=True, help="wheels of this repository")
    parser.add_argument("--constraints", type=Path, required=True, help="versions to take")
    parser.add_argument("--jax", help="the host's version, if it is not that of the constraints")
    given = parser.parse_args()
    if given.target.resolve() == given.wheels.resolve():
        parser.error("the folder to fill is emptied of wheels first: it cannot be that of --wheels")
    with TemporaryDirectory() as scratch:
        constraints = given.constraints
        if given.jax is not None:
            constraints = Path(scratch) / "constraints.txt"
            constraints.write_text(beside(given.jax, given.constraints.read_text("utf-8")), "utf-8")
        print(build(given.target, given.python, given.wheels, constraints))


if __name__ == "__main__":
    main()
