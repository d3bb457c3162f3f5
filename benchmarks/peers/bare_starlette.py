"""The floor of an HTTP answer: one Starlette route that sends the bytes of a file.

    python benchmarks/peers/bare_starlette.py FILE

Prints the port that it listens on, then serves ``/`` until it is ended.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main() -> None:
    content = Path(sys.argv[1]).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(content, media_type="application/json")

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    app = Starlette(routes=[Route("/", answer)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
