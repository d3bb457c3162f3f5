"""``tunix-rt serve``: the HTTP API and the web page."""

from __future__ import annotations

from pathlib import Path

import click

from tunix_core.cli.kit import pass_workspace
from tunix_core.errors import UsageError
from tunix_core.workspace import Workspace


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8000]"
)
@click.option("--token", help="Ask for this token; other users of the machine can see it here.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask for the token in this file.  [env: TUNIX_HTTP_TOKEN holds the token]",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Runs executed at the same time; 0 leaves them to `tunix-rt worker`.  [default: 1]",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="HOST",
    help="A name that people reach this server by; may be given many times.",
)
@click.option("--open", "open_browser", is_flag=True, help="Show the page in a browser.")
@pass_workspace
def command(
    workspace: Workspace,
    host: str | None,
    port: int | None,
    token: str | None,
    token_file: Path | None,
    workers: int | None,
    allowed_hosts: tuple[str, ...],
    open_browser: bool,
) -> None:
    """Serve the HTTP API and the web page, and execute pending runs.

    Only this machine can reach it unless --host says otherwise, which needs a token. Further
    settings are environment variables or lines of a file .env: TUNIX_HTTP_MAX_BODY_BYTES, ...

    \b
    Try:  tunix-rt serve --open
          tunix-rt serve --port 9000 --workers 0
          tunix-rt serve --host 0.0.0.0 --token-file token.txt --allowed-host lab.example
    """
    # Imported when it serves, not for its help.
    from tunix_http.server.serve import serve
    from tunix_http.settings import load_settings

    if token is not None and token_file is not None:
        raise UsageError("--token and --token-file exclude each other")
    settings = load_settings(
        host=host,
        token=token if token_file is None else token_file.read_text("utf-8").strip(),
        workers=workers,
        allowed_hosts=list(allowed_hosts) or None,
    )
    # One that cannot be opened, or has to be brought up to date first, is told before it serves.
    workspace.store.close()
    serve(workspace.paths.root, workspace.plugins, settings, port, open_browser)
