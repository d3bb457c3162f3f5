"""``tunix-rt plugins``: what is installed, what it offers, and whether it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from attrs import NOTHING, Factory, asdict, fields, has

from tunix_core.cli.kit import emit, json_option, print_table, say
from tunix_core.errors import NotFoundError

if TYPE_CHECKING:
    from tunix_core.plugins import PluginRecord, Plugins, Provided

SLOW_MS = 100.0


@click.group()
def command() -> None:
    """List, show and check plugins."""


def _loaded(ctx: click.Context) -> Plugins:
    plugins: Plugins = ctx.ensure_object(dict)["plugins"]
    return plugins


@command.command("list")
@json_option
@click.pass_context
def list_plugins(ctx: click.Context, as_json: bool) -> None:
    """List every installed plugin, the blocked and the broken ones included.

    Example: tunix-rt plugins list
    """
    records = _loaded(ctx).records
    rows = [
        {
            "plugin": record.distribution,
            "entry": record.name,
            "version": record.version,
            "status": record.status,
            "offers": len(record.contributions),
            "ms": record.load_ms,
            "error": record.error,
        }
        for record in records
    ]
    emit([asdict(record) for record in records], as_json, table=lambda: print_table(rows))
    for record in records:
        if record.load_ms > SLOW_MS:
            say(f"slow: {record.distribution} takes {record.load_ms:.0f} ms to import")


@command.command()
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what a plugin offers, with the settings of each contribution.

    Example: tunix-rt plugins show tunix-jax
    """
    plugins = _loaded(ctx)
    records = _named(plugins, name)
    offers = [_describe(provided) for provided in _provided(plugins, records)]
    data = {"plugins": [asdict(record) for record in records], "contributions": offers}

    def table() -> None:
        for record in records:
            problem = f": {record.error}" if record.error else ""
            click.echo(f"{record.distribution} {record.version} {record.status}{problem}")
        for offer in offers:
            click.echo(f"\n{offer['kind']} {offer['name']}\n  {offer['summary']}")
            for key, default in offer["settings"].items():
                click.echo(f"  {key} = {default}")

    emit(data, as_json, table=table)


@command.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def check(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Import everything that plugins offer and say what does not work.

    Exits with 1 when something does not.

    Example: tunix-rt plugins check
    """
    plugins = _loaded(ctx)
    records = list(plugins.records) if name is None else _named(plugins, name)
    rows = [
        {"what": record.distribution, "problem": f"{record.status}: {record.error}"}
        for record in records
        if record.error is not None
    ]
    for provided in _provided(plugins, records):
        problem = _problem(provided)
        what = f"{provided.kind.name} {provided.full_name}"
        if problem is not None:
            rows.append({"what": what, "problem": problem})
    emit(rows, as_json, table=lambda: print_table(rows) if rows else say("all plugins are well"))
    if rows:
        ctx.exit(1)


@command.command()
@click.pass_context
def freeze(ctx: click.Context) -> None:
    """Print the installed plugins as requirements, for `pip install -r`.

    Example: tunix-rt plugins freeze
    """
    lines = {f"{r.distribution}=={r.version}" for r in _loaded(ctx).records}
    for line in sorted(lines):
        click.echo(line)


def _named(plugins: Plugins, name: str) -> list[PluginRecord]:
    wanted = name.split("/")[0].replace("_", "-").lower()
    records = [
        r
        for r in plugins.records
        if wanted in (r.distribution, r.name.replace("_", "-"), r.module.replace("_", "-"))
    ]
    if not records:
        raise NotFoundError(f"no plugin is called {name!r}", "see: tunix-rt plugins list")
    return records


def _provided(plugins: Plugins, records: list[PluginRecord]) -> list[Provided[Any, Any]]:
    from tunix_core.contributions import KINDS

    distributions = {record.distribution for record in records if record.status == "active"}
    return [p for kind in KINDS for p in plugins.all(kind) if p.distribution in distributions]


def _describe(provided: Provided[Any, Any]) -> dict[str, Any]:
    return {
        "kind": provided.kind.name,
        "name": provided.full_name,
        "summary": provided.contribution.summary,
        "version": provided.contribution.version,
        "settings": _settings(provided.config_class()),
    }


def _settings(config: Any) -> dict[str, Any]:
    """The settings of a config class with their defaults, without making an instance of it."""
    settings: dict[str, Any] = {}
    for attribute in () if config is None else fields(config):
        default = attribute.default
        if default is NOTHING:
            default = "(required)"
        elif isinstance(default, Factory):  # type: ignore[arg-type]
            default = "(computed)" if default.takes_self else default.factory()
        settings[attribute.name] = asdict(default) if has(type(default)) else default
    return settings


def _problem(provided: Provided[Any, Any]) -> str | None:
    try:
        factory = provided.factory()
        provided.config_class()
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None if callable(factory) else f"{provided.contribution.factory} is not callable"
