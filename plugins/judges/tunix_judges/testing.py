"""An endpoint on this machine that answers as OpenAI's chat completions do, for tests."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from attrs import field, frozen

CHAT = "/v1/chat/completions"


@frozen
class Answer:
    """What the endpoint sends back.

    Args:
        body: The body, or what is sent as JSON.
        status: The HTTP status.
        headers: Further headers.
    """

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


def chat_answer(text: str | None, finish_reason: str = "stop", **message: Any) -> Answer:
    """A chat completion."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish_reason}
    return Answer({"object": "chat.completion", "model": "judge-2026", "choices": [choice]})


class ChatServer(ThreadingHTTPServer):
    """Answers every prompt by a function, after whatever is in ``first``.

    Args:
        respond: The answer to the body of a request.
        path: Where it answers; elsewhere is nothing.
    """

    def __init__(
        self, respond: Callable[[Mapping[str, Any]], Answer | str], path: str = CHAT
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.respond = respond
        self.path = path
        self.first: deque[Answer] = deque()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.lock = Lock()
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: ChatServer

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        server = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(asked)
            server.keys.append(self.headers["Authorization"])
            server.at_once += 1
            server.most_at_once = max(server.at_once, server.most_at_once)
            answer: Answer | str | None = server.first.popleft() if server.first else None
        if self.path != server.path:
            answer = Answer({"error": {"message": f"no route {self.path}"}}, 404)
        if answer is None:
            answer = server.respond(asked)
        with server.lock:
            server.at_once -= 1
        self._send(chat_answer(answer) if isinstance(answer, str) else answer)

    def _send(self, answer: Answer) -> None:
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        content = text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""
