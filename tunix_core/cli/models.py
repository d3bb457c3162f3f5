"""``tunix-rt models``: promoted runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tunix_core.cli.kit import emit, json_option, pass_workspace, print_fields, print_table, say
from tunix_core.codec import unstructure
from tunix_core.models.service import DEFAULT_REGISTRY
from tunix_core.records import ModelVersion
from tunix_core.workspace import Workspace


@click.group()
def command() -> None:
    """Promote, verify and download models.

    A version is named NAME (its newest), NAME@VERSION, NAME@ALIAS, or by its id.
    """


@command.command()
@click.argument("name")
@click.option("--description", help="What it is for.")
@click.option("--task-type", help="What kind of task it does.")
@json_option
@pass_workspace
def create(
    workspace: Workspace,
    name: str,
    description: str | None,
    task_type: str | None,
    as_json: bool,
) -> None:
    """Make a family of versions, before anything is promoted into it.

    Example: tunix-rt models create tutor --description "Answers with its work"
    """
    made = workspace.models.create(name, description, task_type)
    emit(unstructure(made), as_json, table=lambda: say(f"model {made.name}"))


@command.command()
@click.argument("name")
@click.argument("run_id")
@click.option("--label", help="Label of the version.  [default: v1, v2, ...]")
@click.option("--description", help="What is special about it.")
@click.option("--registry", default=DEFAULT_REGISTRY, show_default=True)
@json_option
@pass_workspace
def promote(
    workspace: Workspace,
    name: str,
    run_id: str,
    label: str | None,
    description: str | None,
    registry: str,
    as_json: bool,
) -> None:
    """Make a completed run's model a version that never changes.

    Example: tunix-rt models promote my-model 4f0c2a1b --label first
    """
    version = workspace.models.promote(name, run_id, label, description, registry)
    emit(unstructure(version), as_json, table=lambda: print_table([_row(version)]))


@command.command("list")
@json_option
@pass_workspace
def list_models(workspace: Workspace, as_json: bool) -> None:
    """List models, the last changed first.

    Example: tunix-rt models list
    """
    models = workspace.models.list()
    rows = []
    for model in models:
        versions = workspace.models.versions(model.name)
        newest = versions[0].version if versions else None
        rows.append(
            {"name": model.name, "newest": newest, "versions": len(versions)}
            | {"updated": model.updated_at[:19], "description": model.description}
        )
    emit(unstructure(models), as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("reference")
@json_option
@pass_workspace
def show(workspace: Workspace, reference: str, as_json: bool) -> None:
    """Show a model with its versions, or one version.

    Example: tunix-rt models show my-model
    """
    if "@" in reference:
        version = workspace.models.version(reference)
        emit(unstructure(version), as_json, table=lambda: _print_version(version))
        return
    model = workspace.models.get(reference)
    versions = workspace.models.versions(reference)
    aliases = workspace.models.aliases(reference)
    data = {**unstructure(model), "aliases": aliases, "versions": unstructure(versions)}
    rows = [
        {**_row(v), "aliases": ", ".join(a for a, label in aliases.items() if label == v.version)}
        for v in versions
    ]
    emit(data, as_json, table=lambda: print_table(rows))


@command.command()
@click.argument("reference")
@click.argument("alias")
@json_option
@pass_workspace
def alias(workspace: Workspace, reference: str, alias: str, as_json: bool) -> None:
    """Let ALIAS, such as `production`, point to a version.

    Example: tunix-rt models alias my-model@v1 production
    """
    version = workspace.models.alias(reference, alias)
    message = f"{version.artifact}@{alias} is {version.version}"
    emit(unstructure(version), as_json, table=lambda: say(message))


@command.command()
@click.argument("reference")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A .zip file, or a new directory.",
)
@pass_workspace
def download(workspace: Workspace, reference: str, output: Path) -> None:
    """Write the files of a version, checked on the way out.

    Example: tunix-rt models download my-model@production -o my-model.zip
    """
    version = workspace.models.download(reference, output)
    say(f"wrote {version.artifact}@{version.version} to {output}")


@command.command()
@click.argument("reference")
@json_option
@pass_workspace
def verify(workspace: Workspace, reference: str, as_json: bool) -> None:
    """Check that the stored files of a version are what was promoted.

    Example: tunix-rt models verify my-model@v1
    """
    path = workspace.models.verify(reference)
    emit({"path": str(path), "ok": True}, as_json, table=lambda: say(f"good: {path}"))


def _row(version: ModelVersion) -> dict[str, Any]:
    scores = ", ".join(
        f"{name} {value:.3f}" for name, value in version.metrics.items() if value is not None
    )
    return {
        "version": f"{version.artifact}@{version.version}",
        "sha256": version.sha256[:16],
        "bytes": version.size_bytes,
        "run": (version.source_run_id or "")[:8],
        "metrics": scores,
        "created": version.created_at[:19],
    }


def _print_version(version: ModelVersion) -> None:
    fields = {**_row(version), "sha256": version.sha256, "registry": version.registry}
    fields |= {f"provenance: {k}": v for k, v in version.provenance.items() if k != "evaluations"}
    print_fields(fields.items())
