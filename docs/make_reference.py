"""Writes the pages of this folder that follow from the code: commands, hooks, settings.

Run it without arguments after a command, a hook or a setting has changed.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from attrs import NOTHING, Attribute, Factory, fields, has

from tunix_core import contributions, hookspecs, protocols
from tunix_core.cli import cli
from tunix_core.codec import unstructure
from tunix_core.contributions import COMMAND
from tunix_core.plugins import Plugins, Selection, first_party
from tunix_http import contributions as http_contributions
from tunix_http import hookspecs as http_hookspecs
from tunix_http import panels

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/make_reference.py; do not edit. -->"
PROTOCOLS = {k.name: k.protocol.__name__ for k in contributions.KINDS if k is not COMMAND}
# Settings that other defaults follow from, with what to call them.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "tunix-jax/jax": {
        "pretrained": {"model_id": "gemma-2-2b"},
        "under LoRA": {"model_id": "gemma-2-2b", "lora_rank": 16},
    }
}


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    plugins = Plugins.discover(Selection())
    made = {"cli.md": cli_page(plugins), "hooks.md": hooks_page()}
    made["settings.md"] = settings_page(plugins)
    return {
        name: re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
        for name, lines in made.items()
    }


# Text.


def markdown(text: str) -> str:
    """A docstring's markup as Markdown's."""
    text = re.sub(r":\w+:`~(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def documentation(thing: object) -> tuple[str, dict[str, str], str]:
    """A docstring in three: its text, what it says of each argument, its example."""
    text = inspect.getdoc(thing) or ""
    text, _, example = text.partition("Example::\n")
    text, _, said = text.partition("Args:\n")
    said, _, rest = said.partition("\n\n")
    arguments = {
        name: " ".join(meaning.split())
        for name, meaning in re.findall(
            r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", said + "\n", re.MULTILINE | re.DOTALL
        )
    }
    return markdown(f"{text}{rest}".strip()), arguments, inspect.cleandoc(example)


def entries(items: dict[str, str]) -> list[str]:
    """A list of names with what they mean."""
    return [f"- `{name}`: {markdown(meaning)}" for name, meaning in items.items()]


# Commands.


def cli_page(plugins: Plugins) -> list[str]:
    root = click.Context(cli, info_name="tunix-rt", obj={"plugins": plugins})
    ours = first_party()
    provided = [p for p in plugins.all(COMMAND) if p.distribution in ours]
    provided.sort(key=lambda p: p.contribution.name)
    lines = ["# Commands", "", NOTE, "", *_command(cli, root), "| Command | What | From |"]
    lines.append("|---|---|---|")
    for p in provided:
        name = p.contribution.name
        lines.append(f"| [`{name}`](#{name}) | {p.contribution.summary} | {p.distribution} |")
    for p in provided:
        lines += ["", *_commands(p.factory(), p.contribution.name, root, "##")]
    return lines


def _commands(command: Any, name: str, parent: click.Context, level: str) -> Iterator[str]:
    """A command, and below it those that it groups."""
    context = click.Context(command, info_name=name, parent=parent)
    yield from (f"{level} {context.command_path.removeprefix('tunix-rt ')}", "")
    yield from _command(command, context)
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            yield from _commands(command.get_command(context, verb), verb, context, f"{level}#")


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    pieces = command.collect_usage_pieces(context)
    yield from (f"Usage: `{' '.join([context.command_path, *pieces])}`", "")
    said, examples = split_help(command.help or "")
    for paragraph in said:
        yield from (markdown(paragraph), "")
    if isinstance(command, click.Group) and command.epilog:
        yield from (command.epilog, "")
    arguments = [_argument(p) for p in command.params if isinstance(p, click.Argument)]
    if arguments:
        yield from ("Arguments: " + ", ".join(arguments) + ".", "")
    options = {}
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            options[record[0]] = record[1] or f"The {parameter.name}."
    if options:
        yield from (*entries(options), "")
    if examples:
        yield from ("```sh", *examples, "```", "")


def _argument(argument: click.Argument) -> str:
    name = (argument.name or "").upper()
    kind = "a path" if isinstance(argument.type, click.Path) else "a text"
    if argument.nargs == -1:
        kind = kind.replace("a ", "one or more ") + "s"
    return f"`{name}` ({kind}{'' if argument.required else ', optional'})"


def split_help(text: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a command's help without its examples, and the lines of these."""
    said, examples = [], []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line.strip() != "\b"]
        label = re.match(r"(?:Examples?|Try): *", lines[0])
        if label is None:
            said.append(" ".join(line.strip() for line in lines))
            continue
        lines[0] = lines[0][label.end() :]
        shown = inspect.cleandoc("\n".join(["", *(line for line in lines if line)]))
        examples += [re.sub(r"^ +(?=tunix-rt)", "", line) for line in shown.splitlines()]
    return said, examples


