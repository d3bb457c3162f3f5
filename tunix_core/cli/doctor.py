"""``tunix-rt doctor``: what is here, and what is missing."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import asdict

from tunix_core.cli.kit import emit, json_option, print_table
from tunix_core.contributions import Finding
from tunix_core.plugins import first_party

if TYPE_CHECKING:
    from tunix_core.plugins import Plugins

LOW_DISK_BYTES = 2 * 1024**3

# What each optional library is for, and how to get it.
OPTIONAL = (
    ("zstandard", "reading .jsonl.zst files", "'tunix-core[zstd]'"),
    ("matplotlib", "pictures of runs", "'tunix-core[plot]'"),
    ("plotext", "`runs plot` in a terminal", "'tunix-core[plot]'"),
)


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """Say what is installed, which devices there are, and what is missing and how to get it.

    Exits with 1 when something is broken; what is merely missing is no failure.

    Example: tunix-rt doctor
    """
    shared = ctx.ensure_object(dict)
    plugins: Plugins = shared["plugins"]
    directory = Path(shared.get("workspace") or "workspace")
    findings = [
        Finding("python", "good", f"{platform.python_version()} on {platform.platform()}"),
        Finding("tunix-core", "good", version("tunix-core")),
        *_optional(),
        *_plugins(plugins),
        _disk(directory),
        *_told(plugins),
    ]
    rows = [asdict(finding) for finding in findings]
    emit(rows, as_json, table=lambda: print_table(rows))
    return int(any(finding.state == "bad" for finding in findings))


def _optional() -> list[Finding]:
    findings = []
    purposes = first_party().items()
    ours = [(name, purpose, name) for name, purpose in purposes if purpose is not None]
    for distribution, purpose, requirement in (*ours, *OPTIONAL):
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


def _told(plugins: Plugins) -> list[Finding]:
    """What plugins find, such as devices to train on."""
    return [finding for _, findings in plugins.collect("tunix_findings") for finding in findings]
