"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations

from tunix_core.contributions import CommandContribution
from tunix_core.hookspecs import hookimpl
from tunix_http import hookspecs


@hookimpl
def tunix_hookspecs() -> list[object]:
    return [hookspecs]


@hookimpl
def tunix_commands() -> list[CommandContribution]:
    return [
        CommandContribution(
            name="serve",
            summary="Serve the HTTP API and the web page",
            factory="tunix_http.server.command:command",
        )
    ]