# Hooks.


def hooks_page() -> list[str]:
    said = markdown(inspect.getdoc(hookspecs) or "").split("\n\n")
    http = markdown(inspect.getdoc(http_hookspecs) or "").split("\n\n")
    lines = ["# Hooks", "", NOTE, ""]
    for paragraph in said[1:]:
        lines += [paragraph, ""]
    lines += ["The examples below begin with", "", "```python", "from tunix_core import hookimpl"]
    lines += ["from tunix_core.contributions import ("]
    names = sorted(kind.descriptor.__name__ for kind in contributions.KINDS)
    lines += [f"    {name}," for name in names]
    lines += [")", "```", "", *_kinds_table(), ""]
    hooks = _hooks(hookspecs)
    for title, chosen in (
        ("Contributors", [hook for hook in hooks if not _observes(hook)]),
        ("Observers", [hook for hook in hooks if _observes(hook)]),
    ):
        lines += [f"## {title}", ""]
        for hook in chosen:
            lines += _hook(hook)
    lines += ["## Hooks of tunix-http", "", *http[1:], ""]
    for hook in _hooks(http_hookspecs):
        lines += _hook(hook)
    lines += ["## What contributors return", ""]
    classes: list[type] = [contributions.Contribution]
    classes += [kind.descriptor for kind in contributions.KINDS]
    classes += [http_contributions.RouteContribution, panels.PanelContribution, panels.Panel]
    for cls in classes:
        lines += _described(cls)
    return [*lines, *_protocols()]


def _kinds_table() -> Iterator[str]:
    yield from ("| Kind | Hook | Returns | Protocol | Conformance suite |", "|---|---|---|---|---|")
    for kind in contributions.KINDS:
        cls = kind.descriptor.__name__
        row = [kind.name, f"[`{kind.hook}`](#{kind.hook})", f"[`{cls}`](#{cls.lower()})"]
        protocol = PROTOCOLS.get(kind.name)
        if protocol is None:
            row += ["a click command", ""]
        else:
            suite = getattr(
                import_module(f"tunix_core.testing.{kind.name}"), f"{protocol}Conformance"
            )
            row.append(f"[`{protocol}`](#{protocol.lower()})")
            row.append(f"`{suite.__module__}.{suite.__name__}`")
        yield f"| {' | '.join(row)} |"


def _hooks(module: ModuleType) -> list[Callable[..., Any]]:
    """The hooks of a module, in the order of the file."""
    return [
        hook
        for name, hook in vars(module).items()
        if name.startswith("tunix_") and inspect.isfunction(hook)
    ]


def _observes(hook: Callable[..., Any]) -> bool:
    return str(inspect.signature(hook).return_annotation) == "None"


def _hook(hook: Callable[..., Any]) -> Iterator[str]:
    text, _, example = documentation(hook)
    yield from (f"### {hook.__name__}", "", f"`{hook.__name__}{_signature(hook)}`", "")
    yield from (text, "", "```python", example, "```", "")


