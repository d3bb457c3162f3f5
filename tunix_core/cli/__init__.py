"""The ``tunix-rt`` command. Groups come from plugins and are imported when they are used."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tunix_core.base.settings_text import parse_pairs
from tunix_core.contributions import COMMAND
from tunix_core.errors import TunixError

if TYPE_CHECKING:
    from tunix_core.plugins import Plugins

EPILOG = (
    "Exit codes: 0 good, 1 failed or regressed or rejected, 2 wrong usage or inconclusive, "
    "3 not comparable."
)


class PluginCommands(click.Group):
    """A group whose commands are the plugins' commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [p.bare_name for p in _plugins(ctx).all(COMMAND)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for provided in _plugins(ctx).all(COMMAND):
            if provided.bare_name == cmd_name:
                return provided.create()
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            if args[0] not in known:
                _fail_unknown(ctx, args[0], known)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(p.bare_name, p.contribution.summary) for p in _plugins(ctx).all(COMMAND)]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


def _fail_unknown(ctx: click.Context, name: str, known: Sequence[str]) -> None:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    broken = [r for r in _plugins(ctx).records if r.error is not None]
    if broken:
        hint += " Not usable: " + ", ".join(f"{r.distribution} ({r.error})" for r in broken)
    raise click.UsageError(f"No such command {name!r}.{hint}", ctx)


def _plugins(ctx: click.Context) -> Plugins:
    plugins: Plugins = ctx.ensure_object(dict)["plugins"]
    return plugins


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"tunix-rt {version('tunix-core')}")
        ctx.exit()


@click.group(
    cls=PluginCommands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
@click.option(
    "--workspace",
    metavar="DIR",
    envvar="TUNIX_WORKSPACE",
    help="Directory of data and runs.  [default: ./workspace]",
)
@click.option(
    "--no-plugins",
    "blocked",
    is_flag=False,
    flag_value="*",
    metavar="[=NAMES]",
    help="Load no plugin, or all but the named ones.",
)
@click.option(
    "--executor",
    metavar="NAME",
    envvar="TUNIX_EXECUTOR",
    help="What starts the processes in which models run.  [default: local]",
)
@click.option(
    "--executor-set",
    "executor_settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=lambda _ctx, _param, pairs: parse_pairs(pairs),
    help="A setting of the executor; may be given many times.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(
    ctx: click.Context,
    workspace: str | None,
    blocked: str | None,
    executor: str | None,
    executor_settings: dict[str, Any],
    debug: bool,
) -> None:
    """Train language models to show their work.

    \b
    Try:  tunix-rt demo
          tunix-rt plugins list
          tunix-rt traces generate dev-reasoning-v1 --count 10 -o ten.jsonl
    """
    ctx.ensure_object(dict).update(
        workspace=workspace, executor=executor, executor_settings=executor_settings
    )


def _early_plugins(arguments: Sequence[str]) -> Plugins:
    """Load plugins before the command line exists, since it is made of them."""
    from tunix_core.plugins import Plugins, Selection

    selection = Selection.from_environment()
    for argument in _root_arguments(arguments):
        if argument == "--no-plugins":
            selection = Selection.parse("")
        elif argument.startswith("--no-plugins="):
            names = argument.partition("=")[2].split(",")
            selection = selection.without(name.strip() for name in names if name.strip())
    return Plugins.discover(selection)


def _root_arguments(arguments: Sequence[str]) -> list[str]:
    """The options before the command's name."""
    root: list[str] = []
    skip = False
    for argument in arguments:
        if not argument.startswith("-") and not skip:
            break
        root.append(argument)
        skip = argument in ("--workspace", "--executor", "--executor-set")
    return root


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the ``tunix-rt`` command; exits the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in _root_arguments(given)
    try:
        shared: dict[str, Any] = {}
        if "--version" not in _root_arguments(given):
            shared["plugins"] = _early_plugins(given)
        result = cli.main(
            args=_joined(given), prog_name="tunix-rt", obj=shared, standalone_mode=False
        )
        code = result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)  # noqa: T201
        code = 130
    except BrokenPipeError:
        # The reader went away, as `head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (TunixError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_one_line(error)}", file=sys.stderr)  # noqa: T201
        code = error.exit_code if isinstance(error, TunixError) else 1
    except Exception as error:
        # A mistake of ours or of a plugin's: no reason to show people its insides unasked.
        if debug:
            traceback.print_exc()
        reason = f"{type(error).__name__}: {_one_line(error)}"
        print(f"error: unexpected {reason} (run again with --debug)", file=sys.stderr)  # noqa: T201
        code = 1
    sys.exit(code)


def _joined(arguments: Sequence[str]) -> list[str]:
    """A bare ``--no-plugins`` takes no value, whatever follows it."""
    root = len(_root_arguments(arguments))
    return [
        "--no-plugins=*" if place < root and argument == "--no-plugins" else argument
        for place, argument in enumerate(arguments)
    ]


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; what was acknowledged is stored, the rest is not"
    return " ".join(str(error).split())
