"""``tunix-rt doctor``: what is here, and what is missing."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from attrs import asdict, frozen

from tunix_core.cli.kit import emit, json_option, print_table

if TYPE_CHECKING:
    from tunix_core.plugins import Plugins

LOW_DISK_BYTES = 2 * 1024**3

# What each optional thing is for, and how to get it.
OPTIONAL = (
    ("tunix-generators", "the generators of dev-reasoning-v1", "tunix-generators"),
    ("tunix-jax", "the JAX trainer", "tunix-jax"),
    ("tunix-compare", "regression checks", "tunix-compare"),
    ("tunix-http", "the HTTP API and the web page", "tunix-http"),
    ("tunix-tune", "hyper-parameter search", "tunix-tune"),
    ("tunix-judges", "judges that are language models", "tunix-judges"),
    ("tunix-ungar", "card games", "tunix-ungar"),
    ("tunix-tensorboard", "TensorBoard event files of runs", "tunix-tensorboard"),
    ("zstandard", "reading .jsonl.zst files", "'tunix-core[zstd]'"),
    ("matplotlib", "pictures of runs", "'tunix-core[plot]'"),
    ("plotext", "`runs plot` in a terminal", "'tunix-core[plot]'"),
)


@frozen
class Finding:
    """One line of the report.

    Args:
        what: The thing that was looked at.
        state: ``good``, ``missing`` (optional) or ``bad``.
        found: What was found, or what to do.
    """

    what: str
    state: Literal["good", "missing", "bad"]
    found: str


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """Say what is installed, which devices there are, and what is missing and how to get it.

    Exits with 1 when something is broken; what is merely missing is no failure.

    Example: tunix-rt doctor
    """
    shared = ctx.ensure_object(dict)
    directory = Path(shared.get("workspace") or "workspace")
    findings = [
        Finding("python", "good", f"{platform.python_version()} on {platform.platform()}"),
        Finding("tunix-core", "good", version("tunix-core")),
        *_optional(),
        *_plugins(shared["plugins"]),
        _disk(directory),
        _devices(),
    ]
    rows = [asdict(finding) for finding in findings]
    emit(rows, as_json, table=lambda: print_table(rows))
    return int(any(finding.state == "bad" for finding in findings))


def _optional() -> list[Finding]:
    findings = []
    for distribution, purpose, requirement in OPTIONAL:
        try:
            findings.append(Finding(distribution, "good", version(distribution)))
        except PackageNotFoundError:
            todo = f"for {purpose}: pip install {requirement}"
            findings.append(Finding(distribution, "missing", todo))
    return findings


def _plugins(plugins: Plugins) -> list[Finding]:
    return [
        Finding(f"plugin {record.distribution}", "bad", f"{record.status}: {record.error}")
        for record in plugins.records
        if record.error is not None
    ]


def _disk(directory: Path) -> Finding:
    existing = next(p for p in (directory.resolve(), *directory.resolve().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / 1024**3:.1f} GiB free for {directory}"
    return Finding("disk", "good" if free >= LOW_DISK_BYTES else "bad", found)


def _devices() -> Finding:
    """The devices that JAX sees; asked in a child, so that no device is held by this process."""
    import subprocess

    if find_spec("jax") is None:
        return Finding("devices", "missing", "for training: pip install tunix-jax")
    script = "import jax; print(*(f'{d.platform}: {d.device_kind}' for d in jax.devices()))"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("devices", "bad", "JAX did not answer within two minutes")
    lines = (asked.stdout if asked.returncode == 0 else asked.stderr).strip().splitlines()
    last = lines[-1] if lines else f"JAX ended with exit code {asked.returncode}"
    return Finding("devices", "good" if asked.returncode == 0 else "bad", last)
