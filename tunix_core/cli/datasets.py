"""``tunix-rt datasets``: build, verify and export datasets."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tunix_core.base.files import atomic_file
from tunix_core.base.settings_text import parse_pairs
from tunix_core.cli.kit import emit, json_option, pass_workspace, print_fields, print_table, say
from tunix_core.cli.progress import Progress
from tunix_core.cli.traces import import_one, report_row, say_rejects
from tunix_core.codec import unstructure
from tunix_core.errors import UsageError
from tunix_core.evaluators.answer_spec import TYPES
from tunix_core.records import DatasetManifest
from tunix_core.traces.exports import FORMATS
from tunix_core.workspace import Workspace

# More would push the table off the screen.
SHOWN_FAULTS = 10


@click.group()
def command() -> None:
    """Build, verify and export datasets."""


@command.command()
@click.argument("name")
@click.argument("version")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Must hold in meta.")
@click.option("--ids", type=click.Path(path_type=Path), help="File with one trace id per line.")
@click.option("--import", "import_id", metavar="ID", help="Only what one import stored.")
@click.option("--mix", multiple=True, metavar="SOURCE=SHARE", help="Mix sources by share.")
@click.option(
    "--strategy", type=click.Choice(["latest", "random"]), default="latest", show_default=True
)
@click.option("--seed", type=int, help="Seed of the random strategy.")
@click.option("--limit", type=click.IntRange(1), help="How many; by default all that match.")
@click.option("--keep-faulty", is_flag=True, help="Keep references that would count as wrong.")
@click.option(
    "--answer-type", metavar="TYPE", help=f"For traces that name none: {', '.join(TYPES)}."
)
@json_option
@pass_workspace
def build(
    workspace: Workspace,
    name: str,
    version: str,
    filters: tuple[str, ...],
    ids: Path | None,
    import_id: str | None,
    mix: tuple[str, ...],
    strategy: Any,
    seed: int | None,
    limit: int | None,
    keep_faulty: bool,
    answer_type: str | None,
    as_json: bool,
) -> None:
    """Build an immutable dataset from stored traces.

    Values of --filter are read as JSON where they are JSON: index=3 is a number, "3" a text.

    A reference is left out, and named, when its own answer would count as wrong, or when another
    one answers the same question otherwise.

    Example: tunix-rt datasets build mine v2 --filter source=mine --limit 1000
    """
    with Progress(limit or 0, f"building {name}-{version}") as bar:
        manifest = workspace.datasets.build(
            name,
            version,
            filters=parse_pairs(filters, "filter"),
            trace_ids=None if ids is None else _read_ids(ids),
            import_id=import_id,
            mix=_shares(mix),
            strategy=strategy,
            seed=seed,
            limit=limit,
            keep_faulty=keep_faulty,
            answer_type=answer_type,
            on_progress=bar.reach,
        )
    _say_faulty(manifest)
    _emit(workspace, manifest, as_json)


def _say_faulty(manifest: DatasetManifest) -> None:
    faulty = manifest.provenance.get("faulty")
    # A build over HTTP can put anything there.
    if not isinstance(faulty, Mapping) or not {"count", "kept", "first"} <= faulty.keys():
        return
    for one in faulty["first"][:SHOWN_FAULTS]:
        say(f"trace {one['trace_id']}: {one['reason']}")
    count = f"{faulty['count']:,} faulty references were"
    done = "kept" if faulty["kept"] else "left out (--keep-faulty keeps them)"
    say(f"{count} {done}; the manifest names the first {len(faulty['first'])}")


def _read_ids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the ids in {path}: {error}") from error
    if not lines:
        raise UsageError(f"{path} holds no trace id")
    return lines


def _shares(mix: Sequence[str]) -> dict[str, float] | None:
    shares: dict[str, float] = {}
    for pair in mix:
        source, equals, share = pair.rpartition("=")
        try:
            shares[source] = float(share)
        except ValueError:
            equals = ""
        if not equals or not source:
            raise UsageError(f"{pair!r} is not SOURCE=SHARE", "for example: ungar=0.3")
    return shares or None


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="Becomes meta.source of every trace.")
@click.option("--allow-duplicates", is_flag=True, help="Store again what is stored already.")
@json_option
@pass_workspace
def ingest(
    workspace: Workspace, file: Path, source: str, allow_duplicates: bool, as_json: bool
) -> int:
    """Import a file under one source, to build a dataset from it.

    Example: tunix-rt datasets ingest mine.jsonl --source mine
    """
    report = import_one(workspace, file, source, allow_duplicates=allow_duplicates)
    row = report_row(report)
    emit(row, as_json, table=lambda: print_table([row]))
    return say_rejects([report])


@command.command()
@click.argument("key")
@click.option(
    "--format",
    "export_format",
    type=click.Choice(list(FORMATS)),
    default="trace",
    show_default=True,
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File; else standard output.")
@pass_workspace
def export(workspace: Workspace, key: str, export_format: str, output: Path | None) -> None:
    """Write a dataset as JSON lines; the same bytes every time.

    Example: tunix-rt datasets export mine-v1 -o mine-v1.jsonl
    """
    lines = workspace.datasets.export(key, export_format)
    if output is None:
        for line in lines:
            sys.stdout.write(line)
        return
    count = 0
    with atomic_file(output) as out:
        for line in lines:
            out.write(line.encode())
            count += 1
    say(f"wrote {count} lines to {output}")


@command.command("list")
@json_option
@pass_workspace
def list_datasets(workspace: Workspace, as_json: bool) -> None:
    """List the datasets.

    Example: tunix-rt datasets list
    """
    manifests = workspace.datasets.list()
    rows = [
        {
            "key": manifest.dataset_key,
            "traces": manifest.trace_count,
            "strategy": manifest.selection_strategy,
            "filters": ", ".join(f"{key}={value}" for key, value in manifest.filters.items()),
            "sha256": manifest.sha256[:12],
            "created": manifest.created_at[:19],
        }
        for manifest in manifests
    ]
    emit([_summary(manifest) for manifest in manifests], as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("key")
@json_option
@pass_workspace
def show(workspace: Workspace, key: str, as_json: bool) -> None:
    """Show a dataset's manifest.

    Example: tunix-rt datasets show mine-v1 --json
    """
    manifest = workspace.datasets.manifest(key)
    if as_json:
        emit(unstructure(manifest), as_json, table=lambda: None)
    else:
        _emit(workspace, manifest, as_json)


@command.command()
@click.argument("key")
@json_option
@pass_workspace
def verify(workspace: Workspace, key: str, as_json: bool) -> None:
    """Recompute the hash of a dataset's data.

    Example: tunix-rt datasets verify mine-v1
    """
    manifest = workspace.datasets.verify(key)
    data = {
        "dataset_key": key,
        "trace_count": manifest.trace_count,
        "sha256": manifest.sha256,
        "ok": True,
    }
    emit(data, as_json, table=lambda: say(f"{key}: {manifest.trace_count} traces, hash as built"))


def _summary(manifest: DatasetManifest) -> dict[str, Any]:
    fields: dict[str, Any] = unstructure(manifest)
    del fields["trace_ids"]
    return fields


def _emit(workspace: Workspace, manifest: DatasetManifest, as_json: bool) -> None:
    folder = workspace.paths.dataset(manifest.dataset_key)
    rows = [
        ("key", manifest.dataset_key),
        ("traces", manifest.trace_count),
        ("matched", manifest.provenance.get("matched_count")),
        ("stored", manifest.provenance.get("stored_count")),
        ("strategy", manifest.selection_strategy),
        ("steps per trace", manifest.stats.get("avg_step_count")),
        ("sha256", manifest.sha256),
        ("directory", folder),
    ]
    emit(
        {**_summary(manifest), "path": str(folder)},
        as_json,
        table=lambda: print_fields((n, value) for n, value in rows if value is not None),
    )
