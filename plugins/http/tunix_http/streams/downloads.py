"""Files as answers, while they may still grow."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from tunix_http.wire.errors import detail_response

# What else may come of a request for a file, for OpenAPI.
RANGE_STATUSES = {
    206: "The range that was asked for",
    400: "The range cannot be read",
    416: "The range lies outside the file",
}


class Download(FileResponse):
    """A file, or ranges of it; one that grows meanwhile is sent as long as it was at first."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = 0
        refused: Message | None = None

        async def send_announced(message: Message) -> None:
            nonlocal left, refused
            if message["type"] == "http.response.start":
                if message["status"] >= 400:
                    refused = message
                    return
                left = int(Headers(raw=message["headers"])["content-length"])
                await send(message)
                if left == 0:
                    await send({"type": "http.response.body"})
            elif left > 0:
                body = message["body"][:left]
                left -= len(body)
                more = message.get("more_body", False) and left > 0
                await send({"type": "http.response.body", "body": body, "more_body": more})

        await super().__call__(scope, receive, send_announced)
        if refused is not None:
            # Starlette says it in plain text; every other error of ours is JSON.
            size = Headers(raw=refused["headers"]).get("content-range")
            headers = None if size is None else {"Content-Range": size}
            detail = "the Range header asks for nothing that the file has"
            await detail_response(refused["status"], detail, headers)(scope, receive, send)