def _signature(function: Callable[..., Any]) -> str:
    return re.sub(r"'([^']+)'", r"\1", str(inspect.signature(function)))


def _described(cls: type) -> Iterator[str]:
    """A class of records: what it is, and its own fields."""
    text, meanings, _ = documentation(cls)
    inherited = {a.name for base in cls.__bases__ if has(base) for a in fields(base)}
    own = [a for a in fields(cls) if a.name not in inherited]
    yield from (f"### {cls.__name__}", "", text, "")
    if own:
        yield from (*(_field(a, meanings[a.name]) for a in own), "")


def _field(attribute: Attribute[Any], meaning: str) -> str:
    default: Any = attribute.default
    if isinstance(default, Factory):  # type: ignore[arg-type]
        default = default.factory()
    shown = "required" if default is NOTHING else f"default `{default!r}`"
    return f"- `{attribute.name}: {attribute.type}` ({shown}): {markdown(meaning)}"


def _protocols() -> Iterator[str]:
    yield from ("## What their factories make", "")
    yield from ("From `tunix_core.protocols`; requests and results are described there.", "")
    for name in [*PROTOCOLS.values(), "Predictor", "Reporter"]:
        cls = getattr(protocols, name)
        yield from (f"### {name}", "", documentation(cls)[0], "")
        for method_name, method in vars(cls).items():
            if method_name.startswith("_"):
                continue
            function: Any = method.fget if isinstance(method, property) else method
            summary = documentation(function)[0].split("\n\n")[0]
            shown = f"- `{method_name}{_signature(function)}`".replace("(self, ", "(")
            shown = shown.replace("(self)", "" if isinstance(method, property) else "()")
            yield f"{shown}: {' '.join(summary.split())}" if summary else shown
        yield ""


# Settings.


def settings_page(plugins: Plugins) -> list[str]:
    lines = ["# Settings", "", NOTE, ""]
    lines += [
        "What `--set KEY=VALUE` may say, by the thing that it is said to; values are read as JSON",
        "where they are JSON, so that `null` is None. `tunix-rt plugins show NAME` lists those of",
        "any plugin.",
        "",
    ]
    ours = first_party()
    for kind in contributions.KINDS:
        for p in plugins.all(kind):
            if p.distribution in ours and p.contribution.config is not None:
                title = f"The {kind.name} {p.bare_name}"
                lines += _settings(title, p.config_class(), VARIANTS.get(p.full_name, {}))
    lines += _settings("Answers: --generate", protocols.GenerationConfig, {})
    return lines


def _settings(title: str, cls: Any, variants: dict[str, dict[str, Any]]) -> Iterator[str]:
    text, meanings, _ = documentation(cls)
    yield from (f"## {title}", "", text, "", "| Setting | Default | What |", "|---|---|---|")
    made = {"": cls(), **{name: cls(**given) for name, given in variants.items()}}
    for attribute in fields(cls):
        values = {name: _value(attribute, config) for name, config in made.items()}
        shown = values.pop("")
        if attribute.name not in ("model_id", "lora_rank"):
            for name, value in values.items():
                if value not in shown:
                    shown += f"; {name} {value}"
        meaning = markdown(meanings[attribute.name]).replace("|", "\\|")
        yield f"| `{attribute.name}` | {shown} | {meaning} |"
    yield ""
    for attribute in fields(cls):
        if has(type(getattr(made[""], attribute.name))):
            nested = type(getattr(made[""], attribute.name))
            yield from _settings(f"{title}: {attribute.name}", nested, {})


def _value(attribute: Attribute[Any], config: Any) -> str:
    """A default as JSON; what is read from the environment has none that could be told here."""
    default: Any = attribute.default
    made = isinstance(default, Factory)  # type: ignore[arg-type]
    if made and inspect.isfunction(default.factory) and not default.takes_self:
        return ""
    return f"`{json.dumps(unstructure(getattr(config, attribute.name)))}`"


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")
