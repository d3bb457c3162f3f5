"""What clients do that are slow, endless or gone costs them their connection, not us."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Answer, ServeApp, Served

DEADLINE_S = 0.5
# What a busy machine may add to a deadline.
SLACK_S = 3.0
# How long a test goes on against a server that does nothing about it.
PATIENCE_S = 15.0
# Bytes of the answer to /api/large.
LARGE = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def strict(serve_app: ServeApp) -> Iterator[Served]:
    """A server that waits half a second for anything."""
    with serve_app(
        header_timeout_s=DEADLINE_S, body_timeout_s=DEADLINE_S, write_timeout_s=DEADLINE_S
    ) as running:
        yield running


def drip(served: Served, pieces: Iterable[bytes], every_s: float) -> tuple[Answer, float]:
    """Send pieces one by one until the server answers; the answer, and the seconds it took."""
    began = time.monotonic()
    with served.connect() as connection:
        try:
            for piece in pieces:
                assert time.monotonic() < began + PATIENCE_S
                connection.sendall(piece)
                time.sleep(every_s)
                connection.setblocking(False)
                try:
                    if connection.recv(1, socket.MSG_PEEK) is not None:
                        break
                except BlockingIOError:
                    continue
                finally:
                    connection.settimeout(10.0)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return served.read(connection), time.monotonic() - began


def forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def is_healthy(served: Served) -> bool:
    return served.ask(b"GET /api/health").status == 200


# Deadlines.


def test_headers_that_come_letter_by_letter_are_not_waited_for(strict: Served) -> None:
    def head() -> Iterator[bytes]:
        yield b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
        yield from forever(b"x")

    answer, seconds = drip(strict, head(), 0.05)
    assert answer.status == 408
    assert answer.headers["connection"] == "close"
    assert DEADLINE_S <= seconds < DEADLINE_S + SLACK_S
    assert is_healthy(strict)


def test_a_connection_that_says_nothing_is_closed_and_logged(strict: Served) -> None:
    before = strict.position()
    with strict.connect() as connection:
        assert strict.read(connection).status == 408
    assert [line["status"] for line in strict.lines_after(before, 1)] == [408]


def test_a_later_request_of_a_connection_has_the_same_deadline(strict: Served) -> None:
    with strict.connect() as connection:
        request = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(2 * DEADLINE_S)
        connection.sendall(request[:20])
        assert b"HTTP/1.1 408" in connection.makefile("rb").read()


def test_a_body_that_does_not_come_is_not_waited_for(strict: Served) -> None:
    head = b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    for sent in (head, head + b"part"):
        assert strict.send(sent).status == 408
    assert is_healthy(strict)
    assert ("POST", 499) in strict.seen


def test_a_body_may_take_long_when_it_gets_on(strict: Served) -> None:
    def request() -> Iterator[bytes]:
        yield b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        yield b"Content-Length: 20\r\n\r\n"
        yield from [b"x"] * 20

    answer, seconds = drip(strict, request(), DEADLINE_S / 8)
    assert json.loads(answer.body)["size"] == 20
    assert seconds > 2 * DEADLINE_S


def test_chunk_extensions_are_no_progress(strict: Served) -> None:
    def request() -> Iterator[bytes]:
        yield b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;"
        yield from forever(b"x")

    answer, _ = drip(strict, request(), 0.05)
    assert answer.status == 408


def test_an_answer_that_is_not_read_is_cut_off(strict: Served) -> None:
    before = len(strict.seen)
    with strict.connect(receive_buffer=4096) as connection:
        connection.sendall(b"GET /api/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: len(strict.seen) > before)
        got = 0
        while piece := connection.recv(65536):
            got += len(piece)
    assert got < LARGE


def test_an_answer_that_is_read_slowly_is_not(strict: Served) -> None:
    before = len(strict.seen)
    with strict.connect(receive_buffer=4096) as connection:
        connection.sendall(b"GET /api/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        began = time.monotonic()
        while time.monotonic() < began + 4 * DEADLINE_S:
            assert connection.recv(4096)
            time.sleep(DEADLINE_S / 20)
        assert len(strict.seen) == before


def test_an_idle_connection_is_closed(serve_app: ServeApp) -> None:
    with serve_app(keep_alive_s=1.0) as served, served.connect() as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        # Line ends between requests are allowed, and no request.
        connection.sendall(b"\r\n")
        began = time.monotonic()
        while connection.recv(65536):
            pass
        assert time.monotonic() - began < 1.0 + SLACK_S


# Sizes.


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X-Many: 1\r\n" * 6_000, 431),
        (b"X-Long: " + b"x" * 65_000 + b"\r\n", 200),
        (b"X-Long: " + b"x" * 65_600 + b"\r\n", 431),
    ],
)
def test_headers_have_a_limit(head: bytes, status: int, served: Served) -> None:
    answer = served.send(
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n" + head + b"Connection: close\r\n\r\n"
    )
    assert answer.status == status


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nX-Endless: ",
        b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nX-Trailer: ",
    ],
)
def test_what_never_ends_is_soon_refused(begin: bytes, served: Served) -> None:
    endless = b"X-Many: 1\r\n" if begin.endswith(b"\n") else b"x" * 1000

    def request() -> Iterator[bytes]:
        yield begin
        # Far more than any buffer on the way holds.
        yield from (endless * 100 for _ in range(1000))

    answer, seconds = drip(served, request(), 0.001)
    assert answer.status == 431
    assert seconds < SLACK_S


def test_an_address_has_a_limit(served: Served) -> None:
    assert served.ask(b"GET /" + b"x" * 16_000).status == 404
    assert served.ask(b"GET /" + b"x" * 17_000).status == 414


def test_trailers_are_no_headers(served: Served) -> None:
    answer = served.send(
        b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n2\r\nok\r\n0\r\nOrigin: http://evil.example\r\n\r\n"
    )
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "size": 2,
        "headers": ["host", "transfer-encoding", "connection"],
    }


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_json(request_: bytes, served: Served) -> None:
    answer = served.send(request_)
    assert answer.status == 400
    assert json.loads(answer.body) == {"detail": "Bad Request"}


# Connections that go on.


def test_the_answer_to_a_body_that_is_too_large_can_be_read(serve_app: ServeApp) -> None:
    with serve_app() as served, served.connect() as connection:
        size = 3_000_000
        connection.sendall(
            b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
        )
        connection.sendall(bytes(size))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
        # All of it was thrown away: the connection is as good as before.
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: ("GET", 200) in served.seen)


def test_a_body_that_is_too_large_is_not_thrown_away_for_ever(served: Served) -> None:
    head = b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(head)
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|pipe"):
            keep_sending(connection, b"186a0\r\n" + bytes(100_000) + b"\r\n")
    assert time.monotonic() - began < 5.0 + SLACK_S


def test_requests_may_come_before_the_answers(served: Served) -> None:
    one = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
    data = b"\r\n".join([one] * 5) + b"\r\n" + one + b"Connection: close\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(data)
        assert connection.makefile("rb").read().count(b"HTTP/1.1 200") == 6


def test_an_endless_answer_does_not_keep_the_server_from_ending(serve_app: ServeApp) -> None:
    with serve_app() as served:
        connection = served.connect()
        connection.sendall(b"GET /api/endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1)
        began = time.monotonic()
    with connection:
        while connection.recv(65536):
            pass
    assert time.monotonic() - began < 2.0 + SLACK_S
    assert served.seen == [("GET", 200)]


def keep_sending(connection: socket.socket, piece: bytes) -> None:
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE_S:
        connection.sendall(piece)
        time.sleep(0.01)


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
